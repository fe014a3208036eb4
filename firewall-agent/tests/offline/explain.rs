//! `fwctl explain` by files.

use serde_json::Value;

use crate::run::fwctl;

fn explain(words: &str) -> Value {
    let ended = fwctl(&format!("explain {words} --policy rules --host web-1 --json"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn a_drop_is_explained_rule_by_rule() {
    let ended = fwctl("explain in tcp 203.0.113.7:51000 10.77.2.10:443 --policy rules --host web-1");
    assert_eq!(ended.code, Some(0));
    insta::assert_snapshot!(ended.stdout);
}

#[test]
fn what_no_rule_decides_is_explained() {
    for (words, verdict, reason, step) in [
        (
            "in icmpv6/135 fe80::1 ff02::1:ff00:10",
            "pass",
            "neighbour-discovery",
            "protected",
        ),
        (
            "in icmpv6/143 2001:db8::1 ff02::16",
            "drop",
            "multicast-listener-invalid",
            "protected",
        ),
        (
            "in udp 10.77.2.1:67 10.77.2.10:68",
            "pass",
            "failsafe-dhcp",
            "protected",
        ),
        (
            "in tcp 127.0.0.1 10.77.2.10:443",
            "drop",
            "spoofed-source",
            "addresses",
        ),
        (
            "in tcp 10.77.9.7 0.0.0.0:443",
            "drop",
            "martian-destination",
            "addresses",
        ),
        ("in icmp/0 10.77.9.7 10.77.2.10", "drop", "echo-no-state", "state"),
        (
            "in icmp/5/1 10.77.9.7 10.77.2.10",
            "drop",
            "icmp-redirect",
            "state",
        ),
        ("in 47 10.77.9.7 10.77.2.10", "drop", "default", "rules"),
        ("out tcp 10.77.2.10 203.0.113.7:443", "reject", "default", "rules"),
    ] {
        let answer = explain(words);
        assert_eq!(
            (&answer["verdict"], &answer["reason"]),
            (&verdict.into(), &reason.into()),
            "{words}"
        );
        assert!(answer["disagreement"].is_null(), "{answer}");
        let steps = answer["steps"].as_array().expect("steps");
        let last = steps.last().expect("there are steps");
        assert_eq!(
            (&last["step"], &last["decides"]),
            (&step.into(), &true.into()),
            "{words}"
        );
    }
}

#[test]
fn the_failsafe_comes_from_the_settings() {
    let words = "explain in tcp 203.0.113.7 10.77.2.10:22 --policy rules --host web-1";
    let without = fwctl(&format!("{words} --json"));
    assert!(without.stdout.contains("\"reason\": \"default\""), "{without:?}");
    let directory = tempfile::tempdir().expect("a directory");
    let settings = directory.path().join("agent.toml");
    std::fs::write(
        &settings,
        "[failsafe]\nmanagement_sources = [\"203.0.113.0/24\"]\n",
    )
    .expect("written");
    let with = fwctl(&format!("{words} --json --settings {}", settings.display()));
    assert!(
        with.stdout.contains("\"reason\": \"failsafe-management\""),
        "{with:?}"
    );
}

#[test]
fn what_cannot_be_answered_says_why() {
    for (words, code, said) in [
        (
            "in tcp 203.0.113.7 10.77.2.10:443 --policy rules",
            2,
            "say for which one by --host or --role",
        ),
        (
            "in tcp 203.0.113.7 10.77.2.10 --policy rules",
            2,
            "has no port; say 10.77.2.10:PORT",
        ),
        (
            "in tcp 203.0.113.7 [fd00::1]:443 --policy rules",
            2,
            "not of one family",
        ),
        (
            "in icmp/3/4 203.0.113.7 10.77.2.10 --policy rules",
            2,
            "fwctl replay",
        ),
        ("in tcp 203.0.113.7 10.77.2.10:443 --policy nowhere", 1, "FW001"),
        ("sideways tcp 203.0.113.7 10.77.2.10:443", 2, "`in` or `out`"),
    ] {
        let ended = fwctl(&format!("explain {words}"));
        assert_eq!(ended.code, Some(code), "{words}: {ended:?}");
        assert!(ended.stderr.contains(said), "{words}: {ended:?}");
    }
}
