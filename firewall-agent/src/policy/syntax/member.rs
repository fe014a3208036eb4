//! Who a rule speaks of: hosts, groups, networks, addresses.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{super::model::AddressSet, findings::Problem, name};

/// One item of `from`, `to` or `among`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Whether it takes away instead of adding.
    pub(crate) negated: bool,
    /// Who.
    pub(crate) who: Who,
}

/// Who an item names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Every address.
    Any,
    /// This host.
    This,
    /// In expectations: an address that no rule and no inventory entry names.
    Stranger,
    /// Addresses written out.
    Addresses(AddressSet),
    /// The name of a host, role, group or network.
    Name(Arc<str>),
}

/// Reads one item.
pub(crate) fn parse(text: &str) -> Result<Member, Problem> {
    match text.strip_prefix("not ") {
        Some(rest) => who(rest).map(|who| Member { negated: true, who }),
        None => who(text).map(|who| Member { negated: false, who }),
    }
}

fn who(text: &str) -> Result<Who, Problem> {
    match text {
        "any" => Ok(Who::Any),
        "self" => Ok(Who::This),
        "stranger" => Ok(Who::Stranger),
        _ if looks_like_addresses(text) => addresses(text).map(Who::Addresses),
        _ => name::check_new(text).map(|()| Who::Name(text.into())),
    }
}

/// No name contains a dot, colon or slash or begins with a digit.
fn looks_like_addresses(text: &str) -> bool {
    text.contains(['.', ':', '/']) || text.starts_with(|first: char| first.is_ascii_digit())
}

/// A single address, a network or a range.
pub(crate) fn addresses(text: &str) -> Result<AddressSet, Problem> {
    if text.contains('/') {
        return network(text);
    }
    match text.split_once('-') {
        None => address(text).map(AddressSet::from),
        Some((first, last)) => {
            let (first, last) = (address(first)?, address(last)?);
            AddressSet::between(first, last).ok_or_else(|| {
                Problem::new(format!(
                    "the range `{text}` does not go upwards within one family"
                ))
            })
        }
    }
}

/// A single address.
pub(crate) fn address(text: &str) -> Result<IpAddr, Problem> {
    let address: IpAddr = text.parse().map_err(|_| {
        Problem::new(format!("`{}` is not an address", text.escape_debug())).hint(
            "write an address, a network such as 10.1.0.0/16, a range such as 10.1.0.1-10.1.0.9, or a name",
        )
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(mapped(v6.to_ipv4_mapped().map(IpAddr::V4))),
        _ => Ok(address),
    }
}

fn mapped(inner: Option<IpAddr>) -> Problem {
    let problem = Problem::new("an IPv4-mapped address is never seen on the wire");
    match inner {
        Some(inner) => problem.hint(format!("write {inner}")),
        None => problem,
    }
}

fn network(text: &str) -> Result<AddressSet, Problem> {
    let network: IpNet = text.parse().map_err(|_| {
        Problem::new(format!("`{}` is not a network", text.escape_debug()))
            .hint("write an address, a slash and the length of the prefix, such as 10.1.0.0/16")
    })?;
    if network.trunc() != network {
        return Err(
            Problem::new(format!("`{text}` has bits set behind its prefix")).hint(format!(
                "write {} for the network or {} for the host",
                network.trunc(),
                network.addr()
            )),
        );
    }
    Ok(AddressSet::from(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> AddressSet {
        match parse(text) {
            Ok(Member {
                negated: false,
                who: Who::Addresses(set),
            }) => set,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn addresses_networks_and_ranges() {
        assert_eq!(set("10.0.0.0/30"), set("10.0.0.0-10.0.0.3"));
        assert_eq!(set("fd77:1::10"), set("fd77:1::10/128"));
        assert!(set("::/0").v4.is_empty());
    }

    #[test]
    fn names_and_words() {
        assert_eq!(
            parse("web-1"),
            Ok(Member {
                negated: false,
                who: Who::Name("web-1".into())
            })
        );
        assert_eq!(
            parse("not guests"),
            Ok(Member {
                negated: true,
                who: Who::Name("guests".into())
            })
        );
        assert_eq!(
            parse("any"),
            Ok(Member {
                negated: false,
                who: Who::Any
            })
        );
        assert_eq!(
            parse("not self"),
            Ok(Member {
                negated: true,
                who: Who::This
            })
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-fd77::1",
            "::ffff:10.0.0.1",
            "fe80::1%eth0",
            "!guests",
            "not",
            "not  guests",
            "not not guests",
            "Web",
            "10.0.0.0 /8",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_with_host_bits_says_both_ways_out() {
        let problem = parse("10.1.2.3/16").expect_err("host bits");
        assert_eq!(
            problem.hint.as_deref(),
            Some("write 10.1.0.0/16 for the network or 10.1.2.3 for the host")
        );
    }
}
