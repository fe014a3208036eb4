//! The end of something that lasts for a while: on the kernel's clock, and on the calendar for after a reboot.

use std::{fs, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{calendar, dataplane::ClockReading};

/// The longest time that something may be given an end for: the kernel's clock counts ticks for eight years, and an end
/// must be told from the past.
pub const LONGEST: Duration = Duration::from_hours(24 * 366);

/// When something ends. The kernel's clock decides; nobody can step it. The calendar counts after a reboot only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// On the calendar, as it was when this was said.
    pub at: Timestamp,
    /// On the kernel's clock; never zero.
    pub ticks: u32,
    /// The boot whose clock that is.
    pub boot: String,
}

impl Moment {
    /// So long from now.
    #[must_use]
    pub fn after(wait: Duration, clock: &ClockReading) -> Self {
        let at = SignedDuration::try_from(wait).ok();
        let at = at.and_then(|wait| calendar::now().checked_add(wait).ok());
        Self {
            at: at.unwrap_or(Timestamp::MAX),
            // Zero is for ever.
            ticks: clock.deadline(wait).max(1),
            boot: this_boot(),
        }
    }

    /// How long it is till then.
    #[must_use]
    pub fn left(&self, clock: &ClockReading) -> Duration {
        clock.until(self.ticks)
    }

    /// The same moment on the clock of this boot. `since` is when it was set: a calendar that has been put back must not
    /// make it last for longer than it was to.
    #[must_use]
    pub fn in_this_boot(self, since: Timestamp, clock: &ClockReading) -> Self {
        if self.boot == this_boot() {
            return self;
        }
        let whole = self.at.duration_since(since);
        let left = self.at.duration_since(calendar::now()).min(whole);
        let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
        Self {
            at: self.at,
            ..Self::after(left, clock)
        }
    }
}

/// What the kernel calls this boot.
pub(super) fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use firewall_common::control::ClockScale;

    use super::*;

    const fn clock(now_ticks: u32) -> ClockReading {
        ClockReading {
            scale: ClockScale::for_hz(250),
            now_ticks,
        }
    }

    #[test]
    fn within_a_boot_the_kernels_clock_decides() {
        let moment = Moment::after(Duration::from_mins(1), &clock(1000));
        let stepped = Moment {
            at: Timestamp::UNIX_EPOCH,
            ..moment.clone()
        };
        assert_eq!(
            stepped.in_this_boot(Timestamp::now(), &clock(1200)).ticks,
            moment.ticks
        );
        assert!(moment.left(&clock(1000)) >= Duration::from_mins(1));
        assert_eq!(moment.left(&clock(moment.ticks)), Duration::ZERO);
    }

    #[test]
    fn after_a_reboot_the_calendar_decides_and_never_for_longer_than_was_said() {
        let since = Timestamp::now();
        let of_another_boot = |wait: i64| Moment {
            at: since + SignedDuration::from_secs(wait),
            ticks: 7,
            boot: "another".into(),
        };
        let left = of_another_boot(60).in_this_boot(since, &clock(0)).left(&clock(0));
        assert!(
            left > Duration::from_secs(55) && left < Duration::from_secs(62),
            "{left:?}"
        );
        let over = of_another_boot(-60).in_this_boot(since - SignedDuration::from_secs(90), &clock(0));
        assert!(over.left(&clock(0)) <= Duration::from_millis(100));
        // The calendar says that it was set an hour ahead of now: it has been put back since.
        let ahead = since + SignedDuration::from_hours(1);
        let moment = Moment {
            at: ahead + SignedDuration::from_secs(60),
            ticks: 7,
            boot: "another".into(),
        };
        assert!(moment.in_this_boot(ahead, &clock(0)).left(&clock(0)) < Duration::from_secs(62));
    }
}
