//! Addresses that nobody names, for expectations about strangers.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use super::{
    link::Linked,
    model::{AddressSet, Ranges},
    ranges,
    syntax::Who,
};

/// Where IPv4 strangers are looked for: documentation (RFC 5737) first, then unicast outside 0/8 and 127/8.
const IPV4: [(Ipv4Addr, Ipv4Addr); 5] = [
    (Ipv4Addr::new(203, 0, 113, 66), Ipv4Addr::new(203, 0, 113, 254)),
    (Ipv4Addr::new(192, 0, 2, 66), Ipv4Addr::new(192, 0, 2, 254)),
    (Ipv4Addr::new(198, 51, 100, 66), Ipv4Addr::new(198, 51, 100, 254)),
    (Ipv4Addr::new(1, 0, 0, 0), Ipv4Addr::new(126, 255, 255, 255)),
    (Ipv4Addr::new(128, 0, 0, 0), Ipv4Addr::new(223, 255, 255, 255)),
];

/// Where IPv6 strangers are looked for: documentation (RFC 3849) first, then global unicast `2000::/3`.
const IPV6: [(Ipv6Addr, Ipv6Addr); 2] = [
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x66),
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0xffff),
    ),
    (
        Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0),
        Ipv6Addr::new(0x3fff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff),
    ),
];

/// One address of each family that no rule and no inventory entry names; a family without one stays empty.
pub(super) fn strangers(linked: &Linked) -> AddressSet {
    first_outside(&named(linked))
}

/// One address of each family outside of the set.
pub(super) fn first_outside(set: &AddressSet) -> AddressSet {
    let v4 = IPV4.map(|(first, last)| first.to_bits()..=last.to_bits());
    let v6 = IPV6.map(|(first, last)| first.to_bits()..=last.to_bits());
    AddressSet {
        v4: v4
            .into_iter()
            .find_map(|candidates| first_free(candidates, &set.v4))
            .unwrap_or_default(),
        v6: v6
            .into_iter()
            .find_map(|candidates| first_free(candidates, &set.v6))
            .unwrap_or_default(),
    }
}

fn first_free<T: ranges::Bound>(candidates: RangeInclusive<T>, taken: &Ranges<T>) -> Option<Ranges<T>> {
    let free = ranges::difference(&vec![candidates], taken);
    free.first().map(|range| vec![*range.start()..=*range.start()])
}

fn named(linked: &Linked) -> AddressSet {
    let rules = linked
        .layers()
        .flat_map(|layer| &layer.rules)
        .filter_map(|rule| rule.statement.as_ref());
    let expectations = linked
        .layers()
        .flat_map(|layer| &layer.expectations)
        .map(|one| &one.statement);
    let items = rules
        .chain(expectations)
        .flat_map(|statement| statement.written.parties.members())
        .flat_map(|members| &members.items);
    let literals = items.filter_map(|item| match &item.value.who {
        Who::Addresses(set) => Some(set.clone()),
        _ => None,
    });
    literals.chain([linked.inventory.all_addresses()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_outside_of_what_is_named() {
        let named = AddressSet::between(
            Ipv4Addr::new(203, 0, 113, 0).into(),
            Ipv4Addr::new(203, 0, 113, 255).into(),
        )
        .expect("a range");
        let stranger = first_outside(&named);
        assert!(stranger.intersection(&named).is_empty());
        assert_eq!((stranger.v4.len(), stranger.v6.len()), (1, 1));
    }

    #[test]
    fn where_everybody_is_named_there_is_no_stranger() {
        assert!(first_outside(&AddressSet::everything()).is_empty());
    }
}
