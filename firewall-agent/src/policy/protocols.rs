//! Lists of protocol matches in a form in which equal lists are equal values.

use std::collections::BTreeMap;

use super::{
    model::{ProtocolMatch, Ranges},
    ranges,
};

/// Joins what can be joined and brings the rest into order. `Any` takes everything else in.
pub(super) fn merged(matches: impl IntoIterator<Item = ProtocolMatch>) -> Vec<ProtocolMatch> {
    let mut merged = Merged::default();
    for one in matches {
        merged.add(one);
    }
    merged.into_list()
}

/// Restricts every match that has ports to these source ports; `None` if one of them has no ports.
pub(super) fn with_source_ports(
    matches: Vec<ProtocolMatch>,
    ports: &Ranges<u16>,
) -> Option<Vec<ProtocolMatch>> {
    matches
        .into_iter()
        .map(|one| match one {
            ProtocolMatch::Ports {
                protocol,
                destination,
                ..
            } => Some(ProtocolMatch::Ports {
                protocol,
                source: ports.clone(),
                destination,
            }),
            _ => None,
        })
        .collect()
}

/// A protocol with ports and its source ports; the latter as pairs, which can be ordered.
type Sender = (u8, Vec<(u16, u16)>);

#[derive(Default)]
struct Merged {
    any: bool,
    /// Destination ports.
    ports: BTreeMap<Sender, Ranges<u16>>,
    icmp4: Ranges<u16>,
    icmp6: Ranges<u16>,
    numbers: Ranges<u8>,
}

impl Merged {
    fn add(&mut self, one: ProtocolMatch) {
        match one {
            ProtocolMatch::Any => self.any = true,
            ProtocolMatch::Ports {
                protocol,
                source,
                destination,
            } => {
                let source = source
                    .iter()
                    .map(|range| (*range.start(), *range.end()))
                    .collect();
                let known = self.ports.entry((protocol, source)).or_default();
                *known = ranges::union(known, &destination);
            }
            ProtocolMatch::Icmp4(messages) => self.icmp4 = ranges::union(&self.icmp4, &messages),
            ProtocolMatch::Icmp6(messages) => self.icmp6 = ranges::union(&self.icmp6, &messages),
            ProtocolMatch::Number(number) => {
                self.numbers = ranges::union(&self.numbers, &vec![number..=number]);
            }
        }
    }

    fn into_list(self) -> Vec<ProtocolMatch> {
        if self.any {
            return vec![ProtocolMatch::Any];
        }
        let mut list: Vec<_> = self
            .ports
            .into_iter()
            .map(|((protocol, source), destination)| {
                let source = source.into_iter().map(|(start, end)| start..=end).collect();
                ProtocolMatch::Ports {
                    protocol,
                    source,
                    destination,
                }
            })
            .collect();
        list.extend((!self.icmp4.is_empty()).then_some(ProtocolMatch::Icmp4(self.icmp4)));
        list.extend((!self.icmp6.is_empty()).then_some(ProtocolMatch::Icmp6(self.icmp6)));
        list.extend(self.numbers.into_iter().flatten().map(ProtocolMatch::Number));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(destination: Ranges<u16>) -> ProtocolMatch {
        ProtocolMatch::Ports {
            protocol: 6,
            source: ranges::full(),
            destination,
        }
    }

    #[test]
    fn ports_of_one_protocol_are_joined_and_order_does_not_matter() {
        let one = merged([tcp(vec![80..=80]), ProtocolMatch::Number(112), tcp(vec![81..=90])]);
        let other = merged([
            tcp(vec![80..=90]),
            ProtocolMatch::Number(112),
            ProtocolMatch::Number(112),
        ]);
        assert_eq!(one, other);
        assert_eq!(one, vec![tcp(vec![80..=90]), ProtocolMatch::Number(112)]);
    }

    #[test]
    fn any_takes_everything_in() {
        assert_eq!(
            merged([tcp(vec![80..=80]), ProtocolMatch::Any]),
            vec![ProtocolMatch::Any]
        );
    }

    #[test]
    fn only_ports_take_source_ports() {
        assert!(with_source_ports(vec![tcp(vec![53..=53])], &vec![53..=53]).is_some());
        assert_eq!(
            with_source_ports(vec![ProtocolMatch::Number(112)], &vec![53..=53]),
            None
        );
    }
}
