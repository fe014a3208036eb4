//! What operators are shown when a policy is wrong: every code, drawn for people and as JSON.

use firewall_agent::{
    diagnostic::{Code, Severity, SourceFile, SourceSet, Style, render_text, to_json},
    policy::{Checked, Date, Options, Scope, Target, check, model::Failsafe},
};

const INVENTORY: &str = r#"layer = "inventory"

[hosts.web-1]
role = "web"
addresses = ["10.77.2.10", "fd77:2::10"]

[hosts.db-1]
role = "db"
addresses = ["10.77.3.10", "fd77:3::10"]

[networks]
management = ["10.77.9.0/24", "fd77:9::/64"]
"#;

const BASE: &str = r#"layer = "base"
interfaces = ["eth*"]

[[rule]]
name = "ssh"
allow = "ssh"
from = "management"
"#;

const DB: &str = "layer = \"role db\"\n";

fn check_files(files: &[(&str, &str)], options: &Options) -> Checked {
    let sources: SourceSet = files
        .iter()
        .map(|(name, text)| SourceFile::new(*name, *text))
        .collect();
    check(sources, options)
}

fn drawn(checked: &Checked) -> String {
    let drawn = checked
        .diagnostics
        .iter()
        .map(|one| render_text(one, &checked.sources, Style::Plain));
    drawn.collect::<Vec<_>>().join("\n\n")
}

/// A sound set of files whose `web.toml` is `layer = "role web"` and then `text`.
fn with_web(text: &str) -> Checked {
    let web = format!("layer = \"role web\"\n{text}");
    check_files(
        &[
            ("inventory.toml", INVENTORY),
            ("base.toml", BASE),
            ("db.toml", DB),
            ("web.toml", &web),
        ],
        &Options::default(),
    )
}

/// A sound set of files with another inventory.
fn with_inventory(text: &str) -> Checked {
    let inventory = format!("{INVENTORY}{text}");
    let web = "layer = \"role web\"\n";
    check_files(
        &[
            ("inventory.toml", &inventory),
            ("base.toml", BASE),
            ("db.toml", DB),
            ("web.toml", web),
        ],
        &Options::default(),
    )
}

fn codes(checked: &Checked) -> Vec<&'static str> {
    checked.diagnostics.iter().map(|one| one.code.id()).collect()
}

macro_rules! snapshot {
    ($checked:expr) => {{
        let checked = $checked;
        let has_errors = checked
            .diagnostics
            .iter()
            .any(|one| one.severity() == Severity::Error);
        assert_eq!(
            checked.policies.is_empty(),
            has_errors,
            "a policy exists only without errors"
        );
        insta::assert_snapshot!(drawn(&checked));
    }};
}

#[test]
fn sound_files_have_no_findings() {
    assert_eq!(codes(&with_web("")), [""; 0]);
}

#[test]
fn unreadable() {
    let sources = [
        SourceFile::new("base.toml", BASE),
        SourceFile::unreadable("web.toml", "permission denied"),
    ];
    let checked = check(sources.into_iter().collect(), &Options::default());
    insta::assert_snapshot!(drawn(&checked));
}

#[test]
fn syntax() {
    snapshot!(with_web(
        r#"[[rule]]
name = "unclosed
allow = https
from = "any"

[[rule]
name = "broken-header"
allow = "https"

[[rule]]
name = "no-consequences"
name = "twice"
alow = "https"
from = ["any",,]
"#
    ));
}

#[test]
fn unknown_keys() {
    snapshot!(with_web(
        r#"colour = "red"
[hosts.a]

[defaults]
input = "drop"

[[rule]]
name = "a"
allow = "https"
form = "any"
port = 443

[[expect]]
verdict = "allow"
"#
    ));
}

#[test]
fn wrong_types() {
    snapshot!(with_web(
        r#"interfaces = 1
timers = "none"
rule = "no"

[[expect]]
allow = ["https", 443, 1.5]
from = true
vlan = "ten"
rule = 1.5
"#
    ));
}

#[test]
fn missing_keys() {
    snapshot!(with_web(
        r#"[[rule]]
allow = "https"
from = "any"

[[rule]]
name = "nobody"
allow = "https"

[[rule]]
name = "group-without-peers"
allow = "vrrp"
multicast = "224.0.0.18"
"#
    ));
}

#[test]
fn bad_values() {
    snapshot!(with_web(
        r#"[timers]
icmp = "1 minute"

[options]
allowed_ether_types = [0x0800, 17]

[defaults]
incoming = "dorp"

[[rule]]
name = "Bad Name"
allow = ["443", "tcp/99999", "icmp/echo-reqest", "protocol/6", "tcp/0-65535"]
from = ["10.1.2.3/16", "300.1.1.1", "::ffff:10.0.0.1", "10.0.0.9-10.0.0.1"]
interface = "eth[0]"
vlan = [0, "20-10"]
log = "10/m"

[[rule]]
name = "only-not"
allow = "https"
from = "not web"

[[rule]]
name = "empty-list"
allow = []
from = "any"
"#
    ));
}

#[test]
fn not_yet_available() {
    snapshot!(with_web(
        r#"[[rule]]
name = "a"
allow = "https"
from = "any"
limit = "10/s"
set = "bad-guys"
"#
    ));
}

#[test]
fn verdicts() {
    snapshot!(with_web(
        r#"[[rule]]
name = "none"
from = "any"

[[rule]]
name = "two"
allow = "https"
drop = "http"
from = "any"
"#
    ));
}

#[test]
fn contradictions() {
    snapshot!(with_web(
        r#"[[rule]]
name = "peers-and-from"
allow = "https"
among = "web"
from = "any"

[[rule]]
name = "source-port-of-nothing"
allow = ["dns", "ping"]
from = "any"
from_port = 53

[[rule]]
name = "ssh"
override = true
before = "ssh"
allow = "ssh"
from = "any"
"#
    ));
}

#[test]
fn undefined_names() {
    snapshot!(with_web(
        r#"[[rule]]
name = "a"
allow = ["htps", "gopher"]
from = "managment"
to = ["web", "printers"]

[[expect]]
allow = "https"
from = "strangers"
rule = "shh"
on = "web-2"

[[rule]]
name = "b"
drop = "https"
from = "stranger"
"#
    ));
}

#[test]
fn names_twice() {
    snapshot!(with_inventory(
        r#"web-1 = "10.0.0.1"

[hosts.web-2]
role = "web"
groups = ["db"]
addresses = ["10.77.2.10"]

[services]
tcp = "udp/1"
https = "tcp/8443"
"#
    ));
}

#[test]
fn cycles() {
    snapshot!(with_inventory(
        r#"a = ["b", "10.0.0.1"]
b = "a"

[services]
x = ["y"]
y = ["x"]
"#
    ));
}

#[test]
fn network_of_words() {
    snapshot!(with_inventory("a = [\"any\", \"not b\", \"self\"]\nempty = []\n"));
}

#[test]
fn rule_names_twice() {
    snapshot!(with_web(
        r#"[[rule]]
name = "ssh"
drop = "ssh"
from = "web"

[[rule]]
name = "a"
allow = "http"
from = "any"

[[rule]]
name = "a"
allow = "https"
from = "any"
"#
    ));
}

#[test]
fn nothing_to_override() {
    snapshot!(with_web(
        r#"[[rule]]
name = "shh"
override = true
enabled = false

[[rule]]
name = "a"
allow = "https"
from = "any"
before = "b"
"#
    ));
}

#[test]
fn layers_twice_and_missing() {
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("other.toml", BASE),
        ("web.toml", "layer = \"role web\"\n"),
        ("host.toml", "layer = \"host web-2\"\n"),
    ];
    snapshot!(check_files(&files, &Options::default()));
}

#[test]
fn what_is_wrong_in_a_file_comes_before_the_files_that_are_missing() {
    let hosts = "[hosts.db-2]\nrole = \"db\"\naddresses = [\"10.0.9.9\"]\n";
    let files = [
        ("inventory.toml", format!("{INVENTORY}{hosts}")),
        ("base.toml", BASE.to_owned()),
        (
            "web.toml",
            "layer = \"role web\"\n[[rule]]\nname = \"x\"\nalow = \"ssh\"\n".to_owned(),
        ),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    snapshot!(check_files(&files, &Options::default()));
}

/// Where one server's files lie beside the inventory of all.
#[test]
fn many_roles_without_files_are_one_mistake() {
    let hosts = "[hosts.lb-1]\nrole = \"lb\"\naddresses = [\"10.0.8.8\"]\n";
    let inventory = format!("{INVENTORY}{hosts}");
    let files = [
        ("inventory.toml", &*inventory),
        ("base.toml", BASE),
        (
            "web.toml",
            "layer = \"role web\"\n[[rule]]\nname = \"x\"\nalow = \"ssh\"\n",
        ),
    ];
    snapshot!(check_files(&files, &Options::default()));
}

#[test]
fn unknown_layer() {
    let files = [
        (
            "inventory.toml",
            "layer = \"inventori\"\n[networks]\na = \"10.0.0.1\"\n",
        ),
        ("base.toml", "x = 1\n"),
    ];
    snapshot!(check_files(&files, &Options::default()));
}

#[test]
fn unknown_host() {
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("db.toml", DB),
    ];
    let target = Target {
        role: None,
        host: Some("web-2".into()),
    };
    let options = Options {
        scope: Scope::One(target),
        ..Options::default()
    };
    snapshot!(check_files(&files, &options));
}

#[test]
fn unknown_host_with_a_role() {
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("db.toml", DB),
    ];
    let target = Target {
        role: Some("db".into()),
        host: Some("db1".into()),
    };
    let options = Options {
        scope: Scope::One(target),
        ..Options::default()
    };
    snapshot!(check_files(&files, &options));
}

#[test]
fn role_that_differs() {
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("db.toml", DB),
    ];
    let target = Target {
        role: Some("db".into()),
        host: Some("web-1".into()),
    };
    let options = Options {
        scope: Scope::One(target),
        ..Options::default()
    };
    snapshot!(check_files(&files, &options));
}

#[test]
fn duplicate_rules() {
    snapshot!(with_web(
        r#"[[rule]]
name = "a"
allow = ["http", "https"]
from = "any"

[[rule]]
name = "b"
drop = ["tcp/443", "tcp/80"]
from = "any"
"#
    ));
}

#[test]
fn empty_matches() {
    snapshot!(with_web(
        r#"[[rule]]
name = "nobody"
allow = "https"
from = ["db", "not db"]

[[rule]]
name = "no-family"
allow = "https"
from = "10.0.0.1"
to = "fd77:2::10"

[[rule]]
name = "wrong-family"
allow = "icmpv6/echo-request"
from = "10.0.0.1"

[[expect]]
allow = "icmp/echo-request"
from = "fd77:3::10"
"#
    ));
}

#[test]
fn shadowed() {
    snapshot!(with_web(
        r#"[[rule]]
name = "web"
allow = ["http", "https"]
from = "any"

[[rule]]
name = "no-guests"
drop = "https"
from = "10.9.0.0/16"

[[rule]]
name = "partner"
allow = "https"
from = "10.8.0.0/16"

[[rule]]
name = "management"
drop = "ssh"
from = "10.77.9.0/25"
"#
    ));
}

#[test]
fn unreachable() {
    snapshot!(with_web(
        r#"[[rule]]
name = "low"
allow = "tcp/1-1000"
from = "any"

[[rule]]
name = "high"
drop = "tcp/1001-2000"
from = "any"

[[rule]]
name = "both"
allow = "tcp/500-1500"
from = "any"
"#
    ));
}

#[test]
fn holds_nowhere() {
    snapshot!(with_web(
        r#"[[rule]]
name = "elsewhere"
allow = "https"
from = "db"
to = "10.1.1.1"

[[expect]]
drop = "https"
from = "db"
to = "10.1.1.1"
"#
    ));
}

#[test]
fn suspicious_rules() {
    snapshot!(with_web(
        r#"[defaults]
outgoing = "allow"

[timers]
tcp_established = "1h"

[[rule]]
name = "dns-answers"
allow = "udp"
from = "any"
from_port = 53

[[rule]]
name = "icmp"
allow = ["icmp", "icmpv6"]
from = "management"

[[rule]]
name = "v4"
allow = "https"
from = ["10.0.0.0/8", "192.0.2.1"]
"#
    ));
}

#[test]
fn lock_out() {
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", "layer = \"base\"\ninterfaces = [\"eth*\"]\n"),
        ("db.toml", DB),
        ("web.toml", "layer = \"role web\"\n"),
    ];
    insta::assert_snapshot!(drawn(&check_files(&files, &Options::default())));
    let known = Options {
        failsafe: Some(Failsafe::default()),
        ..Options::default()
    };
    snapshot!(check_files(&files, &known));
}

#[test]
fn no_interfaces() {
    let base = BASE.replace("interfaces = [\"eth*\"]\n", "");
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", &base),
        ("db.toml", DB),
        ("web.toml", "layer = \"role web\"\n"),
    ];
    snapshot!(check_files(&files, &Options::default()));
}

#[test]
fn review_overdue() {
    let base = BASE.replace(
        "from = \"management\"",
        "from = \"management\"\nowner = \"operations\"\nreview = 2030-06-30",
    );
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", &base),
        ("db.toml", DB),
        ("web.toml", "layer = \"role web\"\n"),
    ];
    let on = |year, month, day| Options {
        today: Some(Date { year, month, day }),
        ..Options::default()
    };
    assert_eq!(codes(&check_files(&files, &on(2030, 6, 30))), [""; 0]);
    snapshot!(check_files(&files, &on(2030, 7, 1)));
}

#[test]
fn undeclared_forwarding() {
    let on_a_router = Options {
        kernel_forwards: true,
        ..Options::default()
    };
    let with_base = |base: &str| {
        let files = [
            ("inventory.toml", INVENTORY),
            ("base.toml", base),
            ("db.toml", DB),
            ("web.toml", "layer = \"role web\"\n"),
        ];
        check_files(&files, &on_a_router)
    };
    let declared = format!("{BASE}\n[forwarded]\nnetworks = [\"172.17.0.0/16\"]\n");
    assert_eq!(codes(&with_base(&declared)), [""; 0]);
    snapshot!(with_base(BASE));
}

#[test]
fn rules_about_icmp_errors_only() {
    let with = |what: &str| {
        codes(&with_web(&format!(
            "[[rule]]\nname = \"icmp\"\nallow = {what}\nfrom = \"db\"\n"
        )))
    };
    for errors in [
        "\"icmp/3/4\"",
        "\"icmp/3-4\"",
        "[\"icmp/time-exceeded\", \"icmpv6/packet-too-big\"]",
    ] {
        assert_eq!(with(errors), ["FW039"], "{errors}");
    }
    for others in [
        "\"ping\"",
        "\"icmp/13\"",
        "[\"icmp/3\", \"ping\"]",
        "[\"icmp/3\", \"tcp/80\"]",
    ] {
        assert_eq!(with(others), [""; 0], "{others}");
    }
    snapshot!(with_web(
        "[[rule]]\nname = \"pmtu\"\nallow = \"icmp/3/4\"\nfrom = \"any\"\n"
    ));
}

#[test]
fn failed_expectations() {
    snapshot!(with_web(
        r#"[[rule]]
name = "site"
allow = "https"
from = "any"

[[expect]]
drop = "https"
from = "stranger"

[[expect]]
allow = ["https", "http"]
from = "db"

[[expect]]
allow = "https"
from = "db"
rule = "ssh"

[[expect]]
allow = "ping"
to = "db"
"#
    ));
}

#[test]
fn expectations_about_anybody() {
    snapshot!(with_web(
        "[[expect]]\nallow = \"any\"\nfrom = \"any\"\n\n[[expect]]\ndrop = \"https\"\nforward = true\n"
    ));
}

#[test]
fn several_files_are_reported_at_once() {
    let files = [
        (
            "inventory.toml",
            "layer = \"inventory\"\n[hosts.web-1]\nrole = \"web\"\nadresses = [\"10.0.0.1\"]\n",
        ),
        (
            "base.toml",
            "layer = \"base\"\n[[rule]]\nname = \"a\"\nallow = \"https\"\nfrom = \"web-1\"\nlogg = \"1/s\"\n",
        ),
        (
            "web.toml",
            "layer = \"role web\"\n[[rule]]\nname = \"b\"\nallow = \"htps\"\nfrom = \"web-1\"\n",
        ),
    ];
    snapshot!(check_files(&files, &Options::default()));
}

/// A site whose web role is `web`, with a block list of this text.
fn with_list(web: &str, list: &str) -> SourceSet {
    let mut sources: SourceSet = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("db.toml", DB),
        ("web.toml", web),
    ]
    .into_iter()
    .map(|(name, text)| SourceFile::new(name, text))
    .collect();
    sources.add(SourceFile::list("drop.txt", list));
    sources
}

#[test]
fn block_lists() {
    let web = "layer = \"role web\"\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt\"\n\n[[blocklist]]\nname = \"gone\"\nfile = \"gone.txt\"\nurl = \"https://example.org\"\n";
    let sources = with_list(web, "192.0.2.1\n192.0.2.1/24\nexample.org # no\n");
    snapshot!(check(sources, &Options::default()));
}

#[test]
fn block_lists_with_what_is_hardly_meant() {
    let web = "layer = \"role web\"\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt\"\n";
    let sources = with_list(web, "192.0.2.1\n10.0.0.0/8\nfe80::/10\n");
    let mut failsafe = Failsafe::default();
    failsafe.management_sources.v4.push(0x0a4d_0900..=0x0a4d_09ff);
    let options = Options {
        failsafe: Some(failsafe),
        ..Options::default()
    };
    snapshot!(check(sources, &options));
}

#[test]
fn json() {
    let checked = with_web("[[rule]]\nname = \"ssh\"\nallow = \"htps\"\nfrom = \"any\"\n");
    let json: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|one| to_json(one, &checked.sources))
        .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).expect("plain data"));
}

#[test]
fn coloured() {
    let checked = with_web("[[rule]]\nname = \"a\"\nallow = \"htps\"\nfrom = \"any\"\n");
    let drawn = render_text(&checked.diagnostics[0], &checked.sources, Style::Coloured);
    assert!(drawn.contains("\u{1b}["), "{drawn}");
}

/// A code without a snapshot would be one that nobody has seen.
#[test]
fn every_code_is_in_a_snapshot() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut seen = String::new();
    for entry in std::fs::read_dir(folder).expect("the snapshots are there") {
        seen += &std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
    }
    for code in Code::ALL {
        assert!(seen.contains(code.id()), "{} is in no snapshot", code.id());
    }
}
