//! What the policies of real roles have to be able to say, clause by clause, tried on the shipped ones: each clause is
//! an expectation, which `check` evaluates.

use std::path::PathBuf;

use firewall_agent::{
    diagnostic::{Code, SourceFile, SourceSet, Style, render_text},
    policy::{Checked, Options, Scope, Target, check, read_sources},
};

/// For a host: clauses, each an expectation without its heading.
type Clauses = (&'static str, &'static [&'static str]);

const EVERY_ROLE: &[&str] = &[
    // Default deny, both ways.
    "drop = [\"tcp/1-21\", \"tcp/23-79\", \"udp/1-66\", \"udp/69-442\", \"sctp/5000\", \"protocol/47\"]\nfrom = \"203.0.113.9\"",
    "reject = [\"tcp/1-24\", \"udp/5000\", \"udplite/7\", \"protocol/50\"]\nto = \"203.0.113.9\"\non = [\"lb\", \"web\", \"db\", \"monitoring\"]",
    // SSH from the management networks only, over both families.
    "allow = \"ssh\"\nfrom = [\"10.77.9.1\", \"fd77:9::1\"]\nrule = \"ssh\"",
    "drop = \"ssh\"\nfrom = [\"stranger\", \"10.77.8.255\", \"10.77.10.0\", \"fd77:a::1\"]",
    // One rule yields IPv4 and IPv6.
    "allow = [\"icmp/echo-request\"]\nfrom = \"10.77.9.1\"\nrule = \"ping\"",
    "allow = [\"icmpv6/echo-request\"]\nfrom = \"fd77:9::1\"\nrule = \"ping\"",
    "drop = [\"icmp/timestamp-request\", \"icmp/redirect\", \"icmpv6/137\"]\nfrom = \"10.77.9.1\"",
    // Exporters for the named monitoring hosts only.
    "drop = [\"node-exporter\", \"firewall-agent-metrics\"]\nfrom = [\"stranger\", \"management\", \"web\", \"db\"]",
    // By its source port alone nobody gets in.
    "drop = \"udp\"\nfrom = \"stranger\"\nfrom_port = 53",
];

const ROLES: &[Clauses] = &[
    (
        "lb-1",
        &[
            "allow = [\"http\", \"https\", \"http3\"]\nfrom = \"stranger\"\nrule = \"public-web\"",
            // Virtual addresses, wherever they are now.
            "allow = \"https\"\nfrom = \"stranger\"\nto = [\"10.77.1.100\", \"fd77:1::100\"]",
            "allow = \"haproxy-stats\"\nfrom = \"management\"",
            "drop = \"haproxy-stats\"\nfrom = [\"stranger\", \"monitoring\", \"web\"]",
            "allow = \"haproxy-exporter\"\nfrom = \"monitoring\"",
            "drop = \"haproxy-exporter\"\nfrom = [\"stranger\", \"management\", \"lb-2\"]",
            // Peers within the group, both ways.
            "allow = \"haproxy-peers\"\nfrom = \"lb-2\"\nrule = \"haproxy-peers\"",
            "allow = \"haproxy-peers\"\nto = \"lb-2\"\nrule = \"haproxy-peers\"",
            "drop = \"haproxy-peers\"\nfrom = [\"web\", \"stranger\"]",
            // VRRP, a protocol by number, to a multicast destination.
            "allow = \"protocol/112\"\nfrom = \"lb-2\"\nto = \"224.0.0.18\"\nrule = \"vrrp\"",
            "allow = \"protocol/112\"\nto = \"224.0.0.18\"",
            "allow = \"protocol/112\"\nfrom = \"fe80::7\"\nto = \"ff02::12\"\nrule = \"vrrp6\"",
            "allow = \"protocol/112\"\nto = \"ff02::12\"\nrule = \"vrrp6-out\"",
            "drop = \"protocol/112\"\nfrom = [\"web\", \"stranger\"]\nto = \"224.0.0.18\"",
            // Out to the backends only.
            "allow = \"https\"\nto = \"web\"\nrule = \"lb-to-web\"",
            "reject = [\"https\", \"mysql\", \"ssh\"]\nto = [\"db\", \"stranger\"]",
        ],
    ),
    (
        "web-1",
        &[
            "allow = \"https\"\nfrom = \"lb\"\nrule = \"lb-to-web\"",
            "drop = [\"http\", \"https\", \"http3\"]\nfrom = [\"stranger\", \"management\", \"monitoring\", \"db\"]",
            "allow = \"node-exporter\"\nfrom = \"monitoring\"",
            "allow = [\"mysql\", \"mysqlx\"]\nto = \"db\"\nrule = \"web-to-db\"",
            "reject = [\"mysql\", \"mysqlx\"]\nto = [\"lb\", \"stranger\", \"monitoring\"]",
            "allow = \"dns\"\nto = \"resolvers\"\nrule = \"dns\"",
            "allow = \"ntp\"\nto = \"time-servers\"\nrule = \"ntp\"",
            "allow = [\"syslog\", \"syslog-tls\"]\nto = \"log-servers\"\nrule = \"syslog\"",
            "allow = \"https\"\nto = \"mirrors\"\nrule = \"package-mirror\"",
            "reject = [\"dns\", \"ntp\", \"syslog\"]\nto = \"stranger\"",
        ],
    ),
    (
        "db-1",
        &[
            "allow = [\"tcp/3306\", \"tcp/33060\"]\nfrom = \"web\"\nrule = \"web-to-db\"",
            "drop = [\"tcp/3306\", \"tcp/33060\"]\nfrom = [\"stranger\", \"lb\", \"monitoring\", \"management\"]",
            // Group replication and Galera from its own group, both ways.
            "allow = [\"tcp/33061\", \"tcp/4567\", \"udp/4567\", \"tcp/4568\", \"tcp/4444\"]\nfrom = \"db-2\"\nrule = \"replication\"",
            "allow = [\"tcp/33061\", \"tcp/4567\", \"udp/4567\", \"tcp/4568\", \"tcp/4444\"]\nto = \"db-2\"\nrule = \"replication\"",
            "drop = [\"tcp/33061\", \"tcp/4567\", \"udp/4567\", \"tcp/4568\", \"tcp/4444\"]\nfrom = [\"web\", \"stranger\"]",
            // Near-empty outbound.
            "reject = [\"https\", \"http\", \"smtp\", \"mysql\", \"ssh\"]\nto = [\"web\", \"lb\", \"stranger\"]",
        ],
    ),
    (
        "dns-1",
        &[
            "allow = [\"tcp/53\", \"udp/53\"]\nfrom = \"stranger\"\nrule = \"queries\"",
            "allow = [\"tcp/53\", \"udp/53\"]\nfrom = [\"web\", \"db\"]",
            "allow = \"dns\"\nto = \"stranger\"\nrule = \"recursion\"",
            "allow = \"dns-over-tls\"\nfrom = \"dns-secondaries\"\nrule = \"zone-transfers\"",
            "drop = \"dns-over-tls\"\nfrom = [\"stranger\", \"web\"]",
            "reject = [\"https\", \"ntp\"]\nto = \"stranger\"",
        ],
    ),
    (
        "monitor-1",
        &[
            "allow = \"prometheus\"\nfrom = \"management\"\nrule = \"prometheus\"",
            "allow = [\"node-exporter\", \"firewall-agent-metrics\"]\nto = [\"lb\", \"web\", \"db\"]\nrule = \"exporters\"",
            "reject = [\"mysql\", \"ssh\"]\nto = [\"db\", \"stranger\"]",
        ],
    ),
];

fn shipped() -> SourceSet {
    read_sources(&[PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../rules")])
}

/// The shipped policies with further expectations in a layer of the host's own.
fn with_expectations(host: &str, clauses: &[&str]) -> Checked {
    let mut sources = shipped();
    let text = clauses
        .iter()
        .fold(format!("layer = \"host {host}\"\n"), |text, clause| {
            format!("{text}\n[[expect]]\n{clause}\n")
        });
    sources.add(SourceFile::new("host.toml", text));
    let options = Options {
        scope: Scope::One(Target {
            role: None,
            host: Some(host.into()),
        }),
        ..Options::default()
    };
    check(sources, &options)
}

fn drawn(checked: &Checked) -> String {
    let texts = checked.diagnostics.iter();
    texts
        .map(|one| render_text(one, &checked.sources, Style::Plain))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[test]
fn every_clause_holds() {
    for (host, clauses) in ROLES {
        let common = EVERY_ROLE.iter().filter(|clause| {
            // The name server answers everybody, from every port.
            !(*host == "dns-1" && (clause.contains("udp/1-66") || clause.contains("from_port")))
        });
        let all: Vec<&str> = common.chain(clauses.iter()).copied().collect();
        let checked = with_expectations(host, &all);
        assert!(!checked.has_errors(), "{host}:\n{}", drawn(&checked));
    }
}

/// The clauses are tried at all: turned round, each of them fails.
#[test]
fn no_clause_holds_turned_round() {
    for (host, clauses) in ROLES {
        for clause in *clauses {
            let turned = if let Some(rest) = clause.strip_prefix("allow") {
                format!("drop{rest}")
            } else {
                let (_, rest) = clause.split_once(" = ").expect("a key");
                format!("allow = {rest}")
            };
            let checked = with_expectations(host, &[&turned]);
            let failed = checked
                .diagnostics
                .iter()
                .any(|one| one.code == Code::ExpectationFailed);
            assert!(failed, "{host}:\n{turned}\n{}", drawn(&checked));
        }
    }
}

/// What later versions bring has its place in the language already.
#[test]
fn what_is_not_there_yet_is_reserved() {
    for key in ["limit = \"10/s\"", "set = \"blocked\""] {
        let mut sources = shipped();
        sources.add(SourceFile::new(
            "host.toml",
            format!("layer = \"host web-1\"\n[[rule]]\nname = \"x\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n{key}\n"),
        ));
        let checked = check(sources, &Options::default());
        assert!(
            checked
                .diagnostics
                .iter()
                .any(|one| one.code == Code::NotYetAvailable),
            "{key}: {}",
            drawn(&checked)
        );
    }
}
