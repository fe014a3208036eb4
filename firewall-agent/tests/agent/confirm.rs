//! Changes that hold until they are confirmed: the kernel in memory keeps the time.

use std::{fs, time::Duration};

use firewall_agent::{
    control::protocol::{Apply, Confirm, Enforcing, FailureKind, NewFile},
    daemon::Agent,
    dataplane::{
        Dataplane,
        fake::{FakeKernel, Operation},
    },
    state::Cause,
};
use firewall_common::cell::{Cell, Mode};

use crate::{
    host::{BASE, Host, WEB, debug_rule, operator, refused, rule_names},
    start::reboot,
};

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/9090\"\nfrom = \"management\"\n";
const WINDOW: u64 = 60;

fn within(seconds: u64) -> Apply {
    Apply {
        files: Vec::new(),
        confirm: Confirm::Within(seconds),
        force: false,
        require_shadow: false,
        why: Some("a test".into()),
    }
}

/// A host whose agent has put a further rule in force, until it is confirmed.
fn waiting() -> (Host, Agent) {
    let host = Host::new();
    let agent = host.start();
    host.append("web.toml", MORE);
    let changed = agent.apply(&operator(), within(WINDOW)).expect("it is right");
    let confirm = changed.confirm.expect("it has to be confirmed");
    assert_eq!((confirm.revision, confirm.fallback), (2, Some(1)));
    (host, agent)
}

fn has_more(agent: &Agent) -> bool {
    rule_names(agent).contains(&"more".to_owned())
}

/// What packets are judged by now.
fn judging(host: &Host) -> (u8, Mode) {
    let mut kernel = host.kernel.dataplane();
    kernel.adopt_or_create().expect("it opens");
    let now = kernel.clock().expect("it has a clock").now_ticks;
    Cell::effective(kernel.cell().expect("it is there").pack(), now)
}

fn status_revision(agent: &Agent) -> Option<u64> {
    let status = agent.status().expect("the kernel answers");
    status.revision.map(|revision| revision.number)
}

#[test]
fn a_confirmed_change_lasts_and_is_a_revision() {
    let (host, agent) = waiting();
    assert!(has_more(&agent));
    let status = agent.status().expect("the kernel answers");
    let confirm = status.confirm.expect("it waits");
    assert!((58..=60).contains(&confirm.seconds_left), "{confirm:?}");
    assert_eq!(
        fs::read_to_string(host.path("state/current")).expect("there"),
        "1\n"
    );
    let changed = agent.confirm(&operator()).expect("it is in time");
    assert_eq!((changed.revision, changed.notes.len()), (2, 0));
    assert_eq!(
        fs::read_to_string(host.path("state/current")).expect("there"),
        "2\n"
    );
    host.kernel.advance(Duration::from_secs(2 * WINDOW));
    let status = agent.status().expect("the kernel answers");
    assert!(status.confirm.is_none() && has_more(&agent));
    drop(agent);
    let agent = host.start();
    assert!(has_more(&agent) && status_revision(&agent) == Some(2));
    let again = refused(agent.confirm(&operator()));
    assert!(
        again.message.contains("revision 2 is in force"),
        "{}",
        again.message
    );
}

#[test]
fn without_a_confirmation_the_kernel_goes_back_and_the_agent_follows() {
    let (host, agent) = waiting();
    let (candidate, _) = judging(&host);
    host.kernel.advance(Duration::from_secs(WINDOW - 2));
    assert_eq!(judging(&host).0, candidate);
    host.kernel.advance(Duration::from_secs(4));
    assert_ne!(judging(&host).0, candidate, "nobody has asked the agent");
    let status = agent.status().expect("the kernel answers");
    assert!(status.confirm.is_none() && status.pending);
    assert!(!has_more(&agent) && status_revision(&agent) == Some(1));
    assert!(!host.path("state/pending.json").exists() && !host.path("state/revisions/2").exists());
    let late = refused(agent.confirm(&operator()));
    assert_eq!(late.kind, FailureKind::Conflict);
    assert!(
        late.message.contains("too late") && late.message.contains("revision 1 is in force again"),
        "{}",
        late.message
    );
    // The next one takes the number.
    agent.apply(&operator(), within(WINDOW)).expect("it is right");
    assert_eq!(agent.confirm(&operator()).expect("in time").revision, 2);
}

#[test]
fn a_cancelled_change_is_gone_at_once() {
    let (host, agent) = waiting();
    let changed = agent.cancel(&operator()).expect("it waits");
    assert_eq!(changed.revision, 1);
    assert!(!has_more(&agent));
    refused(agent.cancel(&operator()));
    let refusal = refused(agent.confirm(&operator()));
    assert!(refusal.message.contains("was taken back"), "{}", refusal.message);
    assert!(
        host.read("web.toml").contains("more"),
        "the operator's file is left alone"
    );
}

#[test]
fn nothing_else_is_changed_meanwhile() {
    let (host, agent) = waiting();
    let before = host.read("web.toml");
    for failure in [
        refused(agent.add_rule(&operator(), &debug_rule())),
        refused(agent.delete_rule(&operator(), "site", None)),
        refused(agent.reload(&operator(), Cause::Signal, None)),
        refused(agent.apply(&operator(), within(WINDOW))),
    ] {
        assert_eq!(failure.kind, FailureKind::Conflict);
        assert!(
            failure.message.contains("revision 2 of alex waits"),
            "{failure:?}"
        );
        let hint = failure.hint.expect("what to do");
        assert!(
            hint.contains("fwctl confirm") && hint.contains("fwctl cancel"),
            "{hint}"
        );
    }
    assert_eq!(host.read("web.toml"), before);
    agent.confirm(&operator()).expect("it is in time");
    agent
        .add_rule(&operator(), &debug_rule())
        .expect("nothing waits any more");
}

#[test]
fn a_restart_keeps_the_deadline() {
    let (host, agent) = waiting();
    host.kernel.advance(Duration::from_secs(20));
    drop(agent);
    let agent = host.start();
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.notes, [""; 0], "nothing is amiss");
    let left = status.confirm.expect("it waits yet").seconds_left;
    assert!((38..=40).contains(&left), "{left}");
    assert!(has_more(&agent));
    refused(agent.add_rule(&operator(), &debug_rule()));
    host.kernel.advance(Duration::from_secs(41));
    assert!(agent.status().expect("the kernel answers").confirm.is_none() && !has_more(&agent));
    assert_eq!(status_revision(&agent), Some(1));

    agent.apply(&operator(), within(WINDOW)).expect("it is right");
    drop(agent);
    let agent = host.start();
    assert_eq!(agent.confirm(&operator()).expect("in time").revision, 2);
    host.kernel.advance(Duration::from_secs(2 * WINDOW));
    assert!(has_more(&agent));
}

#[test]
fn a_window_that_ends_without_an_agent_is_told_of_by_the_next() {
    let (host, agent) = waiting();
    drop(agent);
    host.kernel.advance(Duration::from_secs(WINDOW + 1));
    let agent = host.start();
    let status = agent.status().expect("the kernel answers");
    assert!(
        status.notes.iter().any(|note| note.contains("was not confirmed")),
        "{:?}",
        status.notes
    );
    assert!(!has_more(&agent) && status_revision(&agent) == Some(1));
    assert!(refused(agent.confirm(&operator())).message.contains("too late"));
    assert!(!host.path("state/pending.json").exists());
}

#[test]
fn a_reboot_comes_up_with_the_last_confirmed_policy() {
    let (mut host, agent) = waiting();
    drop(agent);
    host.kernel = FakeKernel::new();
    host.kernel.add_link(FakeKernel::link(2, "eth0"));
    let agent = host.start();
    assert!(!has_more(&agent) && status_revision(&agent) == Some(1));
    assert!(agent.status().expect("the kernel answers").confirm.is_none());
}

#[test]
fn a_window_without_a_record_is_not_trusted() {
    let (host, agent) = waiting();
    drop(agent);
    fs::remove_file(host.path("state/pending.json")).expect("it waits");
    let agent = host.start();
    assert!(!has_more(&agent) && status_revision(&agent) == Some(1));
    let notes = agent.status().expect("the kernel answers").notes;
    assert!(
        notes.iter().any(|note| note.contains("nothing is known of")),
        "{notes:?}"
    );
}

/// An agent that ends between any two steps leaves the old state or the new one.
#[test]
fn an_end_between_the_steps_of_a_confirmation_leaves_old_or_new() {
    for (current, record, expected) in [("1", true, 1), ("2", true, 2), ("2", false, 2)] {
        let (host, agent) = waiting();
        drop(agent);
        let (slot, mode) = judging(&host);
        fs::write(host.path("state/current"), format!("{current}\n")).expect("ours");
        if current == "1" {
            // The kernel was told, and the disk was not.
            host.kernel.set_cell(Cell {
                slot,
                fallback: slot,
                mode,
                deadline_ticks: None,
            });
        }
        if !record {
            fs::remove_file(host.path("state/pending.json")).expect("it waits");
        }
        let agent = host.start();
        assert_eq!(status_revision(&agent), Some(expected), "{current} {record}");
        assert_eq!(has_more(&agent), expected == 2);
        host.kernel.advance(Duration::from_secs(2 * WINDOW));
        assert_eq!(
            status_revision(&agent),
            Some(expected),
            "for good: {current} {record}"
        );
        assert_eq!(has_more(&agent), expected == 2);
        assert!(agent.status().expect("the kernel answers").confirm.is_none());
        agent.add_rule(&operator(), &debug_rule()).map_or_else(
            |failure| assert!(failure.message.contains("not the ones in force"), "{failure:?}"),
            |_| assert_eq!(expected, 2),
        );
    }
}

#[test]
fn a_kernel_or_a_disk_that_refuses_leaves_nothing_behind() {
    for operation in [Operation::Load, Operation::Switch, Operation::Links] {
        let host = Host::new();
        let agent = host.start();
        host.append("web.toml", MORE);
        host.kernel.fail(operation);
        refused(agent.apply(&operator(), within(WINDOW)));
        assert!(!host.path("state/pending.json").exists(), "{operation:?}");
        host.kernel.mend(operation);
        assert!(!has_more(&agent) && agent.status().expect("it answers").confirm.is_none());
        agent.apply(&operator(), within(WINDOW)).expect("it works again");
        assert_eq!(agent.confirm(&operator()).expect("in time").revision, 2);
    }
    let host = Host::new();
    let agent = host.start();
    host.append("web.toml", MORE);
    fs::create_dir_all(host.path("state/pending.json/in-the-way")).expect("ours");
    refused(agent.apply(&operator(), within(WINDOW)));
    assert!(!has_more(&agent) && !host.path("state/revisions/2").exists());
}

#[test]
fn interfaces_stay_filtered_until_the_change_is_confirmed() {
    let host = Host::new();
    host.kernel.add_link(FakeKernel::link(3, "wan0"));
    let agent = host.start();
    let attached = |agent: &Agent| {
        let status = agent.status().expect("the kernel answers");
        let names = status.interfaces.into_iter().map(|one| one.name);
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(attached(&agent), "eth0");
    host.write("base.toml", &BASE.replace("[\"eth*\"]", "[\"wan*\"]"));
    agent.apply(&operator(), within(WINDOW)).expect("it is right");
    assert_eq!(attached(&agent), "eth0 wan0", "both, while either may come back");
    drop(agent);
    let agent = host.start();
    assert_eq!(attached(&agent), "eth0 wan0", "also after a restart");
    host.kernel.advance(Duration::from_secs(WINDOW + 1));
    assert_eq!(attached(&agent), "eth0");
    agent.apply(&operator(), within(WINDOW)).expect("it is right");
    agent.confirm(&operator()).expect("in time");
    assert_eq!(attached(&agent), "wan0");
}

#[test]
fn files_that_are_handed_in_are_written_at_the_confirmation_only() {
    let host = Host::new();
    let agent = host.start();
    let text = format!("{WEB}{MORE}");
    let apply = |confirm| Apply {
        files: vec![NewFile {
            path: "/home/alex/web.toml".into(),
            text: text.clone(),
        }],
        confirm,
        force: false,
        require_shadow: false,
        why: None,
    };
    agent
        .apply(&operator(), apply(Confirm::Within(WINDOW)))
        .expect("it is right");
    assert!(has_more(&agent));
    assert_eq!(host.read("web.toml"), WEB);
    agent.cancel(&operator()).expect("it waits");
    assert_eq!(host.read("web.toml"), WEB);
    agent
        .apply(&operator(), apply(Confirm::Within(WINDOW)))
        .expect("it is right");
    agent.confirm(&operator()).expect("in time");
    assert_eq!(host.read("web.toml"), text);
    assert!(!agent.status().expect("it answers").pending);

    // At once, and where somebody else has written meanwhile.
    host.write("web.toml", WEB);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("it is right");
    agent.apply(&operator(), apply(Confirm::No)).expect("it is right");
    assert_eq!(host.read("web.toml"), text);
    host.write("web.toml", WEB);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("it is right");
    agent
        .apply(&operator(), apply(Confirm::Within(WINDOW)))
        .expect("it is right");
    let theirs = format!("{WEB}# theirs\n");
    host.write("web.toml", &theirs);
    let confirmed = agent.confirm(&operator()).expect("in time");
    assert!(
        confirmed.notes[0].contains("changed by somebody else"),
        "{:?}",
        confirmed.notes
    );
    assert_eq!(host.read("web.toml"), theirs);
    assert!(has_more(&agent) && agent.status().expect("it answers").pending);
}

#[test]
fn a_window_is_the_default_only_while_somebody_manages_the_host() {
    use firewall_agent::{dataplane::SocketFlow, state::SshConnection};

    let host = Host::new();
    let agent = host.start();
    let auto = || Apply {
        confirm: Confirm::Auto,
        ..within(0)
    };
    host.append("web.toml", MORE);
    assert!(
        agent
            .apply(&operator(), auto())
            .expect("it is right")
            .confirm
            .is_none()
    );
    host.write("web.toml", WEB);
    let socket = SocketFlow {
        protocol: 6,
        local: "10.77.2.10:22".parse().expect("an address"),
        remote: "10.77.9.7:50000".parse().expect("an address"),
        opened_by_remote: true,
        fins: 0,
        interface: Some("eth0".into()),
    };
    host.kernel.set_sockets(vec![socket]);
    assert!(
        agent
            .apply(&operator(), auto())
            .expect("it is right")
            .confirm
            .is_some()
    );
    agent.cancel(&operator()).expect("it waits");
    host.kernel.set_sockets(Vec::new());
    let mut over_ssh = operator();
    over_ssh.from = SshConnection::parse("10.77.9.7 50000 10.77.2.10 22");
    assert!(
        agent
            .apply(&over_ssh, auto())
            .expect("it is right")
            .confirm
            .is_some()
    );
    agent.cancel(&operator()).expect("it waits");
    let no = Apply {
        confirm: Confirm::No,
        ..auto()
    };
    assert!(agent.apply(&over_ssh, no).expect("it is right").confirm.is_none());
    for seconds in [0, 100_000] {
        let failure = refused(agent.apply(&operator(), within(seconds)));
        assert_eq!(failure.kind, FailureKind::BadRequest);
    }
}

/// Only the failsafe is in force, and a policy waits for its confirmation.
fn waiting_over_the_failsafe() -> (Host, Agent) {
    let host = Host::new();
    let right = host.read("web.toml");
    host.append("web.toml", "nonsense = true\n");
    let agent = host.start();
    assert_eq!(
        agent.status().expect("it answers").enforcing,
        Enforcing::FailsafeOnly
    );
    host.write("web.toml", &right);
    let changed = agent.apply(&operator(), within(WINDOW)).expect("it is right");
    let confirm = changed.confirm.expect("it has to be confirmed");
    assert_eq!((confirm.revision, confirm.fallback), (1, None));
    (host, agent)
}

#[test]
fn a_first_policy_keeps_its_deadline_over_a_restart() {
    let (host, agent) = waiting_over_the_failsafe();
    drop(agent);
    host.kernel.advance(Duration::from_secs(20));
    let agent = host.start();
    let status = agent.status().expect("it answers");
    let left = status.confirm.map(|confirm| confirm.seconds_left);
    assert!(left.is_some_and(|left| (38..=40).contains(&left)), "{left:?}");
    assert_eq!(status.enforcing, Enforcing::Policy);
    host.kernel.advance(Duration::from_secs(WINDOW));
    let status = agent.status().expect("it answers");
    assert_eq!(
        (status.enforcing, status.confirm),
        (Enforcing::FailsafeOnly, None)
    );
    let late = refused(agent.confirm(&operator())).message;
    assert!(late.contains("too late"), "{late}");
}

#[test]
fn a_first_policy_that_is_confirmed_after_a_restart_lasts() {
    let (mut host, agent) = waiting_over_the_failsafe();
    drop(agent);
    let agent = host.start();
    agent.confirm(&operator()).expect("it is in time");
    drop(agent);
    reboot(&mut host);
    let agent = host.start();
    assert_eq!(status_revision(&agent), Some(1));
}

#[test]
fn a_reboot_in_the_window_is_told_of_and_a_stepped_wall_clock_changes_nothing() {
    let (mut host, agent) = waiting();
    drop(agent);
    // Files that were written by a wall clock years ahead, or years behind.
    let pending = host.path("state/pending.json");
    let text = fs::read_to_string(&pending).expect("it waits");
    for year in ["1985", "2085"] {
        let mut stepped: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for key in ["since", "deadline"] {
            stepped[key] = format!("{year}-05-05T05:05:05Z").into();
        }
        fs::write(&pending, stepped.to_string()).expect("ours");
        let agent = host.start();
        let left = agent
            .status()
            .expect("it answers")
            .confirm
            .map(|confirm| confirm.seconds_left);
        assert!(
            left.is_some_and(|left| (58..=60).contains(&left)),
            "{year}: {left:?}"
        );
    }
    fs::write(&pending, &text).expect("ours");
    reboot(&mut host);
    let agent = host.start();
    assert_eq!(status_revision(&agent), Some(1));
    let late = refused(agent.confirm(&operator())).message;
    assert!(
        late.contains("the agent or the machine ended before it was confirmed"),
        "{late}"
    );
}
