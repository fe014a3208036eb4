//! Rules of a shape that every peer has: a source and a port.

use firewall_tests::random::Random;

/// The port that is sent to; no other rule has it.
pub(crate) const PORT: u16 = 4443;
const SEED: u64 = 1;

/// Drops what comes from a prefix to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DropRule {
    /// The prefix.
    pub(crate) source: [u8; 4],
    /// Its length in bits.
    pub(crate) length: u8,
    /// The port.
    pub(crate) port: u16,
}

/// The same rules each time, no two of them the same, none for what is sent.
pub(crate) fn drop_rules(count: u16) -> Vec<DropRule> {
    let mut random = Random::new(SEED);
    (0..count)
        .map(|number| {
            let [a, b] = number.to_be_bytes();
            let (source, length) = if random.percent(50) {
                ([203, 0, a, b], 32)
            } else {
                ([100, a, b, 0], 24)
            };
            let port = u16::try_from(1 + random.below(4000)).unwrap_or(1);
            DropRule { source, length, port }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_the_same_each_time_and_none_has_the_port() {
        let rules = drop_rules(1000);
        assert_eq!(rules, drop_rules(1000));
        assert!(rules.iter().all(|rule| rule.port != PORT));
        let mut sources: Vec<_> = rules.iter().map(|rule| rule.source).collect();
        sources.sort_unstable();
        sources.dedup();
        assert_eq!(sources.len(), 1000);
    }
}
