//! Idle times of flows, in the ticks of the kernel side's clock.

use firewall_common::{
    control::ClockScale,
    flow::{STATES, State, Timeouts},
};

use crate::policy::model::Timers;

/// How long a half-closed connection may be idle at least (RFC 5382 5: as long as an established one may be).
const HALF_CLOSED_SECONDS: u32 = 7440;

/// How long the refusal of an outgoing packet is let in.
const REFUSED_SECONDS: u32 = 2;

/// The idle time of each state, in ticks. A flow that is idle for exactly the configured time still lives.
#[must_use]
pub fn timeouts(timers: &Timers, clock: ClockScale) -> Timeouts {
    let mut timeouts = [0; STATES];
    for (number, place) in (0..).zip(&mut timeouts) {
        // The first and the last tick of the idle time may be all but over when they are read, so one more is added.
        *place = clock.ticks(seconds(timers, State::from_number(number))) + 1;
    }
    timeouts
}

fn seconds(timers: &Timers, state: State) -> u32 {
    let transitory = timers.tcp_transitory_seconds;
    match state {
        State::SynSent | State::SynReceived | State::Closing | State::ResetInDoubt => transitory,
        State::Established => timers.tcp_established_seconds,
        State::HalfClosed => timers
            .tcp_established_seconds
            .min(HALF_CLOSED_SECONDS.max(transitory)),
        State::Reset => timers.tcp_reset_seconds,
        State::Unreplied => timers.udp_unreplied_seconds,
        State::Replied => timers.udp_replied_seconds,
        State::Echo => timers.icmp_seconds,
        State::Other => timers.other_seconds,
        State::Refused => REFUSED_SECONDS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_lives_for_its_time_and_less_than_a_second_more() {
        for hz in [100, 250, 300, 1000] {
            let clock = ClockScale::for_hz(hz);
            let timers = Timers::default();
            let timeouts = timeouts(&timers, clock);
            for (state, wanted) in [
                (State::SynSent, 240),
                (State::SynReceived, 240),
                (State::Established, 86_400),
                (State::HalfClosed, 7_440),
                (State::Closing, 240),
                (State::Reset, 10),
                (State::ResetInDoubt, 240),
                (State::Unreplied, 120),
                (State::Replied, 300),
                (State::Echo, 60),
                (State::Other, 600),
                (State::Refused, 2),
            ] {
                let lowest = clock.milliseconds(timeouts[state as usize] - 1);
                assert!(lowest >= wanted * 1000, "{state:?} at {hz} Hz: {lowest}");
                let highest = clock.milliseconds(timeouts[state as usize]);
                assert!(highest < (wanted + 1) * 1000, "{state:?} at {hz} Hz: {highest}");
            }
        }
    }

    #[test]
    fn a_half_closed_connection_never_outlives_an_established_one() {
        let clock = ClockScale::for_hz(1000);
        let timers = Timers {
            tcp_established_seconds: 600,
            ..Timers::default()
        };
        let timeouts = timeouts(&timers, clock);
        assert_eq!(
            timeouts[State::HalfClosed as usize],
            timeouts[State::Established as usize]
        );
    }
}
