//! Rules that end by themselves: beside the policy files, over restarts and reboots, and in nobody's way afterwards.

use std::{fs, time::Duration};

use firewall_agent::{
    control::protocol::{
        Apply, Changed, Confirm, Edit, Edits, Failure, FailureKind, LineEdit, NewFile, NewRule, Rollback,
        RulePlace,
    },
    daemon::Agent,
    dataplane::SocketFlow,
    policy::edit::RuleDraft,
    state::{Actor, Cause, SshConnection},
};

use crate::{
    host::{BASE, Host, INVENTORY, WEB, debug_rule, operator, refused, rule_names},
    start::reboot,
};

pub(crate) const HOUR: u64 = 3600;

pub(crate) fn named(name: &str, place: RulePlace, seconds: Option<u64>) -> NewRule {
    let rule = debug_rule();
    NewRule {
        rule: RuleDraft {
            name: name.to_owned(),
            // No two of them are the same.
            what: vec![format!("tcp/{}", 8080 + name.len())],
            ..rule.rule
        },
        place,
        seconds,
        ..rule
    }
}

pub(crate) fn add(agent: &Agent, seconds: u64) -> Result<Changed, Failure> {
    agent.add_rule(&operator(), &named("debug", RulePlace::End, Some(seconds)))
}

pub(crate) fn left(agent: &Agent, name: &str) -> Option<u64> {
    let rules = agent.rules().expect("the kernel answers").rules;
    rules.into_iter().find(|rule| rule.name == name)?.seconds_left
}

pub(crate) fn timed_file(host: &Host) -> String {
    fs::read_to_string(host.path("state").join("timed-rules.toml")).unwrap_or_default()
}

pub(crate) fn edit(agent: &Agent, edit: Edit) -> Result<Changed, Failure> {
    let edits = vec![LineEdit { line: None, edit }];
    agent.edit(&operator(), &Edits { edits, why: None })
}

#[test]
fn a_rule_that_ends_stands_beside_the_policy_files_and_shows_the_time_left() {
    let host = Host::new();
    let agent = host.start();
    let changed = add(&agent, 2 * HOUR).expect("it can be added");
    assert!(
        changed.changes[0].starts_with("added rule debug until 20"),
        "{:?}",
        changed.changes
    );
    for (file, text) in [
        ("inventory.toml", INVENTORY),
        ("base.toml", BASE),
        ("web.toml", WEB),
    ] {
        assert_eq!(host.read(file), text, "no policy file is written");
    }
    assert!(timed_file(&host).contains("name = \"debug\""));
    host.kernel.advance(Duration::from_secs(HOUR));
    let left_now = left(&agent, "debug").expect("it ends");
    assert!((HOUR - 5..=HOUR).contains(&left_now), "{left_now}");
    assert_eq!(left(&agent, "ssh"), None, "this one does not");
    let detail = agent.rule("debug").expect("there is one");
    assert!(detail.rules[0].until.is_some() && detail.text.contains("expires = "));
    let status = agent.status().expect("the kernel answers");
    assert_eq!(
        (status.timed_rules.len(), &*status.timed_rules[0].name),
        (1, "debug")
    );
    assert_eq!(
        status.revision.map(|revision| revision.cause),
        Some(Cause::RuleAdd)
    );
    assert!(!status.pending, "{:?}", status.files);
}

#[test]
fn it_ends_on_time_and_is_taken_out_afterwards() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, 60).expect("it can be added");
    agent
        .add_rule(&operator(), &named("longer", RulePlace::End, Some(HOUR)))
        .expect("another one");
    host.kernel.advance(Duration::from_secs(58));
    agent.forget_ended_rules();
    assert!(rule_names(&agent).contains(&"debug".to_owned()), "not yet");
    host.kernel.advance(Duration::from_secs(3));
    assert_eq!(
        left(&agent, "debug"),
        Some(0),
        "it has ended, whoever has noticed"
    );
    agent.forget_ended_rules();
    assert!(!rule_names(&agent).contains(&"debug".to_owned()));
    assert!(rule_names(&agent).contains(&"longer".to_owned()));
    let status = agent.status().expect("the kernel answers");
    let revision = status.revision.expect("there is one");
    assert_eq!(revision.cause, Cause::RuleEnd);
    assert_eq!(revision.why.as_deref(), Some("the time of debug is over"));
    assert!(!status.pending, "{:?}", status.files);
    host.kernel.advance(Duration::from_secs(HOUR));
    agent.forget_ended_rules();
    assert_eq!(timed_file(&host), "", "without rules there is no file");
    let number = |agent: &Agent| {
        let status = agent.status().expect("the kernel answers");
        status.revision.map(|revision| revision.number)
    };
    let before = number(&agent);
    agent.forget_ended_rules();
    assert_eq!(number(&agent), before, "nothing is left to forget");
}

#[test]
fn files_that_somebody_is_at_are_not_put_in_force_by_an_end() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, 60).expect("it can be added");
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"draft\"\nallow = \"tcp/9\"\nfrom = \"any\"\n",
    );
    host.kernel.advance(Duration::from_secs(61));
    agent.forget_ended_rules();
    let names = rule_names(&agent);
    assert!(!names.contains(&"debug".to_owned()) && !names.contains(&"draft".to_owned()));
    assert!(agent.status().expect("the kernel answers").pending);
}

#[test]
fn a_restart_keeps_the_deadline_and_loads_nothing() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    let before = agent.status().expect("the kernel answers").generation;
    drop(agent);
    host.kernel.advance(Duration::from_mins(30));
    let agent = host.start();
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.generation, before, "{:?}", status.notes);
    let left_now = left(&agent, "debug").expect("it ends");
    assert!((1790..=1800).contains(&left_now), "{left_now}");
    drop(agent);
    host.kernel.advance(Duration::from_secs(1801));
    let agent = host.start();
    assert_eq!(
        agent.status().expect("the kernel answers").generation,
        before,
        "what has ended in the kernel is adopted as it is"
    );
    assert_eq!(left(&agent, "debug"), Some(0));
    agent.forget_ended_rules();
    assert!(!rule_names(&agent).contains(&"debug".to_owned()));
}

#[test]
fn after_a_reboot_the_rule_is_there_with_what_is_left() {
    let mut host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    drop(agent);
    reboot(&mut host);
    let agent = host.start();
    let left_now = left(&agent, "debug").expect("it ends");
    assert!((HOUR - 30..=HOUR).contains(&left_now), "{left_now}");
    assert!(!agent.status().expect("the kernel answers").pending);
}

#[test]
fn it_can_be_deleted_early_and_its_name_is_taken_until_then() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    let again = refused(add(&agent, HOUR));
    assert!(again.message.contains("already has a rule `debug`"), "{again:?}");
    assert!(left(&agent, "debug").is_some());
    agent
        .delete_rule(&operator(), "debug", None)
        .expect("it is there");
    assert!(!rule_names(&agent).contains(&"debug".to_owned()));
    assert_eq!(timed_file(&host), "");
    assert!(!agent.status().expect("the kernel answers").pending);
}

#[test]
fn what_is_no_time_is_refused_and_nothing_lasts_by_accident() {
    let host = Host::new();
    let agent = host.start();
    for seconds in [0, 367 * 24 * HOUR, u64::MAX] {
        let failure = refused(add(&agent, seconds));
        assert_eq!(failure.kind, FailureKind::BadRequest, "{seconds}: {failure:?}");
    }
    let in_file = NewRule {
        file: Some("web.toml".into()),
        ..named("debug", RulePlace::End, Some(60))
    };
    assert_eq!(
        refused(agent.add_rule(&operator(), &in_file)).kind,
        FailureKind::BadRequest
    );
    // Rules that end are taken from the agent's own file only.
    let stray = "layer = \"timed\"\n[[rule]]\nname = \"x\"\nallow = \"tcp/9\"\nfrom = \"any\"\n\
                 since = 2030-01-01T00:00:00Z\nexpires = 2030-01-02T00:00:00Z\n";
    host.write("timed.toml", stray);
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert!(
        failure.message.contains("timed.toml has rules that end"),
        "{failure:?}"
    );
    host.write("timed.toml", &stray.replace("since = 2030-01-01T00:00:00Z\n", ""));
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert!(failure.message.contains("needs the key `since`"), "{failure:?}");
    assert_eq!(rule_names(&agent), ["ssh", "web-to-db", "site"]);
}

#[test]
fn places_are_among_the_rules_of_the_policy_files() {
    let host = Host::new();
    let agent = host.start();
    for (name, place) in [
        ("a", RulePlace::Before("site".into())),
        ("bb", RulePlace::After("ssh".into())),
        ("ccc", RulePlace::First),
        ("dddd", RulePlace::After("a".into())),
        ("eeeee", RulePlace::After("ssh".into())),
        ("ffffff", RulePlace::End),
    ] {
        let added = agent.add_rule(&operator(), &named(name, place, Some(HOUR)));
        added.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    }
    assert_eq!(
        rule_names(&agent),
        [
            "ccc",
            "ssh",
            "eeeee",
            "bb",
            "web-to-db",
            "a",
            "dddd",
            "site",
            "ffffff"
        ]
    );
    let failure = refused(agent.delete_rule(&operator(), "site", None));
    assert!(
        failure.findings[0].text.contains("fwctl rule delete a"),
        "{failure:?}"
    );
    let unknown = named("x", RulePlace::Before("nobody".into()), Some(HOUR));
    assert_eq!(
        refused(agent.add_rule(&operator(), &unknown)).kind,
        FailureKind::NotFound
    );
}

#[test]
fn sixteen_different_ends_fit_and_one_edit_has_one_end() {
    let host = Host::new();
    let agent = host.start();
    let many = |names: std::ops::Range<usize>, seconds: u64| {
        let edits = names.map(|number| LineEdit {
            line: None,
            edit: Edit::RuleAdd(Box::new(named(
                &"x".repeat(number),
                RulePlace::End,
                Some(seconds),
            ))),
        });
        Edits {
            edits: edits.collect(),
            why: None,
        }
    };
    agent
        .edit(&operator(), &many(1..21, HOUR))
        .expect("all have one end");
    for number in 21..36 {
        let one = many(number..number + 1, HOUR + 60 * number as u64);
        agent.edit(&operator(), &one).expect("one end more");
    }
    let failure = refused(agent.edit(&operator(), &many(36..37, 60)));
    assert!(
        failure.message.contains("at 17 different times") && failure.message.contains("at most 16"),
        "{failure:?}"
    );
}

/// An operator who has come by a rule of the policy, and not by the failsafe.
const OPERATOR: &str = "10.77.8.7 50000 10.77.2.10 22";
const OFFICE: &str = "\n[[rule]]\nname = \"office\"\nallow = \"ssh\"\nfrom = \"10.77.8.0/24\"\n";

fn over_ssh() -> Actor {
    Actor {
        from: SshConnection::parse(OPERATOR),
        ..operator()
    }
}

#[test]
fn nobody_is_locked_out_by_a_rule_that_ends_nor_by_its_end() {
    let host = Host::new();
    host.write("base.toml", &format!("{BASE}{OFFICE}"));
    host.kernel.set_sockets(vec![SocketFlow {
        protocol: 6,
        local: "10.77.2.10:22".parse().expect("an address"),
        remote: "10.77.8.7:50000".parse().expect("an address"),
        opened_by_remote: true,
        fins: 0,
        interface: Some("eth0".into()),
    }]);
    let agent = host.start();
    let rule = |name: &str, verdict: &str| {
        let mut new = named(name, RulePlace::Before("ssh".into()), Some(HOUR));
        new.rule.verdict = serde_json::from_value(verdict.into()).expect("a verdict");
        new.rule.what = vec!["ssh".into()];
        new.rule.from = vec!["10.77.8.0/28".into()];
        new
    };
    let failure = refused(agent.add_rule(&over_ssh(), &rule("shut", "drop")));
    assert_eq!(failure.kind, FailureKind::LockOut, "{failure:?}");
    assert!(failure.message.contains("`shut`"), "{failure:?}");

    agent
        .add_rule(&over_ssh(), &rule("open", "allow"))
        .expect("it cuts nobody");
    let failure = refused(agent.delete_rule(&over_ssh(), "office", None));
    assert_eq!(failure.kind, FailureKind::LockOut, "{failure:?}");
    assert!(
        failure
            .message
            .starts_with("once the rules that end by themselves have ended"),
        "{failure:?}"
    );
    agent
        .delete_rule(&over_ssh(), "open", None)
        .expect("the lasting rule lets the operator in");
}

#[test]
fn applied_files_leave_it_alone_and_a_rollback_goes_to_what_was() {
    let host = Host::new();
    let agent = host.start();
    let first = agent
        .status()
        .expect("the kernel answers")
        .revision
        .expect("one")
        .number;
    add(&agent, HOUR).expect("it can be added");
    let with_rule = agent
        .status()
        .expect("the kernel answers")
        .revision
        .expect("one")
        .number;
    let apply = |path: &str, text: &str| Apply {
        files: vec![NewFile {
            path: path.into(),
            text: text.into(),
        }],
        confirm: Confirm::No,
        force: false,
        require_shadow: false,
        why: None,
    };
    let web = format!("{WEB}\n[[rule]]\nname = \"more\"\nallow = \"tcp/9\"\nfrom = \"any\"\n");
    agent
        .apply(&operator(), apply("web.toml", &web))
        .expect("it is right");
    assert!(left(&agent, "debug").is_some() && rule_names(&agent).contains(&"more".to_owned()));
    let failure = refused(agent.apply(&operator(), apply("timed-rules.toml", "layer = \"timed\"\n")));
    assert!(failure.message.contains("the agent's file"), "{failure:?}");

    let back = |to| Rollback {
        to,
        confirm: Confirm::No,
        force: false,
        why: None,
    };
    agent.rollback(&operator(), back(first)).expect("it is there");
    assert_eq!((left(&agent, "debug"), &*timed_file(&host)), (None, ""));
    host.kernel.advance(Duration::from_mins(30));
    agent.rollback(&operator(), back(with_rule)).expect("it is there");
    let left_now = left(&agent, "debug").expect("it ends");
    assert!(left_now <= 1800, "its end has not moved: {left_now}");
    assert!(!agent.status().expect("the kernel answers").pending);
}

#[test]
fn expectations_hold_at_all_times_and_lasting_rules_are_not_found_to_be_hidden() {
    let host = Host::new();
    host.append(
        "web.toml",
        "\n[[expect]]\ndrop = \"tcp/8085\"\nfrom = \"10.77.9.1\"\n\n[[expect]]\nallow = \"https\"\nfrom = \"stranger\"\n\
         rule = \"site\"\n",
    );
    let agent = host.start();
    let status = agent.status().expect("the kernel answers");
    assert!(!status.pending, "{:?}", status.notes);
    // `debug` is five letters long: tcp/8085.
    let failure = refused(add(&agent, HOUR));
    assert!(
        failure.findings.iter().any(|finding| finding.code == "FW040"),
        "{failure:?}"
    );
    let mut all = named("everything", RulePlace::Before("site".into()), Some(HOUR));
    all.rule.what = vec!["http".into(), "https".into()];
    all.rule.from = vec!["any".into()];
    let changed = agent
        .add_rule(&operator(), &all)
        .expect("what is expected still holds");
    assert!(
        changed
            .warnings
            .iter()
            .all(|finding| !finding.message.contains("never decides")),
        "{:?}",
        changed.warnings
    );
    // A lasting one at its place would.
    agent
        .delete_rule(&operator(), "everything", None)
        .expect("it is there");
    let lasting = NewRule { seconds: None, ..all };
    let failure = refused(agent.add_rule(&operator(), &lasting));
    assert!(
        failure.findings.iter().any(|finding| finding.code == "FW040"),
        "the expected rule decides no longer: {failure:?}"
    );
}
