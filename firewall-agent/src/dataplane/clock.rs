//! The clock of the kernel programs, read from user space.

use std::time::Duration;

use firewall_common::control::ClockScale;

/// A moment on the clock that flows and deadlines count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Length of a tick.
    pub scale: ClockScale,
    /// The time.
    pub now_ticks: u32,
}

impl ClockReading {
    /// The tick at which at least `wait` from now has passed.
    #[must_use]
    pub fn deadline(&self, wait: Duration) -> u32 {
        let seconds = u32::try_from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).unwrap_or(u32::MAX);
        self.now_ticks.wrapping_add(self.scale.ticks(seconds))
    }

    /// Time until a tick; zero where it has been reached.
    #[must_use]
    pub fn until(&self, ticks: u32) -> Duration {
        let ahead = ticks.wrapping_sub(self.now_ticks);
        if ahead < 1 << 31 {
            Duration::from_millis(self.scale.milliseconds(ahead))
        } else {
            Duration::ZERO
        }
    }

    /// Time since a tick; zero where it lies ahead.
    #[must_use]
    pub fn since(&self, ticks: u32) -> Duration {
        let behind = self.now_ticks.wrapping_sub(ticks);
        if behind < 1 << 31 {
            Duration::from_millis(self.scale.milliseconds(behind))
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_lie_ahead_also_where_the_clock_wraps() {
        let clock = ClockReading {
            scale: ClockScale::for_hz(250),
            now_ticks: u32::MAX - 3,
        };
        let deadline = clock.deadline(Duration::from_mins(1));
        assert!(deadline < 1_000, "it has wrapped");
        assert!(clock.until(deadline) >= Duration::from_mins(1));
        assert!(clock.until(deadline) < Duration::from_millis(60_100));
        assert_eq!(clock.since(deadline), Duration::ZERO);
        assert_eq!(clock.until(u32::MAX - 4), Duration::ZERO);
        assert_eq!(clock.since(u32::MAX - 4), Duration::from_millis(64));
    }
}
