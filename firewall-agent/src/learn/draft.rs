//! The text of the draft.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use jiff::{Timestamp, Unit};

use super::{
    group::{Group, groups, sources_of},
    observations::{Observations, Service, Traffic},
};
use crate::{
    diagnostic::{SourceFile, SourceSet},
    policy::{self, Options, Scope},
};

/// Rules that are written; what comes after them is a comment.
const MOST_RULES: usize = 200;

/// Dropped services that are written.
const MOST_DROPPED: usize = 50;

/// A drafted policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The text of a policy file.
    pub text: String,
    /// Rules in it.
    pub rules: usize,
    /// Whether `fwctl check` finds no errors in it.
    pub checks: bool,
}

/// Drafts a policy for a role, of which the interfaces are filtered.
#[must_use]
pub fn draft(seen: &Observations, role: &str, interfaces: &[String]) -> Draft {
    let mut text = head(seen, role, interfaces);
    let mut rules = 0;
    for (direction, title) in [("in", "What comes in"), ("out", "What goes out")] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n# {title}");
        for group in groups(of(&seen.passed, direction)) {
            if rules == MOST_RULES {
                let _ = writeln!(text, "# and more: {}", one_line(&group.what().join(", ")));
                continue;
            }
            text.push_str(&rule(seen, &group));
            rules += 1;
        }
        if direction == "in" {
            text.push_str(&unused(seen));
        }
    }
    text.push_str(&dropped(seen));
    Draft {
        checks: checks(&text),
        text,
        rules,
    }
}

fn of<'a>(
    services: &'a BTreeMap<Service, Traffic>,
    direction: &'a str,
) -> impl Iterator<Item = (&'a Service, &'a Traffic)> {
    services
        .iter()
        .filter(move |(service, _)| service.direction == direction)
}

fn head(seen: &Observations, role: &str, interfaces: &[String]) -> String {
    let mut text = "# Drafted by `fwctl learn` from what was seen of live traffic".to_owned();
    if let Some((first, last)) = seen.span {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# from {} to {}", moment(first), moment(last));
    }
    let _ = write!(
        text,
        ": {} that pass, {} dropped and logged.\n\
         # Edit it: what was not seen in that time has no rule, and what was seen is not always wanted. What the failsafe\n\
         # lets in needs no rule. Where a rule says WIDENED, it lets in more than was seen.\n",
        plural(seen.connections(), "connection"),
        plural(seen.packets(), "packet")
    );
    if seen.left_out() + seen.events_lost > 0 {
        let _ = writeln!(
            text,
            "# INCOMPLETE: {} and {} were too many to be looked at.",
            plural(seen.left_out(), "connection"),
            plural(seen.events_lost, "log event")
        );
    }
    let quoted: Vec<String> = interfaces.iter().map(|name| quoted(name)).collect();
    let _ = writeln!(text, "layer = {}", quoted_role(role));
    let interfaces = if quoted.is_empty() {
        "\"*\"".to_owned()
    } else {
        quoted.join(", ")
    };
    let _ = writeln!(text, "interfaces = [{interfaces}]");
    text
}

fn quoted_role(role: &str) -> String {
    quoted(&format!("role {role}"))
}

fn rule(seen: &Observations, group: &Group<'_>) -> String {
    let mut text = String::new();
    for (service, traffic) in &group.services {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n# {}: {} with {}, {}",
            service.what(),
            plural(traffic.count, "connection"),
            addresses(traffic),
            when(traffic)
        );
        if service.direction == "in" {
            let _ = writeln!(text, "# {}", listener(seen, service));
        }
        let _ = writeln!(text, "# now by: {}", deciders(traffic));
        for note in &sources_of(traffic).notes {
            let _ = writeln!(text, "# {note}");
        }
    }
    text.push_str(&group.sentence());
    text
}

fn listener(seen: &Observations, service: &Service) -> String {
    let Some(port) = service.port else {
        return "the host itself answers".to_owned();
    };
    match seen.listening.get(&(service.protocol.clone(), port)) {
        None => "nothing listens on it now".to_owned(),
        Some(processes) if processes.is_empty() => "a socket listens on it".to_owned(),
        Some(processes) => {
            let names: Vec<&str> = processes.iter().map(String::as_str).collect();
            one_line(&format!("{} listens on it", names.join(", ")))
        }
    }
}

/// Sockets that nobody was seen to use.
fn unused(seen: &Observations) -> String {
    let mut text = String::new();
    for ((protocol, port), processes) in &seen.listening {
        let service = Service {
            direction: "in".to_owned(),
            protocol: protocol.clone(),
            port: Some(*port),
            icmp: None,
        };
        if !seen.passed.contains_key(&service) {
            let names: Vec<&str> = processes.iter().map(String::as_str).collect();
            let who = if names.is_empty() {
                "a socket".to_owned()
            } else {
                names.join(", ")
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "# {} has no rule: {} listens on it, and no connection was seen",
                service.what(),
                one_line(&who)
            );
        }
    }
    if !text.is_empty() {
        text.insert(0, '\n');
    }
    text
}

/// What is dropped now, as comments: a draft lets nothing in that was kept out.
fn dropped(seen: &Observations) -> String {
    let mut text = String::new();
    if !seen.dropped.is_empty() {
        text.push_str(
            "\n# What is dropped now, as far as it was logged. To let it through, take the `#` away from its rule.\n",
        );
        for group in groups(seen.dropped.iter().take(MOST_DROPPED)) {
            text.push('\n');
            for (service, traffic) in &group.services {
                text.push_str(&dropped_line(service, traffic));
            }
            // Of a message that is not known nothing can be said.
            if group.services.iter().all(|(service, _)| service.has_rule()) {
                text.push_str(&commented(&group));
            }
        }
        text.push_str(&more(seen.dropped.len()));
    }
    if !seen.beyond.is_empty() {
        text.push_str("\n# What is dropped whatever the rules say, as far as it was logged.\n\n");
        for (service, traffic) in seen.beyond.iter().take(MOST_DROPPED) {
            text.push_str(&dropped_line(service, traffic));
        }
        text.push_str(&more(seen.beyond.len()));
    }
    text
}

fn dropped_line(service: &Service, traffic: &Traffic) -> String {
    format!(
        "# {} {}: {} with {}, {}; by {}\n",
        service.direction,
        one_line(&service.describe()),
        plural(traffic.count, "packet"),
        addresses(traffic),
        when(traffic),
        deciders(traffic)
    )
}

/// A rule that could be put in.
fn commented(group: &Group<'_>) -> String {
    let notes = group
        .services
        .iter()
        .flat_map(|(_, traffic)| sources_of(traffic).notes);
    let notes: BTreeSet<String> = notes.collect();
    let sentence = group.sentence();
    let mut text = String::new();
    for line in notes.iter().map(String::as_str).chain(sentence.lines()) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# {line}");
    }
    text
}

fn more(count: usize) -> String {
    let more = count.saturating_sub(MOST_DROPPED);
    if more == 0 {
        return String::new();
    }
    format!("\n# and {} more\n", plural(more as u64, "service"))
}

fn deciders(traffic: &Traffic) -> String {
    let deciders: Vec<&str> = traffic.deciders.iter().map(String::as_str).collect();
    one_line(&deciders.join(", "))
}

fn addresses(traffic: &Traffic) -> String {
    let count = traffic.remotes.len();
    let more = if traffic.has_more { "more than " } else { "" };
    let noun = if count == 1 { "address" } else { "addresses" };
    format!("{more}{count} {noun}")
}

fn when(traffic: &Traffic) -> String {
    format!(
        "first seen {}, last new one {}",
        moment(traffic.first),
        moment(traffic.last)
    )
}

fn moment(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(shown).collect()
}

/// As a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn checks(text: &str) -> bool {
    let mut sources = SourceSet::new();
    sources.add(SourceFile::new("learned.toml", text.to_owned()));
    let options = Options {
        scope: Scope::Files,
        ..Options::default()
    };
    !policy::check(sources, &options).has_errors()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{IcmpMessage, Learned, Listening, SeenConnection};

    fn connection(
        direction: &str,
        protocol: &str,
        port: Option<u16>,
        remote: &str,
        passed: bool,
    ) -> SeenConnection {
        SeenConnection {
            direction: direction.to_owned(),
            protocol: protocol.to_owned(),
            port,
            icmp: None,
            remote: remote.parse().expect("an address"),
            passed,
            by_policy: true,
            decider: if passed { "site" } else { "(default in)" }.to_owned(),
            count: 3,
        }
    }

    fn seen() -> Observations {
        let mut seen = Observations::default();
        let learned = Learned {
            at: Timestamp::UNIX_EPOCH,
            connections: vec![
                connection("in", "tcp", Some(443), "192.0.2.1", true),
                connection("in", "tcp", Some(443), "2001:db8::1", true),
                connection("in", "icmpv6", None, "2001:db8::1", true),
                connection("in", "112", None, "192.0.2.7", true),
                connection("out", "udp", Some(53), "192.0.2.53", true),
                connection("in", "tcp", Some(8080), "192.0.2.66", false),
                connection("in", "icmp", None, "192.0.2.66", false),
            ],
            listening: Some(vec![
                Listening {
                    protocol: "tcp".to_owned(),
                    address: [0, 0, 0, 0].into(),
                    port: 443,
                },
                Listening {
                    protocol: "tcp".to_owned(),
                    address: [0, 0, 0, 0].into(),
                    port: 5432,
                },
            ]),
            left_out: 0,
            events_lost: 0,
            ended: true,
        };
        seen.add(learned, |_, port| {
            let name = if port == 443 {
                "nginx\n[[rule]]"
            } else {
                "postgres"
            };
            BTreeSet::from([name.to_owned()])
        });
        seen
    }

    #[test]
    fn what_passes_has_a_rule_and_what_is_dropped_a_comment() {
        let draft = draft(&seen(), "web", &["eth0".to_owned()]);
        assert!(draft.checks, "{}", draft.text);
        assert_eq!(draft.rules, 4);
        for part in [
            "layer = \"role web\"\ninterfaces = [\"eth0\"]\n",
            "name = \"in-tcp-443\"\nallow = \"tcp/443\"\nfrom = [\"192.0.2.1\", \"2001:db8::1\"]\n",
            "name = \"in-ping\"\nallow = \"ping\"\nfrom = \"2001:db8::1\"\n",
            "name = \"in-protocol-112\"\nallow = \"protocol/112\"\n",
            "name = \"out-udp-53\"\nallow = \"udp/53\"\nto = \"192.0.2.53\"\n",
            "# tcp/443: 6 connections with 2 addresses, first seen 1970-01-01T00:00:00Z",
            "# nginx [[rule]] listens on it\n",
            "# tcp/5432 has no rule: postgres listens on it",
            "# allow = \"tcp/8080\"\n# from = \"192.0.2.66\"\n",
            "# in icmp: 3 packets with 1 address",
        ] {
            assert!(draft.text.contains(part), "{part}\n{}", draft.text);
        }
        assert!(!draft.text.contains("\nallow = \"tcp/8080\""), "it is kept out");
        assert_eq!(draft.text.lines().filter(|line| *line == "[[rule]]").count(), 4);
    }

    fn learned(connections: Vec<SeenConnection>) -> Observations {
        let mut seen = Observations::default();
        let learned = Learned {
            at: Timestamp::UNIX_EPOCH,
            connections,
            listening: None,
            left_out: 0,
            events_lost: 0,
            ended: true,
        };
        seen.add(learned, |_, _| BTreeSet::new());
        seen
    }

    #[test]
    fn services_with_the_same_sources_share_a_rule_and_others_do_not() {
        let web = |port| connection("in", "tcp", Some(port), "192.0.2.1", true);
        let seen = learned(vec![
            web(80),
            web(443),
            connection("in", "udp", Some(443), "192.0.2.1", true),
            connection("in", "tcp", Some(22), "192.0.2.7", true),
            connection("out", "tcp", Some(443), "192.0.2.1", true),
            connection("in", "tcp", Some(8080), "192.0.2.66", false),
            connection("in", "tcp", Some(8081), "192.0.2.66", false),
            connection("in", "tcp", Some(8082), "192.0.2.67", false),
        ]);
        let draft = draft(&seen, "web", &["eth0".to_owned()]);
        assert!(draft.checks, "{}", draft.text);
        assert_eq!(draft.rules, 3, "{}", draft.text);
        for part in [
            "name = \"in-tcp-80-tcp-443-udp-443\"\nallow = [\"tcp/80\", \"tcp/443\", \"udp/443\"]\nfrom = \"192.0.2.1\"\n",
            "# tcp/80: 3 connections",
            "# udp/443: 3 connections",
            "name = \"in-tcp-22\"\nallow = \"tcp/22\"\nfrom = \"192.0.2.7\"\n",
            "name = \"out-tcp-443\"\nallow = \"tcp/443\"\nto = \"192.0.2.1\"\n",
            "# allow = [\"tcp/8080\", \"tcp/8081\"]\n# from = \"192.0.2.66\"\n",
            "# allow = \"tcp/8082\"\n# from = \"192.0.2.67\"\n",
        ] {
            assert!(draft.text.contains(part), "{part}\n{}", draft.text);
        }
    }

    #[test]
    fn a_name_of_many_services_is_short() {
        let seen = learned(
            (1..=9)
                .map(|port| connection("in", "tcp", Some(port), "192.0.2.1", true))
                .collect(),
        );
        let draft = draft(&seen, "web", &[]);
        assert!(draft.checks, "{}", draft.text);
        assert!(
            draft.text.contains("name = \"in-tcp-1-and-8-more\"\n"),
            "{}",
            draft.text
        );
    }

    #[test]
    fn dropped_icmp_has_its_type_and_what_no_rule_lets_in_has_none() {
        let message = |protocol: &str, kind, code| SeenConnection {
            icmp: Some(IcmpMessage { kind, code }),
            ..connection("in", protocol, None, "192.0.2.66", false)
        };
        let unrelated = SeenConnection {
            by_policy: false,
            decider: "icmp-unrelated".to_owned(),
            ..message("icmp", 3, 1)
        };
        let v6 = SeenConnection {
            remote: "2001:db8::66".parse().expect("an address"),
            ..message("icmpv6", 128, 0)
        };
        let seen = learned(vec![
            message("icmp", 8, 0),
            v6,
            message("icmp", 13, 0),
            message("icmp", 40, 2),
            unrelated,
            connection("in", "47", None, "192.0.2.66", false),
        ]);
        let draft = draft(&seen, "web", &[]);
        assert!(draft.checks, "{}", draft.text);
        assert_eq!(draft.rules, 0, "{}", draft.text);
        for part in [
            "# in ping: 6 packets with 2 addresses",
            "# in icmp/13/0 (timestamp-request): 3 packets with 1 address",
            "# in icmp/40/2: 3 packets",
            "# allow = \"ping\"\n# from = [\"192.0.2.66\", \"2001:db8::66\"]\n",
            "# allow = [\"protocol/47\", \"icmp/13/0\", \"icmp/40/2\"]\n# from = \"192.0.2.66\"\n",
            "# What is dropped whatever the rules say, as far as it was logged.\n\n# in icmp/3/1 (host-unreachable): 3 packets",
        ] {
            assert!(draft.text.contains(part), "{part}\n{}", draft.text);
        }
        assert!(!draft.text.contains("\"icmp/3/1\""), "no rule would let it in");
        // Whoever takes the `#` away from the rules has a policy, too.
        let keys = ["# [[rule]]", "# name = ", "# allow = ", "# from = "];
        let lines = draft.text.lines().map(|line| {
            let is_rule = keys.iter().any(|key| line.starts_with(key));
            if is_rule { &line[2..] } else { line }
        });
        let opened = lines.collect::<Vec<_>>().join("\n");
        assert!(
            opened.contains("\nallow = \"ping\"") && checks(&opened),
            "{opened}"
        );
    }

    #[test]
    fn a_draft_of_nothing_is_a_policy() {
        let draft = draft(&Observations::default(), "web", &[]);
        assert!(draft.checks, "{}", draft.text);
        assert_eq!(draft.rules, 0);
    }
}
