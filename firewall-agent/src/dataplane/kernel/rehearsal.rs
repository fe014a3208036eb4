//! Programs that are put to frames by `BPF_PROG_TEST_RUN`, and say what they decide (see
//! [`firewall_common::rehearsal`]). Nothing is sent, and no interface has to be up.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use firewall_common::{
    abi::names,
    counters::Hook,
    rehearsal::{heard, kind},
    verdict::Decision,
};

use super::{
    mapped::MappedTold,
    maps,
    pins::{Pins, file},
    sys,
};
use crate::dataplane::DataplaneError;

/// Index of `lo` in every network namespace.
pub const LOOPBACK_INDEX: u32 = 1;

/// What the programs of a dataplane tell and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rehearsing {
    /// They judge the host's packets, and tell nobody.
    #[default]
    No,
    /// They tell each decision: for replays and tests.
    Told,
    /// They tell each decision and write nothing else.
    Dry,
}

impl Rehearsing {
    /// The value of the object's global.
    pub(super) const fn kind(self) -> &'static u8 {
        match self {
            Self::No => &kind::NONE,
            Self::Told => &kind::TOLD,
            Self::Dry => &kind::DRY,
        }
    }
}

/// A run of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsed {
    /// What the kernel would be told to do: `XDP_*` or `TC_ACT_*`.
    pub action: u32,
    /// What the program has told; `None` where it came to no decision.
    pub decision: Option<Decision>,
}

/// The entry program of one hook, with all that it goes on in.
#[derive(Debug)]
pub struct Rehearsal {
    hook: Hook,
    entry: OwnedFd,
    told: MappedTold,
    /// Keeps the programs behind the entry, where nothing is pinned that does.
    _programs: Option<OwnedFd>,
}

impl Rehearsal {
    pub(super) const fn new(hook: Hook, entry: OwnedFd, told: MappedTold, programs: Option<OwnedFd>) -> Self {
        Self {
            hook,
            entry,
            told,
            _programs: programs,
        }
    }

    /// The pinned programs of a dataplane that is there for rehearsals.
    pub(super) fn open(pins: &Pins, hook: Hook) -> Result<Self, DataplaneError> {
        let path = pins.path(match hook {
            Hook::Ingress => names::XDP_ENTRY,
            Hook::Egress => names::TC_ENTRY,
        });
        let entry = sys::open_pin(&path).map_err(file("open", &path))?;
        let told = maps::open(pins, names::TOLD)?;
        let told = MappedTold::map(told.fd().as_fd()).map_err(file("map", &pins.path(names::TOLD)))?;
        Ok(Self::new(hook, entry, told, None))
    }

    /// Runs the program on a frame that comes in or goes out by the interface of this index. With `out`, that is what the
    /// program has made of the frame; it has to have room for an answer.
    ///
    /// Fails where the kernel runs no program on such a frame: it has to have a whole Ethernet header, at egress more
    /// than that, and no more bytes than fit a page there (`net/bpf/test_run.c`).
    pub fn run(&self, frame: &[u8], interface: u32, out: Option<&mut Vec<u8>>) -> io::Result<Rehearsed> {
        self.told.clear();
        let action = match self.hook {
            Hook::Ingress => {
                let bytes = u32::try_from(frame.len()).map_err(io::Error::other)?;
                // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
                let context = [0, bytes, 0, interface, 0, 0];
                sys::test_run_in(self.entry.as_fd(), frame, &context, out)?
            }
            Hook::Egress => {
                // `struct __sk_buff` up to its eleventh field, ifindex.
                let context = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, interface];
                sys::test_run_in(self.entry.as_fd(), frame, &context, out)?
            }
        };
        Ok(Rehearsed {
            action,
            decision: heard(self.told.read()),
        })
    }
}
