//! The policy that comes out.

use schemars::JsonSchema;
use std::fmt::Write;

use super::{
    ChainPolicy, Ruleset,
    conditions::{Addresses, Chain, Conditions, Family, Item, Understood, Verdict},
};

/// A rule that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct LeftOut {
    /// `line 12`, or `inet filter input handle 7`.
    pub place: String,
    /// As it stands there.
    pub source: String,
    /// Why.
    pub why: String,
}

/// An imported policy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct Imported {
    /// The text of a role's policy file.
    pub policy: String,
    /// Rules that are in it.
    pub rules: usize,
    /// Rules that hold by themselves here.
    pub implied: usize,
    /// Rules that are not in it.
    pub left_out: Vec<LeftOut>,
}

pub(super) fn write(ruleset: &Ruleset, role: &str) -> Imported {
    let mut imported = Imported {
        policy: String::new(),
        rules: 0,
        implied: 0,
        left_out: Vec::new(),
    };
    let mut body = String::new();
    for item in &ruleset.items {
        let text = match &item.what {
            Understood::Rule {
                chain,
                verdict,
                conditions,
            } => match rule(item, *chain, *verdict, conditions) {
                Ok(text) => {
                    imported.rules += 1;
                    text
                }
                Err(why) => left_out(item, why, &mut imported),
            },
            Understood::Implied(why) => {
                imported.implied += 1;
                format!(
                    "\n# Not needed ({}): {}\n# {why}.\n",
                    item.place,
                    one_line(&item.source)
                )
            }
            Understood::Not(why) => left_out(item, why.clone(), &mut imported),
        };
        body.push_str(&text);
    }
    let (defaults, rest) = defaults(&ruleset.defaults);
    imported.rules += rest.matches("[[rule]]").count();
    let head = format!(
        "# Imported: {} rules, {} that hold by themselves, {} not carried over (look for NOT CARRIED OVER).\n\
         layer = \"role {role}\"\n\n# As in the source, every interface; `lo` never is.\ninterfaces = [\"*\"]\n",
        imported.rules,
        imported.implied,
        imported.left_out.len()
    );
    imported.policy = head + &defaults + &body + &rest;
    imported
}

fn left_out(item: &Item, why: String, imported: &mut Imported) -> String {
    let text = format!(
        "\n# NOT CARRIED OVER ({}): {}\n# {why}.\n",
        item.place,
        one_line(&item.source)
    );
    imported.left_out.push(LeftOut {
        place: item.place.clone(),
        source: item.source.clone(),
        why,
    });
    text
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// A default is for both families here: one that accepts in a single family becomes the last rule.
fn defaults(defaults: &[Option<ChainPolicy>; 2]) -> (String, String) {
    let mut text = "\n[defaults]\n".to_owned();
    let mut rest = String::new();
    for (default, (key, end)) in defaults.iter().zip([("incoming", "from"), ("outgoing", "to")]) {
        let accepts_all = match default {
            // Without a chain nothing is filtered.
            None => true,
            Some(default) => default.accepts && default.family == Family::Any,
        };
        let source = default.as_ref().map(|default| one_line(&default.source));
        let source = source.unwrap_or_else(|| "no chain: nothing is filtered".to_owned());
        let verdict = if accepts_all { "allow" } else { "drop" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# {source}\n{key} = \"{verdict}\"");
        if let Some(default) = default.as_ref().filter(|default| default.accepts && !accepts_all) {
            let _ = write!(
                rest,
                "\n# {source}\n[[rule]]\nname = \"{key}-default\"\nallow = \"any\"\n{end} = \"{}\"\n",
                default.family.everybody()
            );
        }
    }
    (text, rest)
}

fn rule(item: &Item, chain: Chain, verdict: Verdict, conditions: &Conditions) -> Result<String, String> {
    let (remote, own, end) = match chain {
        Chain::Input => (&conditions.source, &conditions.destination, "from"),
        Chain::Output => (&conditions.destination, &conditions.source, "to"),
    };
    if own.is_some() {
        return Err(
            "it names an address of this host: put the host into the inventory and say `from` and `to`"
                .to_owned(),
        );
    }
    let what = what(conditions)?;
    let key = match verdict {
        Verdict::Accept => "allow",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
    };
    // Writing to a string cannot fail.
    let mut text = format!("\n# {}: {}\n", item.place, one_line(&item.source));
    for note in &conditions.notes {
        let _ = writeln!(text, "# {}.", one_line(note));
    }
    let _ = writeln!(text, "[[rule]]\nname = \"{}\"", item.name);
    let _ = writeln!(text, "{key} = {}", list(&what));
    let _ = writeln!(text, "{end} = {}", list(&who(remote.as_ref(), conditions.family)));
    if !conditions.interfaces.is_empty() {
        let _ = writeln!(text, "interface = {}", list(&conditions.interfaces));
    }
    if !conditions.source_ports.is_empty() {
        let _ = writeln!(text, "from_port = {}", list(&conditions.source_ports));
    }
    if let Some(comment) = &conditions.comment {
        let _ = writeln!(text, "reason = {}", quoted(comment));
    }
    Ok(text)
}

fn who(addresses: Option<&Addresses>, family: Family) -> Vec<String> {
    match addresses {
        None => vec![family.everybody().to_owned()],
        Some(addresses) if addresses.is_negated => std::iter::once(family.everybody().to_owned())
            .chain(addresses.members.iter().map(|member| format!("not {member}")))
            .collect(),
        Some(addresses) => addresses.members.clone(),
    }
}

fn what(conditions: &Conditions) -> Result<Vec<String>, String> {
    let has_ports = !conditions.destination_ports.is_empty() || !conditions.source_ports.is_empty();
    if conditions.protocols.is_empty() {
        return if has_ports {
            Err("it names ports without a protocol".to_owned())
        } else {
            Ok(vec!["any".to_owned()])
        };
    }
    let of = |protocol: &String| -> Result<Vec<String>, String> {
        let with = |parts: &[String]| parts.iter().map(|part| format!("{protocol}/{part}")).collect();
        match &**protocol {
            "tcp" | "udp" | "udplite" | "sctp" if !conditions.destination_ports.is_empty() => {
                Ok(with(&conditions.destination_ports))
            }
            "tcp" | "udp" | "udplite" | "sctp" => Ok(vec![protocol.clone()]),
            _ if has_ports => Err(format!("{protocol} has no ports")),
            "icmp" | "icmpv6" if !conditions.icmp.is_empty() => Ok(with(&conditions.icmp)),
            _ => Ok(vec![protocol.clone()]),
        }
    };
    Ok(conditions
        .protocols
        .iter()
        .map(of)
        .collect::<Result<Vec<_>, _>>()?
        .concat())
}

fn list(members: &[String]) -> String {
    match members {
        [one] => quoted(one),
        many => {
            let many: Vec<String> = many.iter().map(|one| quoted(one)).collect();
            format!("[{}]", many.join(", "))
        }
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
