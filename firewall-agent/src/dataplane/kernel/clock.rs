//! The kernel programs' clock, worked out in user space.

use std::{os::fd::BorrowedFd, thread, time::Duration};

use bytemuck::Zeroable;
use firewall_common::{admin::Response, control::ClockScale};
use nix::time::{ClockId, clock_gettime};

use super::admin::read_clock;
use crate::dataplane::{ClockReading, DataplaneError};

/// What `CONFIG_HZ` can be on x86-64 (kernel/Kconfig.hz).
const RATES: [u32; 4] = [100, 250, 300, 1000];
/// How long to count. A virtual machine may be held up for longer than the first of them.
const MEASURES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// How far a count may be off, in percent: less than half of what lies between 250 and 300.
const TOLERANCE: u64 = 8;
const NANOSECONDS: u64 = 1_000_000_000;

/// Jiffies and nanoseconds read at one moment; everything later follows.
///
/// Jiffies are counted up from the monotonic clock, by one for each whole tick of `TICK_NSEC` (kernel/time/tick-sched.c,
/// `tick_do_update_jiffies64`), so that the two cannot drift apart and the kernel has to be asked once only.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelClock {
    scale: ClockScale,
    jiffies: u64,
    nanoseconds: u64,
}

impl KernelClock {
    /// Finds out how fast jiffies run.
    pub(super) fn measure(admin: BorrowedFd<'_>) -> Result<Self, DataplaneError> {
        let [short, long] = MEASURES;
        Self::measure_for(admin, short).or_else(|_| Self::measure_for(admin, long))
    }

    fn measure_for(admin: BorrowedFd<'_>, time: Duration) -> Result<Self, DataplaneError> {
        let first = read_clock(admin)?;
        thread::sleep(time);
        Self::between(&first, &read_clock(admin)?)
    }

    fn between(first: &Response, second: &Response) -> Result<Self, DataplaneError> {
        let jiffies = second.jiffies.wrapping_sub(first.jiffies);
        let nanoseconds = second
            .monotonic_nanoseconds
            .wrapping_sub(first.monotonic_nanoseconds);
        let expected = |rate: u32| nanoseconds.saturating_mul(rate.into()) / NANOSECONDS;
        let fits = |rate: &u32| expected(*rate).abs_diff(jiffies) * 100 <= expected(*rate) * TOLERANCE;
        let rate = RATES
            .into_iter()
            .find(fits)
            .ok_or(DataplaneError::UnknownClock { jiffies, nanoseconds })?;
        Ok(Self::at(second, rate))
    }

    /// With a rate that was measured before, on the same kernel.
    pub(super) fn known(admin: BorrowedFd<'_>, jiffies_per_second: u32) -> Result<Self, DataplaneError> {
        if !RATES.contains(&jiffies_per_second) {
            return Self::measure(admin);
        }
        Ok(Self::at(&read_clock(admin)?, jiffies_per_second))
    }

    /// One that user space sets, and whose rate is therefore a matter of taste: that of [`crate::engine::HostEngine`].
    pub(super) fn set_by_hand() -> Self {
        Self::at(&Response::zeroed(), ClockScale::TYPICAL.jiffies_per_second)
    }

    const fn at(reading: &Response, jiffies_per_second: u32) -> Self {
        Self {
            scale: ClockScale::for_hz(jiffies_per_second),
            jiffies: reading.jiffies,
            nanoseconds: reading.monotonic_nanoseconds,
        }
    }

    pub(super) const fn scale(&self) -> ClockScale {
        self.scale
    }

    /// The time now.
    pub(super) fn read(&self) -> Result<ClockReading, DataplaneError> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| DataplaneError::Syscall {
            action: "read the clock",
            source: error.into(),
        })?;
        Ok(self.reading_at(Duration::from(now)))
    }

    fn reading_at(&self, monotonic: Duration) -> ClockReading {
        let rate = u64::from(self.scale.jiffies_per_second);
        let tick_nanoseconds = (NANOSECONDS + rate / 2) / rate;
        let now = u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX);
        let passed = now.saturating_sub(self.nanoseconds) / tick_nanoseconds;
        let ticks = self.jiffies.wrapping_add(passed) >> self.scale.shift;
        ClockReading {
            scale: self.scale,
            now_ticks: low_word(ticks),
        }
    }
}

/// Ticks count in 32 bits and wrap.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half is what wraps away"
)]
const fn low_word(ticks: u64) -> u32 {
    ticks as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reading(jiffies: u64, nanoseconds: u64) -> Response {
        Response {
            jiffies,
            monotonic_nanoseconds: nanoseconds,
        }
    }

    #[test]
    fn every_rate_is_told_apart() {
        for rate in RATES {
            for jitter in [0, u64::from(rate) / 200] {
                let start = reading(u64::from(u32::MAX) - 5, 7);
                let jiffies = u64::from(rate) / 10 - jitter;
                let end = reading(start.jiffies + jiffies, 100_000_007);
                let clock = KernelClock::between(&start, &end).unwrap();
                assert_eq!(clock.scale.jiffies_per_second, rate);
            }
        }
        let unknown = KernelClock::between(&reading(0, 0), &reading(64, 100_000_000));
        assert!(matches!(
            unknown,
            Err(DataplaneError::UnknownClock { jiffies: 64, .. })
        ));
    }

    #[test]
    fn the_time_follows_from_one_reading_and_wraps() {
        let clock = KernelClock::at(&reading((1 << 36) - 16, 0), 250);
        assert_eq!(clock.reading_at(Duration::ZERO).now_ticks, u32::MAX);
        assert_eq!(clock.reading_at(Duration::from_millis(63)).now_ticks, u32::MAX);
        assert_eq!(clock.reading_at(Duration::from_millis(64)).now_ticks, 0);
        assert_eq!(clock.reading_at(Duration::from_millis(1088)).now_ticks, 16);
    }
}
