//! The calendar day of a point in time, for review dates.

use std::time::{SystemTime, UNIX_EPOCH};

use toml::value::Date;

const SECONDS_PER_DAY: u64 = 86400;
/// Days from 0000-03-01 to 1970-01-01 in the Gregorian calendar; years are counted from March, so that the leap day is
/// the last one.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
/// Days in 400 years, after which the calendar repeats itself.
const DAYS_PER_ERA: u64 = 146_097;

/// The day in UTC; `None` for times before 1970 or after the year 9999.
#[must_use]
pub fn day_of(time: SystemTime) -> Option<Date> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let days = seconds / SECONDS_PER_DAY + DAYS_BEFORE_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March: 153 days in each five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let year = u16::try_from(year).ok().filter(|year| *year <= 9999)?;
    Some(Date {
        year,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn day(seconds: u64) -> Option<(u16, u8, u8)> {
        day_of(UNIX_EPOCH + Duration::from_secs(seconds)).map(|date| (date.year, date.month, date.day))
    }

    #[test]
    fn days_that_are_known() {
        assert_eq!(day(0), Some((1970, 1, 1)));
        assert_eq!(day(951_782_399), Some((2000, 2, 28)));
        assert_eq!(day(951_782_400), Some((2000, 2, 29)));
        assert_eq!(day(951_868_800), Some((2000, 3, 1)));
        assert_eq!(day(4_107_542_399), Some((2100, 2, 28)));
        assert_eq!(day(4_107_542_400), Some((2100, 3, 1)));
        assert_eq!(day(253_402_300_799), Some((9999, 12, 31)));
    }

    #[test]
    fn days_that_are_not() {
        assert_eq!(day(253_402_300_800), None);
        assert_eq!(day_of(UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
