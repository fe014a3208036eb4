//! What `nft -j list ruleset` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    ChainPolicy, ImportError, Ruleset,
    conditions::{Addresses, Chain, Conditions, Family, Item, Understood, Verdict, by_loopback, by_state},
};

/// What makes a rule impossible to carry over.
type Obstacle = String;

/// A base chain of a filter hook.
#[derive(Debug, Clone, Copy)]
struct Base {
    chain: Chain,
    family: Family,
}

/// Table family, table and name.
type Key = (String, String, String);

pub(super) fn read(text: &str) -> Result<Ruleset, ImportError> {
    let not_that = |why: String| ImportError::NotThat {
        command: "nft -j list ruleset",
        why,
    };
    let value: Value = serde_json::from_str(text).map_err(|error| not_that(error.to_string()))?;
    let objects = value["nftables"].as_array();
    let objects = objects.ok_or_else(|| not_that("it has no list `nftables`".to_owned()))?;
    let mut ruleset = Ruleset::default();
    let mut bases: BTreeMap<Key, Base> = BTreeMap::new();
    let mut further: BTreeSet<Key> = BTreeSet::new();
    let mut sets: BTreeMap<Key, Value> = BTreeMap::new();
    for object in objects {
        if let Some(set) = object.get("set") {
            sets.insert(key(set, "name"), set["elem"].clone());
        }
        let Some(chain) = object.get("chain") else {
            continue;
        };
        let hook = match chain["hook"].as_str() {
            Some("input") => Chain::Input,
            Some("output") => Chain::Output,
            _ => continue,
        };
        let family = match chain["family"].as_str() {
            Some("inet") => Family::Any,
            Some("ip") => Family::V4,
            Some("ip6") => Family::V6,
            _ => continue,
        };
        let key = key(chain, "name");
        // nft lets pass what every chain of the hook lets pass; here one list of rules decides.
        if chain["type"] != "filter" || bases.values().any(|base| base.chain == hook) {
            further.insert(key);
            continue;
        }
        ruleset.defaults[hook as usize] = Some(ChainPolicy {
            accepts: chain["policy"].as_str() != Some("drop"),
            family,
            source: format!(
                "chain {} {}: policy {}",
                key.1,
                key.2,
                chain["policy"].as_str().unwrap_or("accept")
            ),
        });
        bases.insert(key, Base { chain: hook, family });
    }
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let key = key(rule, "chain");
        let handle = rule["handle"].as_u64().unwrap_or_default();
        let what = match bases.get(&key) {
            Some(base) => understand(rule, *base, &key, &sets).unwrap_or_else(Understood::Not),
            None if further.contains(&key) => Understood::Not(
                "it stands in a further chain of a hook: nft asks both, and here one list of rules decides"
                    .to_owned(),
            ),
            None => Understood::Not(format!("chain {} is no filter chain for input or output", key.2)),
        };
        ruleset.items.push(Item {
            place: format!("{} {} {} handle {handle}", key.0, key.1, key.2),
            name: format!("{}-{handle}", slug(&key.2)),
            source: rule["expr"].to_string(),
            what,
        });
    }
    Ok(ruleset)
}

fn slug(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

fn key(object: &Value, name: &str) -> Key {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    (text("family"), text("table"), text(name))
}

/// What a map of connection states comes to here.
const STATES: &str = "replies of live flows and the ICMP errors that belong to them pass without a rule, and packets in \
    mid-connection without a flow are dropped without one";

/// Whether a verdict map is of connection states, and says of each what holds here without a rule.
fn is_of_states(map: &Value) -> bool {
    let elements = map["data"]["set"].as_array();
    let holds = |element: &Value| {
        let (state, verdict) = (element[0].as_str(), &element[1]);
        match state {
            Some("established" | "related") => verdict.get("accept").is_some(),
            Some("invalid") => verdict.get("drop").is_some(),
            _ => false,
        }
    };
    map["key"]["ct"]["key"] == "state" && elements.is_some_and(|elements| elements.iter().all(holds))
}

fn understand(
    rule: &Value,
    base: Base,
    key: &Key,
    sets: &BTreeMap<Key, Value>,
) -> Result<Understood, Obstacle> {
    let mut conditions = Conditions {
        family: base.family,
        comment: rule["comment"].as_str().map(str::to_owned),
        ..Conditions::default()
    };
    let mut verdict = None;
    for statement in rule["expr"].as_array().into_iter().flatten() {
        let (name, value) = statement
            .as_object()
            .and_then(|object| object.iter().next())
            .ok_or("a statement cannot be read")?;
        match &**name {
            "match" => matched(value, base, &mut conditions, &|name: &str| {
                let of = (key.0.clone(), key.1.clone(), name.to_owned());
                sets.get(&of).cloned()
            })?,
            "accept" => verdict = Some(Verdict::Accept),
            "drop" => verdict = Some(Verdict::Drop),
            "reject" => {
                verdict = Some(Verdict::Reject);
                if !value.is_null() {
                    conditions.notes.push(format!(
                        "it is refused with {value}; here TCP is answered by a reset, everything else by an ICMP error"
                    ));
                }
            }
            "counter" => {}
            "vmap" if is_of_states(value) => return Ok(Understood::Implied(STATES)),
            "log" => conditions.notes.push(
                "its `log` is left out: say log = \"5/s\" for at most five events in a second".to_owned(),
            ),
            other => return Err(format!("statement {other} has no counterpart")),
        }
    }
    let Some(verdict) = verdict else {
        return Err("it decides nothing".to_owned());
    };
    let implied =
        by_state(verdict, &conditions.states).or_else(|| by_loopback(verdict, &conditions.interfaces));
    Ok(implied.unwrap_or_else(|| Understood::Rule {
        chain: base.chain,
        verdict,
        conditions: Box::new(conditions),
    }))
}

fn matched(
    value: &Value,
    base: Base,
    conditions: &mut Conditions,
    set_of: &dyn Fn(&str) -> Option<Value>,
) -> Result<(), Obstacle> {
    let is_negated = match value["op"].as_str() {
        Some("==" | "in") => false,
        Some("!=") => true,
        other => return Err(format!("comparison {} has no counterpart", other.unwrap_or("?"))),
    };
    let left = &value["left"];
    let members = members(&value["right"], set_of)?;
    if let Some(payload) = left.get("payload") {
        let (protocol, field) = (payload["protocol"].as_str(), payload["field"].as_str());
        let is_address = matches!(field, Some("saddr" | "daddr"));
        if is_negated && !is_address {
            return Err("a negation has no counterpart but for addresses".to_owned());
        }
        return match (protocol, field) {
            (Some(family @ ("ip" | "ip6")), Some(end @ ("saddr" | "daddr"))) => {
                conditions.family = if family == "ip" { Family::V4 } else { Family::V6 };
                let addresses = Some(Addresses { is_negated, members });
                if end == "saddr" {
                    conditions.source = addresses;
                } else {
                    conditions.destination = addresses;
                }
                Ok(())
            }
            (Some("ip"), Some("protocol")) => {
                conditions.family = Family::V4;
                conditions.protocols = members
                    .iter()
                    .map(|name| protocol_of(name))
                    .collect::<Result<_, _>>()?;
                Ok(())
            }
            (Some("ip6"), Some("nexthdr")) => {
                conditions.family = Family::V6;
                conditions.protocols = members
                    .iter()
                    .map(|name| protocol_of(name))
                    .collect::<Result<_, _>>()?;
                Ok(())
            }
            (Some(name @ ("tcp" | "udp" | "udplite" | "sctp" | "th")), Some(end @ ("sport" | "dport"))) => {
                if name != "th" {
                    conditions.protocols = vec![name.to_owned()];
                }
                numbers(&members)?;
                if end == "sport" {
                    conditions.source_ports = members;
                } else {
                    conditions.destination_ports = members;
                }
                Ok(())
            }
            (Some(name @ ("icmp" | "icmpv6")), Some("type")) => {
                conditions.protocols = vec![name.to_owned()];
                conditions.icmp = members
                    .iter()
                    .map(|kind| icmp_of(kind))
                    .collect::<Result<_, _>>()?;
                Ok(())
            }
            (protocol, field) => Err(format!(
                "{} {} has no counterpart",
                protocol.unwrap_or("?"),
                field.unwrap_or("?")
            )),
        };
    }
    if is_negated {
        return Err("a negation has no counterpart but for addresses".to_owned());
    }
    if left["ct"]["key"] == "state" {
        conditions.states = members;
        return Ok(());
    }
    match left["meta"]["key"].as_str() {
        Some("l4proto") => {
            conditions.protocols = members
                .iter()
                .map(|name| protocol_of(name))
                .collect::<Result<_, _>>()?;
            Ok(())
        }
        Some("nfproto") => {
            conditions.family = match members.as_slice() {
                [one] if one == "ipv4" => Family::V4,
                [one] if one == "ipv6" => Family::V6,
                _ => return Err("more than one family".to_owned()),
            };
            Ok(())
        }
        Some("iifname" | "iif") if base.chain == Chain::Input => {
            conditions.interfaces = members;
            Ok(())
        }
        Some("oifname" | "oif") if base.chain == Chain::Output => {
            conditions.interfaces = members;
            Ok(())
        }
        _ => Err(format!("{left} has no counterpart")),
    }
}

/// The right side of a comparison as words: `22`, `1000-2000`, `10.0.0.0/8`.
fn members(value: &Value, set_of: &dyn Fn(&str) -> Option<Value>) -> Result<Vec<String>, Obstacle> {
    let word = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("{other} cannot be read")),
    };
    match value {
        Value::String(name) if name.starts_with('@') => {
            let set = set_of(&name[1..]).filter(|set| !set.is_null());
            members(
                &set.ok_or_else(|| format!("set {name} is empty or not there"))?,
                set_of,
            )
        }
        Value::String(_) | Value::Number(_) => Ok(vec![word(value)?]),
        Value::Array(list) => {
            let all = list.iter().map(|one| members(one, set_of));
            Ok(all.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Value::Object(object) => match object.iter().next() {
            Some((name, list)) if name == "set" => members(list, set_of),
            Some((name, prefix)) if name == "prefix" => {
                Ok(vec![format!("{}/{}", word(&prefix["addr"])?, prefix["len"])])
            }
            Some((name, range)) if name == "range" => {
                Ok(vec![format!("{}-{}", word(&range[0])?, word(&range[1])?)])
            }
            // An element with a comment; one with a time-out ends by itself, which nothing does here.
            Some((name, element)) if name == "elem" && element.get("timeout").is_none() => {
                members(&element["val"], set_of)
            }
            _ => Err(format!("{value} has no counterpart")),
        },
        other => Err(format!("{other} has no counterpart")),
    }
}

/// Service names are printed for well-known ports unless `-n` is given; which they stand for is not guessed.
fn numbers(members: &[String]) -> Result<(), Obstacle> {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    match members.iter().find(|text| !text.split('-').all(is_number)) {
        Some(name) => Err(format!("port {name} is no number")),
        None => Ok(()),
    }
}

fn protocol_of(name: &str) -> Result<String, Obstacle> {
    Ok(match name {
        "tcp" | "udp" | "udplite" | "sctp" | "icmp" => name.to_owned(),
        "icmpv6" | "ipv6-icmp" => "icmpv6".to_owned(),
        "gre" => "protocol/47".to_owned(),
        "esp" => "protocol/50".to_owned(),
        "ah" => "protocol/51".to_owned(),
        "vrrp" => "protocol/112".to_owned(),
        "igmp" => "protocol/2".to_owned(),
        number if number.parse::<u8>().is_ok() => format!("protocol/{number}"),
        other => return Err(format!("protocol {other} is not known here")),
    })
}

/// The names that nft prints (`nft describe icmp type`), which are those of both families.
fn icmp_of(name: &str) -> Result<String, Obstacle> {
    const NAMES: [&str; 8] = [
        "echo-request",
        "echo-reply",
        "destination-unreachable",
        "time-exceeded",
        "parameter-problem",
        "packet-too-big",
        "timestamp-request",
        "timestamp-reply",
    ];
    if NAMES.contains(&name) || name.parse::<u8>().is_ok() {
        Ok(name.to_owned())
    } else {
        Err(format!("ICMP type {name} is not carried over"))
    }
}
