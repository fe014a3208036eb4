//! The text of the draft.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
};

use jiff::{Timestamp, Unit};

use super::{
    observations::{Observations, Service, Traffic},
    sources::sources,
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
        for (service, traffic) in of(&seen.passed, direction) {
            if rules == MOST_RULES {
                let _ = writeln!(text, "# and more: {}", one_line(&service.what()));
                continue;
            }
            text.push_str(&rule(seen, service, traffic));
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

fn rule(seen: &Observations, service: &Service, traffic: &Traffic) -> String {
    let what = service.what();
    // Writing to a string cannot fail.
    let mut text = format!(
        "\n# {what}: {} with {}, {}\n",
        plural(traffic.count, "connection"),
        addresses(traffic),
        when(traffic)
    );
    if service.direction == "in" {
        let _ = writeln!(text, "# {}", listener(seen, service));
    }
    let deciders: Vec<&str> = traffic.deciders.iter().map(String::as_str).collect();
    let _ = writeln!(text, "# now by: {}", one_line(&deciders.join(", ")));
    let remotes: BTreeSet<IpAddr> = traffic.remotes.keys().copied().collect();
    let sources = sources(&remotes, traffic.has_more);
    for note in &sources.notes {
        let _ = writeln!(text, "# {note}");
    }
    text.push_str(&sentence(service, &sources.members));
    text
}

fn sentence(service: &Service, members: &[String]) -> String {
    let end = if service.direction == "in" { "from" } else { "to" };
    let members: Vec<String> = members.iter().map(|member| quoted(member)).collect();
    let members = match &members[..] {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let what = service.what();
    let name = format!("{}-{}", service.direction, what.replace('/', "-"));
    format!(
        "[[rule]]\nname = {}\nallow = {}\n{end} = {members}\n",
        quoted(&name),
        quoted(&what)
    )
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
    if seen.dropped.is_empty() {
        return String::new();
    }
    let mut text =
        "\n# What is dropped now, as far as it was logged. To let it through, take the `#` away.\n"
            .to_owned();
    for (service, traffic) in seen.dropped.iter().take(MOST_DROPPED) {
        let deciders: Vec<&str> = traffic.deciders.iter().map(String::as_str).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n# {} {}: {} with {}, {}; by {}",
            service.direction,
            one_line(&service.what()),
            plural(traffic.count, "packet"),
            addresses(traffic),
            when(traffic),
            one_line(&deciders.join(", "))
        );
        // Of ICMP only echo requests could be let in, and which these were is not known.
        if service.port.is_some() {
            let remotes: BTreeSet<IpAddr> = traffic.remotes.keys().copied().collect();
            let sources = sources(&remotes, traffic.has_more);
            for line in sources
                .notes
                .iter()
                .map(String::as_str)
                .chain(sentence(service, &sources.members).lines())
            {
                let _ = writeln!(text, "# {line}");
            }
        }
    }
    if seen.dropped.len() > MOST_DROPPED {
        let more = seen.dropped.len() - MOST_DROPPED;
        let _ = writeln!(text, "\n# and {} more", plural(more as u64, "service"));
    }
    text
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
fn quoted(text: &str) -> String {
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
    use crate::control::protocol::{Learned, Listening, SeenConnection};

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
            remote: remote.parse().expect("an address"),
            passed,
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

    #[test]
    fn a_draft_of_nothing_is_a_policy() {
        let draft = draft(&Observations::default(), "web", &[]);
        assert!(draft.checks, "{}", draft.text);
        assert_eq!(draft.rules, 0);
    }
}
