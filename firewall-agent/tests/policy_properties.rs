//! Whatever the files hold, the check ends with findings or policies, and every finding can be shown.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use firewall_agent::{
    diagnostic::{SourceFile, SourceSet, Style, render_text, to_json},
    policy::{
        Checked, Options, check,
        edit::sentence_name,
        evaluate::{Probe, ProbeProtocol, evaluate},
        model::{Action, Direction, ValidPolicy},
        read_sources,
    },
};
use proptest::prelude::*;

fn shipped() -> SourceSet {
    read_sources(&[PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../rules")])
}

/// Checks, shows everything that is found, and makes sure that policies exist only without errors.
fn check_and_show(sources: SourceSet) -> Checked {
    let checked = check(sources, &Options::default());
    for one in &checked.diagnostics {
        assert!(!render_text(one, &checked.sources, Style::Plain).is_empty());
        assert!(!render_text(one, &checked.sources, Style::Coloured).is_empty());
        let json = to_json(one, &checked.sources);
        assert!(json.line >= 1 && json.column >= 1);
    }
    assert!(!checked.has_errors() || checked.policies.is_empty());
    checked
}

/// One change to one of the shipped files.
#[derive(Debug, Clone)]
enum Mutation {
    Delete(usize),
    Repeat(usize),
    Insert(String),
    Swap(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let scraps = prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "\"",
        "'",
        "\"\"\"",
        "=",
        ",",
        "#",
        "\n",
        "\r",
        "{",
        "}",
        ".",
        "not ",
        "any",
        "self",
        "stranger",
        "among = \"web\"\n",
        "from = \"web\"\n",
        "to = []\n",
        "override = true\n",
        "enabled = false\n",
        "name = \"ssh\"\n",
        "[[rule]]\n",
        "[[expect]]\n",
        "[hosts.x]\n",
        "[networks]\n",
        "forward = true\n",
        "from_port = 1\n",
        "vlan = 1\n",
        "-1",
        "99999999999999999999",
        "1e9",
        "2030-02-31",
        "ä",
        "\u{feff}",
        "\0",
        "/0",
        "::",
        "0.0.0.0/0",
        "tcp/0",
    ]);
    prop_oneof![
        (1usize..200).prop_map(Mutation::Delete),
        (1usize..200).prop_map(Mutation::Repeat),
        scraps.prop_map(|text| Mutation::Insert(text.to_owned())),
        (1usize..60).prop_map(Mutation::Swap),
    ]
}

fn mutated(text: &str, at: usize, mutation: &Mutation) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = at % (chars.len() + 1);
    let upto = |length: usize| (at + length).min(chars.len());
    let (before, after) = chars.split_at(at);
    let part = |chars: &[char]| chars.iter().collect::<String>();
    match mutation {
        Mutation::Delete(length) => part(before) + &part(&chars[upto(*length)..]),
        Mutation::Repeat(length) => part(&chars[..upto(*length)]) + &part(after),
        Mutation::Insert(scrap) => part(before) + scrap + &part(after),
        Mutation::Swap(length) => {
            let (middle, end) = (upto(*length), upto(2 * length));
            part(before) + &part(&chars[middle..end]) + &part(&chars[at..middle]) + &part(&chars[end..])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_text_is_checked(texts in prop::collection::vec(any::<String>(), 0..3)) {
        check_and_show(texts.into_iter().map(|text| SourceFile::new("a.toml", text)).collect());
    }

    #[test]
    fn any_bytes_are_checked(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        check_and_show([SourceFile::new("a.toml", text)].into_iter().collect());
    }

    #[test]
    fn any_mutation_of_a_policy_is_checked(
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), mutation()), 1..4),
    ) {
        let mut files: Vec<(String, String)> = shipped()
            .iter()
            .map(|(_, file)| (file.name().to_string(), file.text().to_owned()))
            .collect();
        for (file, at, mutation) in &changes {
            let count = files.len();
            let text = &mut files[file % count].1;
            *text = mutated(text, *at, mutation);
        }
        check_and_show(files.into_iter().map(|(name, text)| SourceFile::new(name, text)).collect());
    }
}

/// The sentences of the base layer that name both ends hold on both: what one of our hosts lets out, the other lets in
/// by the same sentence, and the other way round.
#[test]
fn what_one_end_lets_out_the_other_lets_in() {
    let checked = check(shipped(), &Options::default());
    let mut passed = 0;
    for sender in &checked.policies {
        for receiver in checked
            .policies
            .iter()
            .filter(|receiver| receiver.host != sender.host)
        {
            for port in [53, 80, 123, 443, 3306, 4567, 8405, 9090, 9100, 9464, 33060] {
                for (source, destination) in pairs(sender, receiver) {
                    let sentence = |policy, direction| {
                        allowing_sentence(policy, &to_port(direction, source, destination, port))
                    };
                    let out = sentence(sender, Direction::Out);
                    let inward = sentence(receiver, Direction::In);
                    assert_eq!(out, inward, "{source} -> {destination} port {port}");
                    passed += u32::from(out.is_some());
                }
            }
        }
    }
    assert!(passed > 50, "only {passed} packets passed");
}

fn to_port(direction: Direction, source: IpAddr, destination: IpAddr, port: u16) -> Probe<'static> {
    let protocol = ProbeProtocol::Ports {
        protocol: 6,
        source: 50_000,
        destination: port,
    };
    Probe {
        direction,
        source,
        destination,
        protocol,
        interface: Some("eth0"),
        vlan: None,
    }
}

/// The sentence of the base layer that lets the packet pass, if one does.
fn allowing_sentence(policy: &ValidPolicy, probe: &Probe<'_>) -> Option<String> {
    let decision = evaluate(policy, probe);
    let rule = &policy.rules[decision.rule?];
    let in_base = rule.origin.file.ends_with("base.toml");
    (decision.verdict == Action::Allow && in_base).then(|| sentence_name(&rule.name).to_owned())
}

/// Addresses of two hosts, family by family, taken from the rules that name them: the inventory is not public.
fn pairs(sender: &ValidPolicy, receiver: &ValidPolicy) -> Vec<(IpAddr, IpAddr)> {
    let (from, to) = (addresses(sender), addresses(receiver));
    from.into_iter().zip(to).collect()
}

fn addresses(policy: &ValidPolicy) -> [IpAddr; 2] {
    let name = policy.host.as_deref().expect("every shipped role has a host");
    let (net, host) = match name {
        "lb-1" => (1, 10),
        "lb-2" => (1, 11),
        "web-1" => (2, 10),
        "db-1" => (3, 10),
        "db-2" => (3, 11),
        "monitor-1" => (4, 10),
        "dns-1" => (5, 10),
        other => panic!("{other} is new"),
    };
    let v6 = format!("fd77:{net}::{host}").parse().expect("an address");
    [Ipv4Addr::new(10, 77, net, host).into(), IpAddr::V6(v6)]
}
