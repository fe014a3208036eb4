//! A host on which no policy was ever in force.

use std::{fs, time::Duration};

use firewall_agent::{
    control::protocol::{Apply, Confirm, Enforcing, FailureKind, Status},
    daemon::Agent,
    dataplane::Dataplane,
    state::Cause,
};

use crate::host::{Host, debug_rule, operator, refused};

const WAIT: &str = "enforce_files_at_first_start = false\n";

fn apply(confirm: Confirm) -> Apply {
    Apply {
        files: Vec::new(),
        confirm,
        force: false,
        require_shadow: false,
        why: None,
    }
}

fn status(agent: &Agent) -> Status {
    agent.status().expect("the kernel answers")
}

/// Nothing is filtered, and that is said.
fn assert_open(agent: &Agent) {
    let status = status(agent);
    assert_eq!(status.enforcing, Enforcing::Nothing);
    assert!(
        status.interfaces.is_empty() && status.revision.is_none(),
        "{status:?}"
    );
}

#[test]
fn nothing_is_filtered_until_an_operator_applies_the_first_policy() {
    let host = Host::new().with_settings(WAIT);
    let agent = host.start();
    assert_open(&agent);
    let notes = status(&agent).notes;
    assert!(notes.iter().any(|note| note.contains("fwctl apply")), "{notes:?}");
    drop(agent);
    let agent = host.start();
    assert_open(&agent);
    agent.apply(&operator(), apply(Confirm::No)).expect("it is right");
    let status = status(&agent);
    assert_eq!(status.enforcing, Enforcing::Policy);
    assert_eq!(status.interfaces.len(), 1);
    assert_eq!(status.revision.map(|revision| revision.number), Some(1));
}

#[test]
fn a_first_policy_that_nobody_confirms_leaves_the_host_open_again() {
    let host = Host::new().with_settings(WAIT);
    let mut agent = host.start();
    for restarted in [false, true] {
        let changed = agent
            .apply(&operator(), apply(Confirm::Within(60)))
            .expect("it is right");
        assert_eq!(changed.confirm.expect("it waits").fallback, None);
        assert_eq!(status(&agent).interfaces.len(), 1);
        if restarted {
            drop(agent);
            agent = host.start();
            let status = status(&agent);
            assert_eq!(status.enforcing, Enforcing::Policy, "it still waits");
            assert!(status.confirm.is_some(), "{status:?}");
        }
        host.kernel.advance(Duration::from_secs(61));
        assert_open(&agent);
    }
    // With nobody there at the deadline.
    agent
        .apply(&operator(), apply(Confirm::Within(60)))
        .expect("it is right");
    drop(agent);
    host.kernel.advance(Duration::from_secs(61));
    let agent = host.start();
    assert_open(&agent);
    agent
        .apply(&operator(), apply(Confirm::Within(60)))
        .expect("it is right");
    agent.confirm(&operator()).expect("it is in time");
    assert_eq!(status(&agent).enforcing, Enforcing::Policy);
}

#[test]
fn without_a_management_source_no_first_policy_is_taken() {
    let host = Host::new().without_managers();
    let agent = host.start();
    assert_open(&agent);
    let notes = status(&agent).notes;
    assert!(
        notes.iter().any(|note| note.contains("management_sources")),
        "{notes:?}"
    );
    for failure in [
        refused(agent.apply(&operator(), apply(Confirm::Within(60)))),
        refused(agent.apply(&operator(), apply(Confirm::No))),
        refused(agent.reload(&operator(), Cause::Reload, None)),
    ] {
        assert_eq!(failure.kind, FailureKind::Conflict);
        let hint = failure.hint.expect("it says what to do");
        assert!(hint.contains("management_sources"), "{hint}");
    }
    assert_open(&agent);
}

#[test]
fn what_would_have_no_effect_is_refused_while_nothing_is_filtered() {
    let agent = Host::new().with_settings(WAIT).start();
    for failure in [
        refused(agent.panic(&operator(), None)),
        refused(agent.pause(&operator(), 60, None)),
        refused(agent.add_rule(&operator(), &debug_rule())),
    ] {
        assert_eq!(failure.kind, FailureKind::Conflict);
        assert!(failure.message.contains("nothing is filtered"), "{failure:?}");
    }
}

#[test]
fn settings_that_want_the_files_at_a_first_start_get_them_later_too() {
    let waiting = Host::new().with_settings(WAIT);
    drop(waiting.start());
    let host = waiting.with_settings("\n");
    let text = "host = \"web-1\"\npolicy = [\"policy\"]\nstate_dir = \"state\"\npin_dir = \"pins\"\n\
                [failsafe]\nmanagement_sources = [\"10.77.9.0/24\"]\n[control]\nsocket = \"control.sock\"\n";
    let settings = firewall_agent::settings::parse(text, &host.path("agent.toml")).expect("right");
    let agent = Agent::start(settings, Box::new(host.kernel.dataplane())).expect("it starts");
    assert_eq!(status(&agent).enforcing, Enforcing::Policy);
}

#[test]
fn a_policy_in_the_kernel_is_not_taken_for_nothing_where_its_revisions_are_lost() {
    let host = Host::new();
    drop(host.start());
    fs::remove_dir_all(host.path("state")).expect("ours");
    let host = host.with_settings(WAIT);
    let status = status(&host.start());
    assert_eq!(status.enforcing, Enforcing::Adopted);
    assert_eq!(status.interfaces.len(), 1);
    let mut kernel = host.kernel.dataplane();
    kernel.adopt_or_create().expect("it opens");
}
