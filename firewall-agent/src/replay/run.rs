//! A policy that judges one captured packet after the other.

use std::fmt;

use firewall_common::{
    headers::{FragmentKind, Headers},
    judge,
    reason::Reason,
    verdict::Decision,
    wire::{protocol, tcp},
};

use super::{Captured, Directions, Frame, KernelEngine, NoWay, Unusable};
use crate::{
    daemon::PacketLine,
    dataplane::DataplaneError,
    trial::{NOW_TICKS, Subject, Verdicted, Way},
};

/// Place of the flags in a TCP header.
const TCP_FLAGS: usize = 13;

/// What came of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// It was judged.
    Judged(Verdicted),
    /// Its headers were not captured, or its link is of no kind that is filtered.
    Unusable(Unusable),
    /// It went from elsewhere to elsewhere.
    Elsewhere,
}

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing says which addresses are the host's.
    #[error("nothing says which way the packets went")]
    NoLocal,
    /// The kernel side failed.
    #[error(transparent)]
    Kernel(#[from] DataplaneError),
}

/// One packet and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its number in the capture.
    pub number: u64,
    /// Nanoseconds since the first packet.
    pub since_first: u64,
    /// Which way it went, where that is known.
    pub way: Option<Way>,
    /// Whether its end was not captured, which no verdict depends on.
    pub is_cut: bool,
    /// What came of it.
    pub replayed: Replayed,
}

/// A policy and the time.
#[derive(Debug)]
pub struct Replay {
    subject: Subject,
    /// What judges instead of the subject's own engine.
    kernel: Option<KernelEngine>,
    directions: Directions,
    is_stateless: bool,
    frame: Frame,
    first_nanoseconds: Option<u64>,
    latest_nanoseconds: u64,
}

impl Replay {
    /// Judges packets by `subject`. Without state each packet is judged as the first one of its connection: nothing is
    /// remembered, and a TCP segment is taken for a SYN.
    #[must_use]
    pub fn new(subject: Subject, directions: Directions, is_stateless: bool) -> Self {
        Self {
            subject,
            kernel: None,
            directions,
            is_stateless,
            frame: Frame::default(),
            first_nanoseconds: None,
            latest_nanoseconds: 0,
        }
    }

    /// Has the kernel's programs judge, which were loaded for the same policy and the same way of remembering.
    #[must_use]
    pub fn by(mut self, kernel: KernelEngine) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// The policy and its names.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Judges the next packet.
    pub fn packet(&mut self, captured: &Captured<'_>) -> Result<Outcome, ReplayError> {
        let first = *self.first_nanoseconds.get_or_insert(captured.time_nanoseconds);
        let since_first = captured.time_nanoseconds.saturating_sub(first);
        // Packets of several interfaces may stand in another order than they came.
        self.latest_nanoseconds = self.latest_nanoseconds.max(since_first);
        let outcome = |way, is_cut, replayed| Outcome {
            number: captured.number,
            since_first,
            way,
            is_cut,
            replayed,
        };
        if let Err(unusable) = self.frame.take(captured) {
            return Ok(outcome(None, false, Replayed::Unusable(unusable)));
        }
        let way = match self.directions.of(self.frame.way, self.headers()) {
            Ok(way) => way,
            Err(NoWay::Elsewhere) => return Ok(outcome(None, false, Replayed::Elsewhere)),
            Err(NoWay::NoLocal) => return Err(ReplayError::NoLocal),
        };
        let (is_cut, replayed) = match self.judge(way)? {
            Some(verdicted) => (self.frame.is_cut, Replayed::Judged(verdicted)),
            None => (false, Replayed::Unusable(Unusable::NotRun)),
        };
        Ok(outcome(Some(way), is_cut, replayed))
    }

    /// The last packet in a line, as far as it could be read.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        Line(self.headers())
    }

    fn headers(&self) -> Option<&Headers> {
        self.frame.headers.as_ref()?.as_ref().ok()
    }

    /// The verdict; `None` where the kernel runs no program on such a frame.
    fn judge(&mut self, way: Way) -> Result<Option<Verdicted>, DataplaneError> {
        if self.is_stateless {
            if self.kernel.is_none() {
                self.subject.engine.forget();
            }
            self.open_anew();
        }
        let link = self
            .frame
            .link
            .unwrap_or(firewall_common::interface::LinkType::Ethernet);
        let now = self.now_ticks();
        let Some(kernel) = &mut self.kernel else {
            return Ok(Some(self.subject.judge(&self.frame.bytes, link, way.hook(), now)));
        };
        self.frame.shorten();
        let judged = kernel.judge(&self.frame.bytes, link, way.hook(), now)?;
        Ok(judged.ok().map(|decision| self.subject.named(decision)))
    }

    /// Makes a TCP segment one that opens a connection.
    fn open_anew(&mut self) {
        let Some(headers) = self.headers() else { return };
        if headers.protocol != protocol::TCP || headers.fragment == FragmentKind::Later as u8 {
            return;
        }
        let at = usize::from(headers.l4_offset) + TCP_FLAGS;
        if let Some(flags) = self.frame.bytes.get_mut(at) {
            *flags = tcp::SYN;
        }
    }

    fn now_ticks(&self) -> u32 {
        let clock = self.subject.clock();
        let jiffies =
            u128::from(self.latest_nanoseconds) * u128::from(clock.jiffies_per_second) / 1_000_000_000;
        // The clock of the kernel side wraps, too.
        let ticks = u32::try_from((jiffies >> clock.shift) & u128::from(u32::MAX)).unwrap_or(0);
        NOW_TICKS.wrapping_add(ticks)
    }
}

/// A packet in a line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a>(Option<&'a Headers>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(headers) = self.0 else {
            return formatter.write_str("headers that cannot be read");
        };
        let nobody = Decision::by(Reason::Rule);
        let event = judge::event(headers, &nobody, Way::In.hook(), 0, 0);
        write!(formatter, "{}", PacketLine(&event))?;
        if headers.fragment == FragmentKind::Whole as u8 {
            return Ok(());
        }
        write!(
            formatter,
            " (fragment at {})",
            u32::from(headers.fragment_units) * 8
        )
    }
}
