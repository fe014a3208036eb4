//! The conditions of drawn rules: of real ones the shares that the paper reports, and the shapes that are hard.

use std::ops::RangeInclusive;

use firewall_agent::policy::model::{AddressSet, Matches, ProtocolMatch};
use firewall_common::address::Family;

use super::{Shape, TCP, UDP, anything, ports};
use crate::random::Random;

/// Shares in percent, each with what it is a share of.
type Shares<T> = &'static [(usize, T)];

/// How many bits of an address count, of 32; IPv6 has four times as many.
const SOURCES: [Shares<u32>; 3] = [
    &[(10, 0), (5, 8), (10, 16), (35, 24), (10, 28), (30, 32)],
    &[(45, 0), (5, 8), (10, 16), (15, 24), (25, 32)],
    &[(10, 0), (5, 8), (15, 16), (30, 24), (10, 27), (30, 32)],
];
const DESTINATIONS: [Shares<u32>; 3] = [
    &[(5, 0), (10, 16), (30, 24), (55, 32)],
    &[(25, 0), (5, 16), (20, 24), (50, 32)],
    &[(15, 0), (15, 16), (35, 24), (35, 32)],
];

/// Kinds of a range of ports.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Any,
    /// From 1024 on.
    High,
    /// Up to 1023.
    Low,
    Range,
    Exact,
}

const SOURCE_PORTS: [Shares<Kind>; 3] = [
    &[(98, Kind::Any), (2, Kind::High)],
    &[(80, Kind::Any), (15, Kind::High), (5, Kind::Exact)],
    &[(85, Kind::Any), (5, Kind::High), (5, Kind::Low), (5, Kind::Exact)],
];
const DESTINATION_PORTS: [Shares<Kind>; 3] = [
    &[
        (25, Kind::Any),
        (5, Kind::High),
        (2, Kind::Low),
        (10, Kind::Range),
        (58, Kind::Exact),
    ],
    &[
        (35, Kind::Any),
        (10, Kind::High),
        (5, Kind::Low),
        (10, Kind::Range),
        (40, Kind::Exact),
    ],
    &[
        (35, Kind::Any),
        (5, Kind::High),
        (5, Kind::Low),
        (10, Kind::Range),
        (45, Kind::Exact),
    ],
];
const PROTOCOLS: [Shares<u8>; 3] = [
    &[(80, TCP), (15, UDP), (3, 1), (2, 0)],
    &[(60, TCP), (25, UDP), (7, 1), (8, 0)],
    &[(65, TCP), (25, UDP), (5, 1), (5, 0)],
];

/// Draws what rules match.
pub(super) struct Draw {
    random: Random,
    /// Of an address.
    bits: u32,
    /// Prefixes drawn so far, for others to lie in.
    networks: Vec<(u128, u32)>,
}

impl Draw {
    pub(super) fn new(family: Family, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            bits: if family == Family::V4 { 32 } else { 128 },
            networks: Vec::new(),
        }
    }

    /// What the rule of this number matches.
    pub(super) fn matches(&mut self, shape: Shape, number: usize) -> Matches {
        match shape {
            Shape::Acl | Shape::Fw | Shape::Ipc => self.like_classbench(shape),
            Shape::Wildcards => self.wildcard(),
            Shape::Overlapping => self.overlapping(),
            Shape::AlternatingPorts => self.alternating(number),
            Shape::Nests => self.nested(number),
        }
    }

    fn share<T: Copy>(&mut self, shares: Shares<T>) -> T {
        let mut number = self.random.below(100);
        for &(percent, what) in shares {
            if number < percent {
                return what;
            }
            number -= percent;
        }
        shares[0].1
    }

    fn like_classbench(&mut self, shape: Shape) -> Matches {
        let row = match shape {
            Shape::Fw => 1,
            Shape::Ipc => 2,
            _ => 0,
        };
        let source = self.share(SOURCES[row]);
        let destination = self.share(DESTINATIONS[row]);
        Matches {
            protocols: vec![self.protocol(row)],
            source: self.prefix(source * self.bits / 32),
            destination: self.prefix(destination * self.bits / 32),
            ..anything()
        }
    }

    fn protocol(&mut self, row: usize) -> ProtocolMatch {
        match self.share(PROTOCOLS[row]) {
            0 => ProtocolMatch::Any,
            1 if self.bits == 32 => ProtocolMatch::Icmp4(vec![0x0800..=0x08ff]),
            1 => ProtocolMatch::Icmp6(vec![0x8000..=0x80ff]),
            protocol => {
                let source = self.share(SOURCE_PORTS[row]);
                let destination = self.share(DESTINATION_PORTS[row]);
                ports(protocol, self.ports(source), self.ports(destination))
            }
        }
    }

    /// Ranges never hold [`super::LAST_PORT`] unless they hold nearly everything.
    fn ports(&mut self, kind: Kind) -> RangeInclusive<u16> {
        let well_known = [
            22, 25, 53, 80, 110, 123, 143, 389, 443, 993, 1433, 3306, 5432, 8080,
        ];
        let below = |random: &mut Random, bound| u16::try_from(random.below(bound)).expect("16 bits");
        match kind {
            Kind::Any => 0..=u16::MAX,
            Kind::High => 1024..=u16::MAX,
            Kind::Low => 0..=1023,
            Kind::Range => {
                let first = 5000 + below(&mut self.random, 50_000);
                first..=first + below(&mut self.random, 1000)
            }
            Kind::Exact if self.random.percent(60) => {
                let port = *self.random.pick(&well_known);
                port..=port
            }
            Kind::Exact => {
                let port = 1 + below(&mut self.random, 4000);
                port..=port
            }
        }
    }

    /// A prefix of so many bits; three of four lie in one that was drawn before.
    fn prefix(&mut self, length: u32) -> Option<AddressSet> {
        if length == 0 {
            return None;
        }
        let (base, kept) = if !self.networks.is_empty() && self.random.percent(75) {
            *self.random.pick(&self.networks)
        } else {
            (self.fresh(), self.bits / 8)
        };
        let kept = kept.min(length);
        let random = self.random.wide() & (u128::MAX >> (128 - self.bits));
        let number = base & high(self.bits, kept) | random & !high(self.bits, kept);
        Some(self.keep(number, length))
    }

    /// Global unicast, outside of what is never a source.
    fn fresh(&mut self) -> u128 {
        let random = self.random.wide();
        if self.bits == 32 {
            let first = [11 + random % 100, 130 + random % 60][usize::from(random >> 100 & 1 == 1)];
            return first << 24 | random >> 64 & 0x00ff_ffff;
        }
        0x2000 << 112 | (random >> 8) & (u128::MAX >> 4)
    }

    fn keep(&mut self, number: u128, length: u32) -> AddressSet {
        let first = number & high(self.bits, length);
        self.networks.push((first, length));
        let last = first | !high(self.bits, length) & (u128::MAX >> (128 - self.bits));
        if self.bits == 128 {
            return AddressSet {
                v6: vec![first..=last],
                ..AddressSet::default()
            };
        }
        let narrow = |number| u32::try_from(number).expect("32 bits");
        AddressSet {
            v4: vec![narrow(first)..=narrow(last)],
            ..AddressSet::default()
        }
    }

    fn wildcard(&mut self) -> Matches {
        let protocol = [TCP, UDP][self.random.below(2)];
        Matches {
            protocols: vec![ports(protocol, 0..=u16::MAX, 0..=u16::MAX)],
            ..anything()
        }
    }

    fn overlapping(&mut self) -> Matches {
        let mut range = || {
            let first = u16::try_from(self.random.below(30_000)).expect("16 bits");
            first..=first + 30_000
        };
        let (source_ports, destination_ports) = (range(), range());
        let mut short = || {
            let length = 1 + u32::try_from(self.random.below(6)).expect("small");
            self.prefix(length)
        };
        Matches {
            source: short(),
            destination: short(),
            protocols: vec![ports(TCP, source_ports, destination_ports)],
            ..anything()
        }
    }

    fn alternating(&mut self, number: usize) -> Matches {
        let port = u16::try_from(number * 2 % 65_536).expect("16 bits");
        let source = if number.is_multiple_of(3) {
            self.prefix(self.bits)
        } else {
            None
        };
        Matches {
            source,
            protocols: vec![ports(TCP, 0..=u16::MAX, port..=port)],
            ..anything()
        }
    }

    /// A nest of one address for each so many rules, from its longest prefix to its shortest.
    fn nested(&mut self, number: usize) -> Matches {
        let depth = u32::try_from(number).expect("a number of rules") % self.bits;
        let inner = if depth == 0 {
            self.fresh()
        } else {
            self.networks[self.networks.len() - 1].0
        };
        let source = self.keep(inner, self.bits - depth);
        let port = u16::try_from(number % 97).expect("small");
        Matches {
            source: Some(source),
            protocols: vec![ports(TCP, 0..=u16::MAX, port..=u16::MAX - port)],
            ..anything()
        }
    }
}

/// The upper so many of `bits` bits.
const fn high(bits: u32, length: u32) -> u128 {
    if length == 0 {
        return 0;
    }
    (u128::MAX << (128 - length)) >> (128 - bits)
}
