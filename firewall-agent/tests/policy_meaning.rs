//! What sentences of the language mean for a host: directions, peers, layers, settings.

use std::{fs, time::Instant};

use firewall_agent::{
    diagnostic::{SourceFile, SourceSet},
    policy::{
        Options, Scope, Target, check,
        model::{Action, AddressSet, Direction, LogRate, ProtocolMatch, Rule, ValidPolicy},
        read_for_check,
    },
};

const INVENTORY: &str = r#"layer = "inventory"

[hosts.web-1]
role = "web"
groups = ["edge"]
addresses = ["10.0.2.1", "fd00:2::1"]

[hosts.web-2]
role = "web"
addresses = ["10.0.2.2", "fd00:2::2"]
virtual = ["10.0.2.100"]

[hosts.db-1]
role = "db"
addresses = ["10.0.3.1", "fd00:3::1"]

[networks]
office = ["10.9.0.0/16", "fd00:9::/64"]
guests = "10.9.9.0/24"

[services]
both = ["tcp/7000", "udp/7000-7001"]
more = ["both", "ssh"]
"#;

const BASE: &str = "layer = \"base\"\ninterfaces = [\"eth*\"]\n[[rule]]\nname = \"ssh\"\nallow = \"ssh\"\nfrom = \"office\"\n";

/// The policy of one host whose role is web, from these base and web files.
fn policy_of(host: &str, base: &str, web: &str) -> ValidPolicy {
    policy_with_layers(host, &[("base.toml", base), ("web.toml", web)])
}

fn policy_with_layers(host: &str, layers: &[(&str, &str)]) -> ValidPolicy {
    let files = [
        ("inventory.toml", INVENTORY),
        ("db.toml", "layer = \"role db\"\n"),
    ];
    let sources: SourceSet = files
        .iter()
        .chain(layers)
        .map(|(name, text)| SourceFile::new(*name, *text))
        .collect();
    let target = Target {
        role: None,
        host: Some(host.into()),
    };
    let mut checked = check(
        sources,
        &Options {
            scope: Scope::One(target),
            ..Options::default()
        },
    );
    let found: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|one| format!("{} {}", one.code.id(), one.message))
        .collect();
    checked.policies.pop().unwrap_or_else(|| panic!("{found:?}"))
}

/// What a web host makes of a rule in the web layer.
fn rules_of(host: &str, rule: &str) -> Vec<Rule> {
    let web = format!("layer = \"role web\"\n[[rule]]\nname = \"x\"\n{rule}");
    let mut rules = policy_of(host, BASE, &web).rules;
    rules.retain(|rule| &*rule.name != "ssh");
    rules
}

fn names(policy: &ValidPolicy) -> Vec<&str> {
    policy.rules.iter().map(|rule| rule.name.as_ref()).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "a condition on a packet is optional")]
fn set(texts: &[&str]) -> Option<AddressSet> {
    let one = |text: &&str| match text.parse::<ipnet::IpNet>() {
        Ok(net) => AddressSet::from(net),
        Err(_) => AddressSet::from(text.parse::<std::net::IpAddr>().expect("an address or network")),
    };
    Some(texts.iter().map(one).collect())
}

/// Direction, source and destination of a rule.
fn sides(rule: &Rule) -> (Direction, Option<AddressSet>, Option<AddressSet>) {
    (
        rule.direction,
        rule.matches.source.clone(),
        rule.matches.destination.clone(),
    )
}

const WEB_1: [&str; 2] = ["10.0.2.1", "fd00:2::1"];
const WEB_2: [&str; 3] = ["10.0.2.2", "fd00:2::2", "10.0.2.100"];
const DB_1: [&str; 2] = ["10.0.3.1", "fd00:3::1"];

#[test]
fn from_alone_is_incoming_and_to_alone_outgoing() {
    let [incoming] = &rules_of("web-1", "allow = \"https\"\nfrom = \"db\"\n")[..] else {
        panic!("one rule")
    };
    assert_eq!(sides(incoming), (Direction::In, set(&DB_1), None));
    assert_eq!(&*incoming.name, "x");
    let [outgoing] = &rules_of("web-1", "allow = \"mysql\"\nto = \"db-1\"\n")[..] else {
        panic!("one rule")
    };
    assert_eq!(sides(outgoing), (Direction::Out, None, set(&DB_1)));
}

#[test]
fn any_is_no_condition() {
    let [rule] = &rules_of("web-1", "allow = \"https\"\nfrom = \"any\"\n")[..] else {
        panic!("one rule")
    };
    assert_eq!(sides(rule), (Direction::In, None, None));
}

#[test]
fn both_ends_are_told_apart_by_the_host() {
    let base = format!("{BASE}[[rule]]\nname = \"x\"\nallow = \"mysql\"\nfrom = \"web\"\nto = \"db\"\n");
    let web = policy_of("web-1", &base, "layer = \"role web\"\n");
    assert_eq!(sides(&web.rules[1]), (Direction::Out, set(&WEB_1), set(&DB_1)));
    let db = policy_of("db-1", &base, "layer = \"role web\"\n");
    let both_web: Vec<_> = WEB_1.iter().chain(&WEB_2).copied().collect();
    assert_eq!(sides(&db.rules[1]), (Direction::In, set(&both_web), set(&DB_1)));
    assert_eq!((&*web.rules[1].name, &*db.rules[1].name), ("x", "x"));
}

#[test]
fn a_sentence_about_others_is_skipped() {
    assert!(rules_of("web-1", "allow = \"https\"\nfrom = \"db\"\nto = \"web-2\"\n").is_empty());
    assert_eq!(
        rules_of("web-2", "allow = \"https\"\nfrom = \"db\"\nto = \"web-2\"\n").len(),
        1
    );
}

#[test]
fn where_both_ends_are_here_there_are_two_rules() {
    let rules = rules_of("web-1", "allow = \"https\"\nfrom = \"web\"\nto = \"web\"\n");
    let [incoming, outgoing] = &rules[..] else {
        panic!("two rules")
    };
    assert_eq!((&*incoming.name, &*outgoing.name), ("x/in", "x/out"));
    assert_eq!(sides(incoming), (Direction::In, set(&WEB_2), set(&WEB_1)));
    assert_eq!(sides(outgoing), (Direction::Out, set(&WEB_1), set(&WEB_2)));
}

#[test]
fn peers_reach_each_other_and_their_multicast_group() {
    let rules = rules_of(
        "web-1",
        "allow = \"vrrp\"\namong = \"web\"\nmulticast = \"224.0.0.18\"\n",
    );
    let [incoming, outgoing] = &rules[..] else {
        panic!("two rules")
    };
    assert_eq!(
        sides(incoming),
        (
            Direction::In,
            set(&WEB_2),
            set(&["10.0.2.1", "fd00:2::1", "224.0.0.18"])
        )
    );
    let others = ["10.0.2.2", "fd00:2::2", "10.0.2.100", "224.0.0.18"];
    assert_eq!(sides(outgoing), (Direction::Out, set(&WEB_1), set(&others)));
    assert_eq!(outgoing.matches.protocols, [ProtocolMatch::Number(112)]);
}

#[test]
fn a_host_without_peers_still_speaks_to_its_multicast_group() {
    let base = format!(
        "{BASE}[[rule]]\nname = \"x\"\nallow = \"vrrp\"\namong = \"db\"\nmulticast = \"224.0.0.18\"\n"
    );
    let policy = policy_of("db-1", &base, "layer = \"role web\"\n");
    assert_eq!(names(&policy), ["ssh", "x"]);
    assert_eq!(
        sides(&policy.rules[1]),
        (Direction::Out, set(&DB_1), set(&["224.0.0.18"]))
    );
    assert_eq!(
        names(&policy_of("web-1", &base, "layer = \"role web\"\n")),
        ["ssh"]
    );
}

#[test]
fn multicast_and_virtual_addresses_are_for_this_host() {
    let multicast = rules_of(
        "web-1",
        "allow = \"mdns\"\nfrom = \"office\"\nto = \"224.0.0.251\"\n",
    );
    assert_eq!(
        sides(&multicast[0]),
        (
            Direction::In,
            set(&["10.9.0.0/16", "fd00:9::/64"]),
            set(&["224.0.0.251"])
        )
    );
    let moving = "allow = \"https\"\nfrom = \"any\"\nto = \"10.0.2.100\"\n";
    assert_eq!(
        sides(&rules_of("web-2", moving)[0]),
        (Direction::In, None, set(&["10.0.2.100"]))
    );
}

#[test]
fn not_takes_away() {
    let [rule] = &rules_of(
        "web-1",
        "allow = \"https\"\nfrom = [\"office\", \"not guests\"]\n",
    )[..] else {
        panic!("one rule")
    };
    let office = set(&["10.9.0.0/16", "fd00:9::/64"]).expect("a set");
    let guests = set(&["10.9.9.0/24"]).expect("a set");
    assert_eq!(rule.matches.source, Some(office.difference(&guests)));
}

#[test]
fn forwarded_traffic_has_its_own_direction() {
    let web = "layer = \"role web\"\n[forwarded]\nnetworks = [\"172.17.0.0/16\", \"guests\"]\n[[rule]]\nname = \"x\"\nallow = \"https\"\nforward = true\nto = \"172.17.0.0/16\"\n";
    let policy = policy_of("web-1", BASE, web);
    assert_eq!(
        sides(&policy.rules[1]),
        (Direction::Forward, None, set(&["172.17.0.0/16"]))
    );
    assert_eq!(
        Some(policy.settings.forwarded.networks),
        set(&["172.17.0.0/16", "10.9.9.0/24"])
    );
}

#[test]
fn services_may_consist_of_services() {
    let [rule] = &rules_of("web-1", "allow = [\"more\", \"tcp/7001\"]\nfrom = \"any\"\n")[..] else {
        panic!("one rule")
    };
    let ports = |protocol, destination| ProtocolMatch::Ports {
        protocol,
        source: vec![0..=65535],
        destination,
    };
    assert_eq!(
        rule.matches.protocols,
        [ports(6, vec![22..=22, 7000..=7001]), ports(17, vec![7000..=7001])]
    );
}

#[test]
fn further_conditions_and_notes_are_kept() {
    let rules = rules_of(
        "web-1",
        r#"reject = "tcp/113"
from = "any"
from_port = ["1024-65535", 53]
interface = ["eth1", "eth0"]
vlan = [20, "10-12"]
log = "5/s"
owner = "web team"
reason = "ident"
review = 2040-01-01
"#,
    );
    let rule = &rules[0];
    assert_eq!(rule.action, Action::Reject);
    assert_eq!(
        rule.matches.protocols,
        [ProtocolMatch::Ports {
            protocol: 6,
            source: vec![53..=53, 1024..=65535],
            destination: vec![113..=113]
        }]
    );
    assert_eq!(
        rule.matches.interfaces.as_deref(),
        Some(&["eth0".to_owned(), "eth1".to_owned()][..])
    );
    assert_eq!(rule.matches.vlans, Some(vec![10..=12, 20..=20]));
    assert_eq!(rule.log, Some(LogRate { events_per_second: 5 }));
    assert_eq!(
        (rule.owner.as_deref(), rule.reason.as_deref()),
        (Some("web team"), Some("ident"))
    );
    assert_eq!((&*rule.origin.file, rule.origin.line), ("web.toml", 2));
}

#[test]
fn a_rule_that_is_not_enabled_takes_no_part() {
    assert!(rules_of("web-1", "allow = \"https\"\nfrom = \"any\"\nenabled = false\n").is_empty());
}

#[test]
fn layers_follow_each_other_and_replace_only_when_told_to() {
    let web = r#"layer = "role web"
[[rule]]
name = "site"
allow = "https"
from = "any"

[[rule]]
name = "blocked"
drop = "any"
from = "10.9.9.9"
before = "ssh"
"#;
    let host = r#"layer = "host web-1"
[[rule]]
name = "site"
override = true
enabled = false

[[rule]]
name = "ssh"
override = true
allow = "tcp/2222"
from = "office"

[[rule]]
name = "last"
allow = "http"
from = "any"
"#;
    let layers = [("base.toml", BASE), ("web.toml", web), ("web-1.toml", host)];
    let policy = policy_with_layers("web-1", &layers);
    assert_eq!(names(&policy), ["blocked", "ssh", "last"]);
    assert_eq!(&*policy.rules[1].origin.file, "web-1.toml");
    assert_eq!(
        names(&policy_with_layers("web-2", &layers)),
        ["blocked", "ssh", "site"]
    );
}

#[test]
fn settings_of_later_layers_win() {
    let web = r#"layer = "role web"
interfaces = ["ens*"]
[defaults]
incoming = "reject"
[timers]
udp_replied = "10m"
[options]
tcp_midflow_pickup = true
allowed_ether_types = [0x88f7, 0x22f0, 0x88f7]
"#;
    let settings = policy_of("web-1", BASE, web).settings;
    assert_eq!(settings.interfaces, ["ens*"]);
    assert_eq!(
        (settings.defaults.input, settings.defaults.output),
        (Action::Reject, Action::Reject)
    );
    assert_eq!(
        (settings.timers.udp_replied_seconds, settings.timers.icmp_seconds),
        (600, 60)
    );
    assert!(settings.tcp_midflow_pickup && !settings.keep_live_flows);
    assert_eq!(settings.allowed_ether_types, [0x22f0, 0x88f7]);
}

#[test]
fn a_host_that_the_inventory_does_not_name_has_the_rules_of_its_role() {
    let sources: SourceSet = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        (
            "web.toml",
            "layer = \"role web\"\n[[rule]]\nname = \"x\"\nallow = \"https\"\nfrom = \"db\"\nto = \"web\"\n",
        ),
    ]
    .map(|(name, text)| SourceFile::new(name, text))
    .into_iter()
    .collect();
    let target = Target {
        role: Some("web".into()),
        host: None,
    };
    let checked = check(
        sources,
        &Options {
            scope: Scope::One(target),
            ..Options::default()
        },
    );
    let policy = &checked.policies[0];
    assert_eq!((&*policy.role, policy.host.as_deref()), ("web", None));
    // Its own addresses are unknown: every destination that reaches it counts.
    assert_eq!(sides(&policy.rules[1]), (Direction::In, set(&DB_1), None));
}

#[test]
fn a_single_file_is_checked_with_the_base_and_inventory_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("inventory.toml", INVENTORY);
    write("base.toml", BASE);
    write(
        "web.toml",
        "layer = \"role web\"\n[[rule]]\nname = \"x\"\nallow = \"htps\"\nfrom = \"office\"\n",
    );
    write("broken.toml", "= = =");
    let (sources, scope) = read_for_check(&[folder.path().join("web.toml")]);
    let checked = check(
        sources,
        &Options {
            scope,
            ..Options::default()
        },
    );
    let messages: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(messages, ["`htps` is not a known service"]);

    write(
        "web.toml",
        "layer = \"role web\"\n[[rule]]\nname = \"x\"\nallow = \"https\"\nfrom = \"office\"\n",
    );
    let (sources, scope) = read_for_check(&[folder.path().join("web.toml")]);
    let checked = check(
        sources,
        &Options {
            scope,
            ..Options::default()
        },
    );
    assert_eq!(checked.policies.len(), 2, "{:?}", checked.diagnostics);

    let (sources, scope) = read_for_check(&[folder.path().to_owned()]);
    assert!(
        check(
            sources,
            &Options {
                scope,
                ..Options::default()
            }
        )
        .has_errors()
    );
}

#[test]
fn a_host_layer_is_checked_with_the_layer_of_its_role() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("inventory.toml", INVENTORY);
    write("base.toml", BASE);
    write(
        "web.toml",
        "layer = \"role web\"\n[[rule]]\nname = \"site\"\nallow = \"https\"\nfrom = \"any\"\n",
    );
    write(
        "web-1.toml",
        "layer = \"host web-1\"\n[[rule]]\nname = \"site\"\noverride = true\nenabled = false\n",
    );
    let (sources, scope) = read_for_check(&[folder.path().join("web-1.toml")]);
    let checked = check(
        sources,
        &Options {
            scope,
            ..Options::default()
        },
    );
    let rules: Vec<_> = checked.policies.iter().map(names).collect();
    assert_eq!(
        rules,
        [vec!["ssh"], vec!["ssh", "site"]],
        "{:?}",
        checked.diagnostics
    );
}

#[test]
fn one_bad_rule_among_ten_thousand_is_named_and_nothing_is_made_of_the_rest() {
    let rules = (0..10_000).map(|number| {
        let what = if number == 7_000 { "htps" } else { "https" };
        let (a, b) = (number / 250, number % 250);
        let from = format!("[\"10.77.{a}.{b}\", \"fd00:77::{a:x}:{b:x}\"]");
        format!("[[rule]]\nname = \"rule-{number}\"\nallow = \"{what}\"\nfrom = {from}\n")
    });
    let web: String = std::iter::once("layer = \"role web\"\n".to_owned())
        .chain(rules)
        .collect();
    let files = [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("web.toml", &web),
    ];
    let sources: SourceSet = files
        .iter()
        .map(|(name, text)| SourceFile::new(*name, *text))
        .collect();
    let begun = Instant::now();
    let checked = check(
        sources,
        &Options {
            scope: Scope::Files,
            ..Options::default()
        },
    );
    assert!(begun.elapsed().as_secs() < 30, "it took {:?}", begun.elapsed());
    let [only] = &checked.diagnostics[..] else {
        panic!("{} findings", checked.diagnostics.len())
    };
    assert_eq!(only.code.id(), "FW010");
    assert_eq!(
        checked.sources.position(&only.primary.place).line,
        2 + 4 * 7_000 + 2
    );
    assert!(checked.policies.is_empty());
}
