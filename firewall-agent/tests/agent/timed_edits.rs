//! Rules that end by themselves are edited as others are, and end when they were to, unless another time is said.

use std::time::Duration;

use firewall_agent::{
    control::protocol::{
        Changed, Confirm, Edit, Edits, Failure, FailureKind, LineEdit, Rollback, RulePlace, TimedRule,
    },
    daemon::Agent,
    policy::edit::{RuleDraft, Verdict},
    state::Cause,
};

use crate::{
    host::{BASE, Host, WEB, debug_rule, operator, refused, rule_names},
    start::reboot,
    timed::{HOUR, add, edit, left, named, timed_file},
};

const DEBUG: &str = "debug";

fn name() -> String {
    DEBUG.to_owned()
}

fn batch(agent: &Agent, edits: Vec<Edit>) -> Result<Changed, Failure> {
    let edits = edits.into_iter().map(|edit| LineEdit { line: None, edit });
    let edits = Edits {
        edits: edits.collect(),
        why: None,
    };
    agent.edit(&operator(), &edits)
}

fn moved(place: RulePlace) -> Edit {
    Edit::RuleMove { name: name(), place }
}

fn lasting_for(seconds: u64) -> Edit {
    Edit::RuleTerm {
        name: name(),
        seconds,
    }
}

fn replacement() -> RuleDraft {
    RuleDraft {
        verdict: Verdict::Drop,
        what: vec!["tcp/9000".into()],
        ..debug_rule().rule
    }
}

fn status_of(agent: &Agent) -> Option<TimedRule> {
    let rules = agent.status().expect("the kernel answers").timed_rules;
    rules.into_iter().find(|rule| rule.name == DEBUG)
}

fn cause(agent: &Agent) -> Option<Cause> {
    let status = agent.status().expect("the kernel answers");
    assert!(!status.pending, "{:?}", status.files);
    status.revision.map(|revision| revision.cause)
}

fn about(seconds: u64, left: Option<u64>) {
    let left = left.expect("it ends");
    assert!((seconds - 5..=seconds).contains(&left), "{left} of {seconds}");
}

#[test]
fn it_is_replaced_and_keeps_its_place_and_its_end() {
    let host = Host::new();
    let agent = host.start();
    let place = RulePlace::Before("site".into());
    agent
        .add_rule(&operator(), &named(DEBUG, place, Some(2 * HOUR)))
        .expect("it can be added");
    let order = rule_names(&agent);
    host.kernel.advance(Duration::from_secs(HOUR));
    let changed = edit(&agent, Edit::RuleReplace(Box::new(replacement()))).expect("it is there");
    assert_eq!(changed.changes, ["changed rule debug"]);
    about(HOUR, left(&agent, DEBUG));
    assert_eq!(rule_names(&agent), order);
    let detail = agent.rule(DEBUG).expect("it is there");
    assert_eq!(detail.rules[0].action, "drop");
    assert_eq!(cause(&agent), Some(Cause::RuleReplace));
    assert_eq!((&*host.read("base.toml"), &*host.read("web.toml")), (BASE, WEB));

    let other = RuleDraft {
        before: Some("ssh".into()),
        ..replacement()
    };
    edit(&agent, Edit::RuleReplace(Box::new(other))).expect("a place may be said as well");
    assert_eq!(rule_names(&agent)[0], DEBUG);
    about(HOUR, left(&agent, DEBUG));

    let stranger = RuleDraft {
        before: Some("nobody".into()),
        ..replacement()
    };
    let failure = refused(edit(&agent, Edit::RuleReplace(Box::new(stranger))));
    assert_eq!(failure.kind, FailureKind::NotFound, "{failure:?}");
}

#[test]
fn another_time_is_said_with_a_replacement_and_only_of_what_ends() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    host.kernel.advance(Duration::from_mins(30));
    let edits = vec![lasting_for(2 * HOUR), Edit::RuleReplace(Box::new(replacement()))];
    let changed = batch(&agent, edits).expect("it is there");
    assert!(
        changed.changes[0].starts_with("changed rule debug until 20"),
        "{:?}",
        changed.changes
    );
    about(2 * HOUR, left(&agent, DEBUG));
    assert_eq!(cause(&agent), Some(Cause::RuleReplace), "as one command");
    host.kernel.advance(Duration::from_secs(HOUR + 60));
    agent.forget_ended_rules();
    assert!(left(&agent, DEBUG).is_some(), "its former end is none any more");

    let before = timed_file(&host);
    for seconds in [0, 367 * 24 * HOUR] {
        assert_eq!(
            refused(edit(&agent, lasting_for(seconds))).kind,
            FailureKind::BadRequest
        );
    }
    let of = |name: &str| Edit::RuleTerm {
        name: name.to_owned(),
        seconds: 60,
    };
    let failure = refused(edit(&agent, of("site")));
    assert!(
        failure.message.contains("web.toml and has no end") && failure.hint.is_some(),
        "{failure:?}"
    );
    assert_eq!(refused(edit(&agent, of("nobody"))).kind, FailureKind::NotFound);
    assert_eq!(timed_file(&host), before);
}

#[test]
fn it_is_moved_anywhere_among_all_rules_and_keeps_its_end() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    agent
        .add_rule(
            &operator(),
            &named("other", RulePlace::After("ssh".into()), Some(HOUR)),
        )
        .expect("another one");
    host.kernel.advance(Duration::from_mins(10));
    let (before, after) = (
        |name: &str| RulePlace::Before(name.into()),
        |name: &str| RulePlace::After(name.into()),
    );
    for (place, expected) in [
        (RulePlace::First, ["debug", "ssh", "other", "web-to-db", "site"]),
        (RulePlace::First, ["debug", "ssh", "other", "web-to-db", "site"]),
        (before("site"), ["ssh", "other", "web-to-db", "debug", "site"]),
        (after("other"), ["ssh", "other", "debug", "web-to-db", "site"]),
        (before("other"), ["ssh", "debug", "other", "web-to-db", "site"]),
        (before("debug"), ["ssh", "debug", "other", "web-to-db", "site"]),
        (after("site"), ["ssh", "other", "web-to-db", "site", "debug"]),
        (after("ssh"), ["ssh", "debug", "other", "web-to-db", "site"]),
        (RulePlace::End, ["ssh", "other", "web-to-db", "site", "debug"]),
    ] {
        edit(&agent, moved(place.clone())).expect("it goes there");
        assert_eq!(rule_names(&agent), expected, "{place:?}");
        about(3000, left(&agent, DEBUG));
    }
    assert_eq!(cause(&agent), Some(Cause::RuleMove));
    let failure = refused(edit(&agent, moved(before("nobody"))));
    assert_eq!(failure.kind, FailureKind::NotFound, "{failure:?}");

    // What lasts cannot stand beside it, and is told what can.
    let move_site = Edit::RuleMove {
        name: "site".into(),
        place: before("debug"),
    };
    let add_lasting = Edit::RuleAdd(Box::new(named("lasting", after("debug"), None)));
    for wrong in [move_site, add_lasting] {
        let failure = refused(edit(&agent, wrong));
        assert_eq!(failure.kind, FailureKind::Conflict, "{failure:?}");
        assert!(failure.message.contains("its place would end with `debug`"));
        assert!(failure.hint.is_some_and(|hint| hint.contains("can be moved")));
    }
}

#[test]
fn it_is_switched_off_and_on_and_its_time_goes_on_meanwhile() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    edit(&agent, Edit::RuleDisable { name: name() }).expect("it is there");
    assert_eq!(cause(&agent), Some(Cause::RuleDisable));
    assert!(!rule_names(&agent).contains(&name()));
    let rules = agent.rules().expect("the kernel answers");
    assert_eq!(rules.disabled.len(), 1);
    assert!(rules.disabled[0].origin.starts_with("timed-rules.toml:"));
    about(HOUR, rules.disabled[0].seconds_left);
    let detail = agent.rule(DEBUG).expect("it is shown");
    assert!(detail.disabled && detail.until.is_some());
    assert!(status_of(&agent).is_some_and(|rule| rule.disabled));

    host.kernel.advance(Duration::from_mins(30));
    drop(agent);
    let agent = host.start();
    assert!(
        status_of(&agent).is_some_and(|rule| rule.disabled),
        "after a restart"
    );
    edit(&agent, Edit::RuleEnable { name: name() }).expect("it is there");
    assert_eq!(cause(&agent), Some(Cause::RuleEnable));
    about(1800, left(&agent, DEBUG));
    assert!(status_of(&agent).is_some_and(|rule| !rule.disabled));

    edit(&agent, Edit::RuleDisable { name: name() }).expect("once more");
    let edits = vec![lasting_for(2 * HOUR), Edit::RuleEnable { name: name() }];
    batch(&agent, edits).expect("with another time");
    about(2 * HOUR, left(&agent, DEBUG));
    assert_eq!(cause(&agent), Some(Cause::RuleEnable));
}

#[test]
fn one_that_is_switched_off_is_taken_out_on_time() {
    let mut host = Host::new();
    let agent = host.start();
    add(&agent, 60).expect("it can be added");
    edit(&agent, Edit::RuleDisable { name: name() }).expect("it is there");
    host.kernel.advance(Duration::from_secs(58));
    agent.forget_ended_rules();
    assert!(status_of(&agent).is_some(), "not yet");
    host.kernel.advance(Duration::from_secs(3));
    for late in [
        Edit::RuleEnable { name: name() },
        Edit::RuleReplace(Box::new(replacement())),
        moved(RulePlace::First),
    ] {
        let failure = refused(edit(&agent, late));
        assert_eq!(failure.message, "the time of `debug` is over");
        assert!(failure.hint.is_some_and(|hint| hint.contains("--for 2h")));
    }
    agent.forget_ended_rules();
    assert_eq!(status_of(&agent), None);
    assert_eq!((cause(&agent), &*timed_file(&host)), (Some(Cause::RuleEnd), ""));

    add(&agent, HOUR).expect("its name is free");
    edit(&agent, Edit::RuleDisable { name: name() }).expect("it is there");
    drop(agent);
    reboot(&mut host);
    let agent = host.start();
    let rule = status_of(&agent).expect("it is there after a reboot");
    assert!(rule.disabled && rule.seconds_left > HOUR - 30, "{rule:?}");
}

#[test]
fn a_batch_mixes_them_with_rules_that_last_or_changes_nothing() {
    let host = Host::new();
    let agent = host.start();
    add(&agent, HOUR).expect("it can be added");
    let before = (timed_file(&host), host.read("web.toml"));
    let wrong = vec![
        Edit::RuleDisable { name: name() },
        Edit::RuleDisable { name: "site".into() },
        Edit::RuleMove {
            name: "nobody".into(),
            place: RulePlace::First,
        },
    ];
    refused(batch(&agent, wrong));
    assert_eq!((timed_file(&host), host.read("web.toml")), before);
    let right = vec![
        Edit::RuleDelete { name: "ssh".into() },
        Edit::RuleDisable { name: "site".into() },
        moved(RulePlace::First),
        Edit::RuleReplace(Box::new(replacement())),
    ];
    let changed = batch(&agent, right).expect("all are right");
    assert_eq!(changed.files.len(), 3, "{:?}", changed.files);
    assert_eq!(rule_names(&agent), ["debug", "web-to-db"]);
    about(HOUR, left(&agent, DEBUG));
    assert_eq!(cause(&agent), Some(Cause::Edit));

    // A former revision has the rule as it was, with the same end.
    host.kernel.advance(Duration::from_mins(20));
    let back = Rollback {
        to: 2,
        confirm: Confirm::No,
        force: false,
        why: None,
    };
    agent.rollback(&operator(), back).expect("it is there");
    assert_eq!(rule_names(&agent), ["ssh", "web-to-db", "site", "debug"]);
    about(2400, left(&agent, DEBUG));
}
