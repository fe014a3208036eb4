//! The policies that are measured.

use std::{fmt::Write, fs, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result, ensure};
use firewall_agent::{
    diagnostic::{SourceFile, SourceSet, Style, render_text},
    policy::{Options, Scope, Target, check, model::ValidPolicy},
};
use firewall_tests::host::failsafe;

use crate::{
    plain_rule::{DropRule, PORT},
    remotes::strangers,
};

/// The host of the shipped policies whose rules are measured.
pub(crate) const LOAD_BALANCER: &str = "lb-1";
/// Its addresses.
pub(crate) const LOAD_BALANCER_ADDRESSES: [&str; 2] = ["10.77.1.10", "fd77:1::10"];

/// What the policies that are made here start with.
const PRELUDE: &str = r#"layer = "role bench"
interfaces = ["*"]
[defaults]
incoming = "drop"
outgoing = "reject"
forwarded = "drop"
"#;

/// The file of the block list.
const LIST_FILE: &str = "bench.txt";
/// Names the list that the files below hold.
const LIST: &str = "[[blocklist]]\nname = \"bench\"\nfile = \"bench.txt\"\n";

/// The files of the shipped policy of a load balancer, by name, with these rules in front of its own and a block list
/// of so many addresses that nobody sends from.
pub(crate) fn load_balancer_files(rules: &[DropRule], listed: u32) -> Result<[(&'static str, String); 4]> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let read = |file| fs::read_to_string(directory.join(file)).with_context(|| format!("rules/{file}"));
    let role = read("lb.toml")?;
    let (head, tail) = role.split_once("[[rule]]").context("rules/lb.toml has no rule")?;
    let rules = listing(rules, "tcp")?;
    Ok([
        ("inventory.toml", read("inventory.toml")?),
        ("base.toml", read("base.toml")?),
        ("lb.toml", format!("{head}{LIST}{rules}[[rule]]{tail}")),
        (LIST_FILE, list(strangers(listed).map(|address| (address, 32)))?),
    ])
}

/// The policy that these files stand for.
pub(crate) fn load_balancer(rules: &[DropRule], listed: u32) -> Result<ValidPolicy> {
    let mut sources = SourceSet::new();
    for (file, text) in load_balancer_files(rules, listed)? {
        sources.add(if file == LIST_FILE {
            SourceFile::list(file, text)
        } else {
            SourceFile::new(file, text)
        });
    }
    of_sources(
        sources,
        Target {
            role: None,
            host: Some(LOAD_BALANCER.into()),
        },
    )
}

/// Rules in the policy language.
fn listing(rules: &[DropRule], protocol: &str) -> Result<String> {
    let mut text = String::new();
    for (number, DropRule { source, length, port }) in rules.iter().enumerate() {
        let [a, b, c, d] = source;
        writeln!(
            text,
            "[[rule]]\nname = \"r{number}\"\ndrop = \"{protocol}/{port}\"\nfrom = \"{a}.{b}.{c}.{d}/{length}\"\n"
        )?;
    }
    Ok(text)
}

/// Rules as all peers have them, and one that drops what is sent.
pub(crate) fn plain(rules: &[DropRule]) -> Result<ValidPolicy> {
    let mut text = listing(rules, "udp")?;
    write!(
        text,
        "[[rule]]\nname = \"last\"\ndrop = \"udp/{PORT}\"\nfrom = \"any\"\n"
    )?;
    of_rules(&text)
}

/// A list of prefixes from which nothing is let in, in front of all rules.
pub(crate) fn block_list(prefixes: impl Iterator<Item = ([u8; 4], u8)>) -> Result<ValidPolicy> {
    let mut sources = SourceSet::new();
    sources.add(SourceFile::new("bench.toml", format!("{PRELUDE}{LIST}")));
    sources.add(SourceFile::list(LIST_FILE, list(prefixes)?));
    of_sources(
        sources,
        Target {
            role: Some("bench".into()),
            host: None,
        },
    )
}

/// A list as a file.
fn list(prefixes: impl Iterator<Item = ([u8; 4], u8)>) -> Result<String> {
    let mut text = String::new();
    for (address, length) in prefixes {
        writeln!(text, "{}/{length}", Ipv4Addr::from(address))?;
    }
    Ok(text)
}

/// A policy of these rules for incoming packets.
pub(crate) fn of_rules(rules: &str) -> Result<ValidPolicy> {
    let mut sources = SourceSet::new();
    sources.add(SourceFile::new("bench.toml", format!("{PRELUDE}{rules}")));
    of_sources(
        sources,
        Target {
            role: Some("bench".into()),
            host: None,
        },
    )
}

fn of_sources(sources: SourceSet, target: Target) -> Result<ValidPolicy> {
    let options = Options {
        scope: Scope::One(target),
        failsafe: Some(failsafe()),
        ..Options::default()
    };
    let mut checked = check(sources, &options);
    let faults: Vec<_> = checked
        .diagnostics
        .iter()
        .filter(|one| one.is_error())
        .map(|one| render_text(one, &checked.sources, Style::Plain))
        .collect();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(checked.policies.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain_rule::drop_rules;

    #[test]
    fn policies_are_valid() {
        assert!(
            load_balancer(&[], 10)
                .unwrap()
                .rules
                .iter()
                .any(|rule| &*rule.name == "public-web")
        );
        assert_eq!(plain(&drop_rules(9)).unwrap().rules.len(), 10);
        assert!(of_rules("[[rule]]\nname = \"a\"\nallow = \"no-such-service\"\n").is_err());
    }
}
