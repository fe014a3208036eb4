//! The states of a flow and what a packet does to them. Time and table are passed in; nothing here looks anything up.

use crate::{
    headers::Headers,
    opaque::masked,
    wire::{protocol, tcp},
};

/// State of a flow. Numbers index the timers and are part of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// TCP: the opener's SYN was seen.
    SynSent = 0,
    /// TCP: the responder's SYN or SYN/ACK was seen.
    SynReceived = 1,
    /// TCP: the handshake is complete.
    Established = 2,
    /// TCP: one side has sent its FIN; the other may go on sending.
    HalfClosed = 3,
    /// TCP: both have sent their FIN.
    Closing = 4,
    /// TCP: a reset was seen that the receiver has to believe.
    Reset = 5,
    /// TCP: a reset was seen whose sequence number is not the next one; the receiver may refuse it (RFC 5961 3).
    ResetInDoubt = 6,
    /// UDP, UDP-Lite: the opener's datagrams only.
    Unreplied = 7,
    /// UDP, UDP-Lite: both sides have sent.
    Replied = 8,
    /// ICMP echo.
    Echo = 9,
    /// Any other protocol.
    Other = 10,
    /// An outgoing packet was rejected: its refusal may come in.
    Refused = 11,
}

/// Places for [`State`]s; a power of two, so that a mask bounds them.
pub const STATES: usize = 16;

impl State {
    /// The state of this number; unknown numbers are read as [`State::Closing`], which grants least.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::SynSent,
            1 => Self::SynReceived,
            2 => Self::Established,
            3 => Self::HalfClosed,
            5 => Self::Reset,
            6 => Self::ResetInDoubt,
            7 => Self::Unreplied,
            8 => Self::Replied,
            9 => Self::Echo,
            10 => Self::Other,
            11 => Self::Refused,
            _ => Self::Closing,
        }
    }

    /// The name that `fwctl` and metrics show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::HalfClosed => "half-closed",
            Self::Closing => "closing",
            Self::Reset => "reset",
            Self::ResetInDoubt => "reset-in-doubt",
            Self::Unreplied => "unreplied",
            Self::Replied => "replied",
            Self::Echo => "echo",
            Self::Other => "other",
            Self::Refused => "refused",
        }
    }

    /// Whether a full bucket may give this flow's place to a new one.
    #[inline(always)]
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closing | Self::Reset | Self::Refused)
    }
}

/// Idle time in ticks by [`State`].
pub type Timeouts = [u32; STATES];

/// Bits of [`Flow::flags`].
pub mod flow_flags {
    /// The other end opened the flow.
    pub const OPENED_BY_REMOTE: u8 = 1;
    /// The responder has answered.
    pub const REPLIED: u8 = 1 << 1;
    /// The other end has sent its FIN.
    pub const REMOTE_FIN: u8 = 1 << 2;
    /// This end has sent its FIN.
    pub const LOCAL_FIN: u8 = 1 << 3;
    /// The other end has gone on after a reset.
    pub const REMOTE_AFTER_RESET: u8 = 1 << 4;
    /// This end has gone on after a reset.
    pub const LOCAL_AFTER_RESET: u8 = 1 << 5;
}

use flow_flags::{LOCAL_AFTER_RESET, LOCAL_FIN, OPENED_BY_REMOTE, REMOTE_AFTER_RESET, REMOTE_FIN, REPLIED};

/// The part of a flow that packets change: one word of its table entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// When it was last seen, in ticks.
    pub seen_ticks: u32,
    /// Its state.
    pub state: State,
    /// Bits of [`flow_flags`].
    pub flags: u8,
    /// Counter number of the rule that let it in.
    pub rule: u16,
}

impl Flow {
    /// As the word in the table.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.seen_ticks as u64
            | (self.state as u64) << 32
            | (self.flags as u64) << 40
            | (self.rule as u64) << 48
    }

    /// From the word in the table.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        Self {
            seen_ticks: word as u32,
            state: State::from_number((word >> 32) as u8),
            flags: (word >> 40) as u8,
            rule: (word >> 48) as u16,
        }
    }

    /// Whether it has been idle for longer than its state allows.
    #[inline(always)]
    #[must_use]
    pub fn is_expired(self, now_ticks: u32, timeouts: &Timeouts) -> bool {
        let idle = now_ticks.wrapping_sub(self.seen_ticks);
        // Another CPU may have read the clock a tick later and stored it already.
        idle < 1 << 31
            && idle
                >= timeouts
                    .get(masked::<{ STATES as u32 - 1 }>(self.state as usize))
                    .copied()
                    .unwrap_or(0)
    }
}

/// What a packet means to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// It comes from the other end.
    pub from_remote: bool,
    /// IP protocol.
    pub protocol: u8,
    /// TCP flags.
    pub tcp_flags: u8,
    /// TCP: its sequence number is the one that this end has last acknowledged.
    pub exact_sequence: bool,
}

impl Seen {
    #[inline(always)]
    const fn pack(self) -> u32 {
        self.protocol as u32
            | (self.tcp_flags as u32) << 8
            | (self.from_remote as u32) << 16
            | (self.exact_sequence as u32) << 17
    }

    #[inline(always)]
    const fn unpack(packed: u32) -> Self {
        Self {
            from_remote: packed >> 16 & 1 != 0,
            protocol: packed as u8,
            tcp_flags: (packed >> 8) as u8,
            exact_sequence: packed >> 17 & 1 != 0,
        }
    }

    /// Of a packet at a hook; `local_acknowledgement` is what this end has last acknowledged, if it has.
    #[inline(always)]
    #[must_use]
    pub const fn of(headers: &Headers, from_remote: bool, local_acknowledgement: u32) -> Self {
        Self {
            from_remote,
            protocol: headers.protocol,
            tcp_flags: headers.tcp_flags,
            exact_sequence: headers.tcp_sequence == local_acknowledgement,
        }
    }
}

/// What becomes of a flow with a packet. The packet passes in each case but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The packet opens a flow anew: it has to be judged, and the old flow ends if it may.
    Reopen,
    /// Nothing but the time changes.
    Refresh,
    /// Not even the time changes.
    Keep,
    /// State and flags change.
    Become {
        /// New state.
        state: State,
        /// New flags.
        flags: u8,
        /// From now on the flow is assured: it belongs into the table that is never evicted from.
        assured: bool,
    },
}

impl Step {
    const REOPEN: u32 = 0;
    const REFRESH: u32 = 1;
    const KEEP: u32 = 2;
    const BECOME: u32 = 3;

    /// As one number, none of whose bits is undefined.
    #[inline(always)]
    const fn pack(self) -> u32 {
        match self {
            Self::Reopen => Self::REOPEN,
            Self::Refresh => Self::REFRESH,
            Self::Keep => Self::KEEP,
            Self::Become {
                state,
                flags,
                assured,
            } => Self::BECOME | (state as u32) << 8 | (flags as u32) << 16 | (assured as u32) << 24,
        }
    }

    #[inline(always)]
    const fn unpack(packed: u32) -> Self {
        match packed & 3 {
            Self::REOPEN => Self::Reopen,
            Self::REFRESH => Self::Refresh,
            Self::KEEP => Self::Keep,
            _ => Self::Become {
                state: State::from_number((packed >> 8) as u8),
                flags: (packed >> 16) as u8,
                assured: packed >> 24 & 1 != 0,
            },
        }
    }

    /// As [`advance`]; a function of its own on BPF. In line, LLVM reads fields of a step that has none, which the
    /// verifier refuses.
    #[inline(always)]
    #[must_use]
    pub fn of(flow: Flow, seen: Seen) -> Self {
        Self::unpack(advance_outlined(flow.pack(), seen.pack()))
    }
}

#[cfg_attr(target_arch = "bpf", inline(never))]
fn advance_outlined(flow: u64, seen: u32) -> u32 {
    advance(Flow::unpack(flow), Seen::unpack(seen)).pack()
}

/// What `seen` does to `flow`.
#[inline(always)]
#[must_use]
pub const fn advance(flow: Flow, seen: Seen) -> Step {
    if reopens(flow, seen) {
        return Step::Reopen;
    }
    if seen.protocol == protocol::TCP {
        advance_tcp(flow, seen)
    } else {
        advance_datagram(flow, seen)
    }
}

/// Whether a packet opens the flow anew, so that the rules have to be asked as for one without a flow.
#[inline(always)]
#[must_use]
pub const fn reopens(flow: Flow, seen: Seen) -> bool {
    let is_tcp = seen.protocol == protocol::TCP;
    match flow.state {
        // Nothing but the refusal itself may come in; that of a datagram is an ICMP error.
        State::Refused => !is_tcp || seen.tcp_flags & tcp::RST == 0 || from_opener(flow, seen),
        State::Closing | State::Reset | State::ResetInDoubt => {
            is_tcp && seen.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
        }
        _ => false,
    }
}

#[inline(always)]
const fn from_opener(flow: Flow, seen: Seen) -> bool {
    (flow.flags & OPENED_BY_REMOTE != 0) == seen.from_remote
}

#[inline(always)]
const fn advance_datagram(flow: Flow, seen: Seen) -> Step {
    if from_opener(flow, seen) {
        // A flow is assured once its opener has gone on after a reply: one spoofed packet cannot get there.
        return if flow.flags & REPLIED != 0 {
            Step::Become {
                state: flow.state,
                flags: flow.flags,
                assured: true,
            }
        } else {
            Step::Refresh
        };
    }
    if flow.flags & REPLIED != 0 {
        return Step::Refresh;
    }
    let state = match flow.state {
        State::Unreplied => State::Replied,
        other => other,
    };
    Step::Become {
        state,
        flags: flow.flags | REPLIED,
        assured: false,
    }
}

#[inline(always)]
const fn advance_tcp(flow: Flow, seen: Seen) -> Step {
    let opener = from_opener(flow, seen);
    let syn = seen.tcp_flags & tcp::SYN != 0;
    let ack = seen.tcp_flags & tcp::ACK != 0;
    if seen.tcp_flags & tcp::RST != 0 {
        return reset(flow, seen);
    }
    match flow.state {
        State::SynSent => match (opener, syn) {
            (false, true) => become_state(State::SynReceived, flow.flags | REPLIED),
            _ => Step::Refresh,
        },
        State::SynReceived if opener && ack => established(flow, seen),
        State::Established | State::HalfClosed if seen.tcp_flags & tcp::FIN != 0 => fin(flow, seen),
        // A SYN on a live connection is for the host's stack to answer (RFC 5961 4).
        State::SynReceived | State::Established | State::HalfClosed => Step::Refresh,
        State::Closing => Step::Refresh,
        // The reset answered a stale SYN/ACK; the right one follows.
        State::Reset | State::ResetInDoubt if syn && !opener => {
            become_state(State::SynReceived, flow.flags | REPLIED)
        }
        State::Reset | State::ResetInDoubt => after_reset(flow, seen),
        _ => Step::Keep,
    }
}

#[inline(always)]
const fn become_state(state: State, flags: u8) -> Step {
    Step::Become {
        state,
        flags,
        assured: false,
    }
}

#[inline(always)]
const fn established(flow: Flow, seen: Seen) -> Step {
    let flags = flow.flags | REPLIED;
    if seen.tcp_flags & tcp::FIN != 0 {
        return Step::Become {
            state: State::HalfClosed,
            flags: flags | fin_bit(seen),
            assured: true,
        };
    }
    Step::Become {
        state: State::Established,
        flags,
        assured: true,
    }
}

#[inline(always)]
const fn fin_bit(seen: Seen) -> u8 {
    if seen.from_remote { REMOTE_FIN } else { LOCAL_FIN }
}

#[inline(always)]
const fn fin(flow: Flow, seen: Seen) -> Step {
    let flags = flow.flags | fin_bit(seen);
    let both = REMOTE_FIN | LOCAL_FIN;
    let state = if flags & both == both {
        State::Closing
    } else {
        State::HalfClosed
    };
    become_state(state, flags)
}

/// A reset shortens the flow's life: at once where the receiver has to believe it, with time for the ends to go on
/// where it may be forged.
#[inline(always)]
const fn reset(flow: Flow, seen: Seen) -> Step {
    let flags = flow.flags & !(REMOTE_AFTER_RESET | LOCAL_AFTER_RESET);
    match flow.state {
        State::Refused | State::Reset => Step::Keep,
        State::Established | State::ResetInDoubt if seen.from_remote && !seen.exact_sequence => {
            become_state(State::ResetInDoubt, flags)
        }
        _ => become_state(State::Reset, flags),
    }
}

/// Traffic of both sides after a reset shows that the connection lives.
#[inline(always)]
const fn after_reset(flow: Flow, seen: Seen) -> Step {
    let bit = if seen.from_remote {
        REMOTE_AFTER_RESET
    } else {
        LOCAL_AFTER_RESET
    };
    let both = REMOTE_AFTER_RESET | LOCAL_AFTER_RESET;
    let flags = flow.flags | bit;
    if flags & both == both {
        return Step::Become {
            state: State::Established,
            flags: flags & !both,
            assured: true,
        };
    }
    if flags == flow.flags {
        Step::Keep
    } else {
        become_state(flow.state, flags)
    }
}
