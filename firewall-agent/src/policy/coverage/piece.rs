//! The packets of a rule as products of sets, one set for each field.

use std::{ops::RangeInclusive, sync::Arc};

use super::super::{
    evaluate::glob_matches,
    model::{AddressSet, Direction, Matches, ProtocolMatch, Ranges, Rule},
    ranges,
};

/// The fields of a packet that rules look at, as indices into [`Piece::fields`].
pub(super) const FIELDS: usize = 6;
const PROTOCOL: usize = 0;
/// Destination port, or `type << 8 | code` of an ICMP message.
const DESTINATION_PORT: usize = 1;
const SOURCE_PORT: usize = 2;
const SOURCE: usize = 3;
const DESTINATION: usize = 4;
const VLAN: usize = 5;

/// Stands for "untagged" among the VLAN identifiers, which have twelve bits.
const UNTAGGED: u128 = 4096;

type Field = Arc<Ranges<u128>>;

/// Packets of one direction and family; only those can overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Plane {
    direction: Direction,
    is_v6: bool,
}

/// All packets whose every field is in the set for that field.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    /// Index of the rule.
    pub(super) rule: usize,
    /// Interface globs of the rule.
    interfaces: Option<&'a [String]>,
    fields: [Field; FIELDS],
}

impl Piece<'_> {
    /// From the least to the greatest value of a field.
    pub(super) fn bounds(&self, field: usize) -> RangeInclusive<u128> {
        let set = &self.fields[field];
        let start = set.first().map_or(1, |range| *range.start());
        let end = set.last().map_or(0, |range| *range.end());
        start..=end
    }

    /// The set of a field.
    pub(super) fn field(&self, field: usize) -> &[RangeInclusive<u128>] {
        &self.fields[field]
    }

    pub(super) fn contains(&self, packet: &[u128; FIELDS]) -> bool {
        packet
            .iter()
            .zip(&self.fields)
            .all(|(value, set)| ranges::contains(set, *value))
    }

    /// Whether it takes every packet of the other, on every interface of the other.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.covers_interfaces_of(other)
            && self
                .fields
                .iter()
                .zip(&other.fields)
                .all(|(whole, part)| ranges::is_subset(part, whole))
    }

    /// Whether it holds on every interface that the other holds on. Two patterns are only compared by their
    /// beginnings, so that the answer may be a wrong "no", never a wrong "yes".
    pub(super) fn covers_interfaces_of(&self, other: &Self) -> bool {
        match (self.interfaces, other.interfaces) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(whole), Some(parts)) => parts
                .iter()
                .all(|part| whole.iter().any(|glob| glob_covers(glob, part))),
        }
    }

    /// What is left of this piece without the other, as disjoint pieces; `None` if they have nothing in common.
    pub(super) fn without(&self, other: &Self) -> Option<Vec<Self>> {
        let common: [Ranges<u128>; FIELDS] =
            std::array::from_fn(|field| ranges::intersection(&self.fields[field], &other.fields[field]));
        if common.iter().any(Vec::is_empty) {
            return None;
        }
        let mut rest = Vec::new();
        let mut remaining = self.clone();
        for (field, common) in common.into_iter().enumerate() {
            let outside = ranges::difference(&remaining.fields[field], &other.fields[field]);
            if !outside.is_empty() {
                let mut piece = remaining.clone();
                piece.fields[field] = Arc::new(outside);
                rest.push(piece);
            }
            remaining.fields[field] = Arc::new(common);
        }
        Some(rest)
    }
}

fn glob_covers(glob: &str, part: &str) -> bool {
    let wild = |text: &str| text.contains(['*', '?']);
    if !wild(part) {
        return glob_matches(glob.as_bytes(), part.as_bytes());
    }
    let literal_start = glob.strip_suffix('*').filter(|start| !wild(start));
    glob == part || literal_start.is_some_and(|start| part.starts_with(start))
}

/// Cuts rules into pieces; the sets that hold every value of a field are shared.
#[derive(Debug)]
pub(super) struct Cutter {
    protocol: Field,
    port: Field,
    v4: Field,
    v6: Field,
    vlan: Field,
}

impl Cutter {
    pub(super) fn new() -> Self {
        let upto = |last: u128| Arc::new(vec![0..=last]);
        Self {
            protocol: upto(u8::MAX.into()),
            port: upto(u16::MAX.into()),
            v4: upto(u32::MAX.into()),
            v6: upto(u128::MAX),
            vlan: upto(UNTAGGED),
        }
    }

    /// All packets of a rule, by plane.
    pub(super) fn pieces<'a>(&self, index: usize, rule: &'a Rule) -> Vec<(Plane, Piece<'a>)> {
        let mut pieces = Vec::new();
        for is_v6 in [false, true] {
            let plane = Plane {
                direction: rule.direction,
                is_v6,
            };
            let addresses = [&rule.matches.source, &rule.matches.destination];
            let [source, destination] = addresses.map(|set| self.addresses(set.as_ref(), is_v6));
            if source.is_empty() || destination.is_empty() {
                continue;
            }
            for [protocol, source_port, destination_port] in self.protocols(&rule.matches, is_v6) {
                let mut fields: [Field; FIELDS] = std::array::from_fn(|_| self.vlan.clone());
                fields[PROTOCOL] = protocol;
                fields[SOURCE_PORT] = source_port;
                fields[DESTINATION_PORT] = destination_port;
                fields[SOURCE] = source.clone();
                fields[DESTINATION] = destination.clone();
                if let Some(vlans) = &rule.matches.vlans {
                    fields[VLAN] = widened(vlans);
                }
                let interfaces = rule.matches.interfaces.as_deref();
                pieces.push((
                    plane,
                    Piece {
                        rule: index,
                        interfaces,
                        fields,
                    },
                ));
            }
        }
        pieces
    }

    fn addresses(&self, set: Option<&AddressSet>, is_v6: bool) -> Field {
        match (set, is_v6) {
            (None, false) => self.v4.clone(),
            (None, true) => self.v6.clone(),
            (Some(set), false) => widened(&set.v4),
            (Some(set), true) => Arc::new(set.v6.clone()),
        }
    }

    /// Protocol, source ports and destination ports of each kind of packet that exists in the family.
    fn protocols(&self, matches: &Matches, is_v6: bool) -> Vec<[Field; 3]> {
        let single = |protocol: u8| Arc::new(vec![protocol.into()..=u128::from(protocol)]);
        let every = || self.port.clone();
        let kinds = matches.protocols.iter().filter_map(|protocol| match protocol {
            ProtocolMatch::Any => Some([self.protocol.clone(), every(), every()]),
            ProtocolMatch::Ports {
                protocol,
                source,
                destination,
            } => Some([single(*protocol), self.ports(source), self.ports(destination)]),
            ProtocolMatch::Icmp4(messages) => (!is_v6).then(|| [single(1), every(), self.ports(messages)]),
            ProtocolMatch::Icmp6(messages) => is_v6.then(|| [single(58), every(), self.ports(messages)]),
            ProtocolMatch::Number(number) => Some([single(*number), every(), every()]),
        });
        kinds.collect()
    }

    fn ports(&self, set: &Ranges<u16>) -> Field {
        if ranges::is_full(set) {
            self.port.clone()
        } else {
            widened(set)
        }
    }
}

fn widened<T: Copy + Into<u128>>(set: &[RangeInclusive<T>]) -> Field {
    Arc::new(
        set.iter()
            .map(|range| (*range.start()).into()..=(*range.end()).into())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_cover_each_other() {
        for (glob, part, expected) in [
            ("eth*", "eth0", true),
            ("eth*", "eth1*", true),
            ("eth*", "eth*", true),
            ("eth1*", "eth*", false),
            ("*", "en?", true),
            ("e*0", "eth?0", false),
            ("eth0", "eth*", false),
        ] {
            assert_eq!(glob_covers(glob, part), expected, "{glob} {part}");
        }
    }
}
