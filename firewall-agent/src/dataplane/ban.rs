//! Bans as the kernel's tables hold them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::ClockReading;

/// Prefixes that are banned, and until when: a tick, or zero for ever.
pub type Bans = BTreeMap<IpNet, u32>;

/// What the tables have to hold for these bans. The programs look at the longest prefix only, so each one holds for as
/// long as any that covers it: an end must not open what a wider ban still keeps shut.
#[must_use]
pub fn ban_table(bans: &Bans, clock: &ClockReading) -> Bans {
    let lengths: BTreeSet<(bool, u8)> = bans.keys().map(length).collect();
    bans.iter()
        .map(|(&prefix, &expires)| {
            let covering = lengths.iter().filter(|wider| is_wider(**wider, prefix));
            let longest = covering
                .filter_map(|&(_, bits)| bans.get(&IpNet::new(prefix.addr(), bits).ok()?.trunc()).copied())
                .fold(expires, |longest, other| later(longest, other, clock));
            (prefix, longest)
        })
        .collect()
}

fn length(prefix: &IpNet) -> (bool, u8) {
    (matches!(prefix, IpNet::V6(_)), prefix.prefix_len())
}

fn is_wider(wider: (bool, u8), prefix: IpNet) -> bool {
    let (is_v6, bits) = length(&prefix);
    wider.0 == is_v6 && wider.1 < bits
}

/// The end that comes last. Ticks wrap, so that both are seen from now.
fn later(one: u32, other: u32, clock: &ClockReading) -> u32 {
    if one == 0 || other == 0 {
        return 0;
    }
    if clock.until(other) > clock.until(one) {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use firewall_common::control::ClockScale;

    use super::*;

    fn table(now_ticks: u32, bans: &[(&str, u32)]) -> Vec<(String, u32)> {
        let clock = ClockReading {
            scale: ClockScale::for_hz(250),
            now_ticks,
        };
        let bans = bans
            .iter()
            .map(|(prefix, expires)| (prefix.parse().expect("a prefix"), *expires));
        let table = ban_table(&bans.collect(), &clock).into_iter();
        table
            .map(|(prefix, expires)| (prefix.to_string(), expires))
            .collect()
    }

    #[test]
    fn a_narrow_ban_lasts_as_long_as_a_wider_one() {
        let bans = [
            ("10.0.0.0/8", 100),
            ("10.1.0.0/16", 50),
            ("10.2.0.0/16", 200),
            ("192.0.2.1/32", 10),
        ];
        let expected = [
            ("10.0.0.0/8", 100),
            ("10.1.0.0/16", 100),
            ("10.2.0.0/16", 200),
            ("192.0.2.1/32", 10),
        ]
        .map(|(prefix, expires)| (prefix.to_owned(), expires));
        assert_eq!(table(1, &bans), expected);
    }

    #[test]
    fn for_ever_is_longest_and_families_are_apart() {
        let bans = [
            ("0.0.0.0/0", 0),
            ("10.1.0.0/16", 50),
            ("::/64", 7),
            ("::1/128", 5),
        ];
        let expires: Vec<u32> = table(1, &bans).into_iter().map(|(_, expires)| expires).collect();
        assert_eq!(expires, [0, 0, 7, 7]);
    }

    #[test]
    fn ends_are_compared_where_the_clock_wraps() {
        let bans = [("10.0.0.0/8", 5), ("10.1.0.0/16", u32::MAX - 1)];
        assert_eq!(table(u32::MAX - 10, &bans)[1].1, 5);
    }
}
