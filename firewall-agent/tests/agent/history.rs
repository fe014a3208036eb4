//! The history of changes, rollback, and the modes in which no policy judges.

use std::{fs, time::Duration};

use firewall_agent::{
    control::protocol::{Apply, Confirm, FailureKind, NewBan, Rollback},
    daemon::Agent,
    dataplane::{Dataplane, SocketFlow},
    state::{Actor, Cause, Event, SshConnection},
};
use firewall_common::cell::{Cell, Mode};

use crate::{
    host::{BASE, Host, WEB, debug_rule, operator, refused, rule_names},
    start::reboot,
};

fn to(revision: u64) -> Rollback {
    Rollback {
        to: revision,
        confirm: Confirm::No,
        force: false,
        why: None,
    }
}

fn faults(agent: &Agent) -> Vec<String> {
    let verdict = agent.verify_history(None).expect("it can be read");
    verdict.faults.into_iter().map(|fault| fault.what).collect()
}

fn mode(host: &Host) -> Mode {
    let mut kernel = host.kernel.dataplane();
    kernel.adopt_or_create().expect("it opens");
    let now = kernel.clock().expect("it has a clock").now_ticks;
    Cell::effective(kernel.cell().expect("it is there").pack(), now).1
}

#[test]
fn every_change_is_recorded_with_who_and_why() {
    let host = Host::new();
    let agent = host.start();
    let over_ssh = Actor {
        login_uid: Some(1001),
        login_user: Some("blake".into()),
        from: SshConnection::parse("10.77.9.7 50000 10.77.2.10 22"),
        ..operator()
    };
    agent.add_rule(&over_ssh, &debug_rule()).expect("it is right");
    agent
        .delete_rule(&operator(), "debug", None)
        .expect("it is there");
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"more\"\nallow = \"tcp/9090\"\nfrom = \"any\"\n",
    );
    let apply = |confirm| Apply {
        files: Vec::new(),
        confirm,
        force: false,
        require_shadow: false,
        why: Some("on probation".into()),
    };
    agent
        .apply(&operator(), apply(Confirm::Within(60)))
        .expect("it is right");
    assert_eq!(
        agent.history(100).expect("readable").total,
        3,
        "nobody has confirmed it yet"
    );
    agent.confirm(&over_ssh).expect("in time");
    let history = agent.history(100).expect("readable");
    let told: Vec<_> = history
        .entries
        .iter()
        .map(|one| (one.entry.record.revision, one.entry.record.cause.map(Cause::name)))
        .collect();
    assert_eq!(
        told,
        [
            (Some(1), Some("first-start")),
            (Some(2), Some("rule-add")),
            (Some(3), Some("rule-delete")),
            (Some(4), Some("apply"))
        ]
    );
    let added = &history.entries[1].entry.record;
    assert_eq!(
        (added.by.clone(), added.why.as_deref(), added.changes),
        (over_ssh.clone(), Some("a test"), 1)
    );
    assert_eq!(added.by.describe(), "alex (login blake) from 10.77.9.7:50000");
    let applied = &history.entries[3].entry.record;
    assert_eq!(
        (applied.by.clone(), applied.confirmed_by.clone()),
        (operator(), Some(over_ssh))
    );
    assert_eq!(faults(&agent), [""; 0]);
    let head = agent.status().expect("it answers").history;
    assert_eq!((head.number, &head), (4, &history.head));
    // What was written down elsewhere is found, and what never was is not.
    assert!(
        agent
            .verify_history(Some(&head.hash[..12]))
            .expect("readable")
            .faults
            .is_empty()
    );
    assert_eq!(
        agent
            .verify_history(Some("0123456789ab"))
            .expect("readable")
            .faults
            .len(),
        1
    );
    assert_eq!(agent.history(2).expect("readable").entries.len(), 2);
}

#[test]
fn an_edited_a_removed_and_a_swapped_entry_are_found() {
    let host = Host::new();
    let agent = host.start();
    for _ in 0..2 {
        agent.add_rule(&operator(), &debug_rule()).expect("it is right");
        agent
            .delete_rule(&operator(), "debug", None)
            .expect("it is there");
    }
    let path = host.path("state/history");
    let whole = fs::read_to_string(&path).expect("there");
    let lines = || whole.lines().map(str::to_owned).collect::<Vec<_>>();
    let edited = whole.replacen("\"uid\":1000", "\"uid\":1001", 1);
    let (mut removed, mut swapped, mut shortened) = (lines(), lines(), lines());
    removed.remove(2);
    swapped.swap(1, 2);
    shortened.pop();
    let text = |lines: Vec<String>| lines.join("\n") + "\n";
    for broken in [
        edited,
        text(removed),
        text(swapped),
        text(shortened),
        String::new(),
    ] {
        fs::write(&path, &broken).expect("ours");
        assert!(!faults(&agent).is_empty(), "{broken}");
    }
    fs::write(&path, &whole).expect("ours");
    assert_eq!(faults(&agent), [""; 0]);
    // A manifest is under the record, too.
    let manifest = host.path("state/revisions/2/manifest.json");
    let text = fs::read_to_string(&manifest).expect("there");
    fs::write(&manifest, text.replace("a test", "no test")).expect("ours");
    assert!(faults(&agent)[0].contains("manifest of revision 2"));
    fs::write(&manifest, &text).expect("ours");
    // A start tells of what was changed meanwhile, and goes on.
    drop(agent);
    fs::write(&path, whole.replacen("\"uid\":1000", "\"uid\":1001", 1)).expect("ours");
    let agent = host.start();
    let notes = agent.status().expect("it answers").notes;
    assert!(
        notes.iter().any(|note| note.contains("history was changed")),
        "{notes:?}"
    );
}

#[test]
fn a_revision_that_could_not_be_recorded_is_recorded_by_the_next_start() {
    let host = Host::new();
    let agent = host.start();
    let history = host.path("state/history");
    let before = fs::read(&history).expect("there");
    agent.add_rule(&operator(), &debug_rule()).expect("it is right");
    drop(agent);
    // As if the agent had ended between the two.
    fs::write(&history, before).expect("ours");
    fs::remove_file(host.path("state/history.head")).expect("there");
    let agent = host.start();
    let entries = agent.history(10).expect("readable").entries;
    assert_eq!((entries.len(), entries[1].entry.record.revision), (2, Some(2)));
    assert_eq!(entries[1].entry.record.by, operator());
    assert_eq!(faults(&agent), [""; 0]);
}

#[test]
fn a_rollback_brings_back_rules_and_files() {
    let host = Host::new();
    let agent = host.start();
    agent.add_rule(&operator(), &debug_rule()).expect("it is right");
    host.write(
        "extra.toml",
        "layer = \"host web-1\"\n\n[[rule]]\nname = \"extra\"\nallow = \"tcp/9091\"\nfrom = \"any\"\n",
    );
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("it is right");
    let difference = agent.difference(1, 3).expect("both are there");
    let told: Vec<_> = difference
        .rules
        .iter()
        .map(|rule| format!("{} {}", rule.kind, rule.name))
        .collect();
    assert_eq!(told.len(), 2);
    assert!(
        told.contains(&"added debug".to_owned()) && told.contains(&"added extra".to_owned()),
        "{told:?}"
    );
    let back = agent.rollback(&operator(), to(1)).expect("it is there");
    assert_eq!(back.revision, 4);
    assert!(agent.difference(1, 4).expect("both are there").is_empty());
    assert_eq!(host.read("web.toml"), WEB);
    assert!(!host.policy_file("extra.toml").exists());
    let status = agent.status().expect("it answers");
    assert!(!status.pending);
    let revision = status.revision.expect("there is one");
    assert_eq!(
        (revision.cause, revision.why.as_deref()),
        (Cause::Rollback, Some("back to revision 1"))
    );
    // And forth, until it is confirmed.
    let forth = Rollback {
        confirm: Confirm::Within(60),
        ..to(3)
    };
    agent.rollback(&operator(), forth).expect("it is there");
    assert!(rule_names(&agent).contains(&"extra".to_owned()) && !host.policy_file("extra.toml").exists());
    agent.confirm(&operator()).expect("in time");
    assert!(host.policy_file("extra.toml").exists() && host.read("web.toml") != WEB);
    assert!(!agent.status().expect("it answers").pending);
    assert_eq!(faults(&agent), [""; 0]);
}

#[test]
fn a_rollback_goes_through_the_same_gates() {
    let host = Host::new();
    let agent = host.start();
    for missing in [0, 2, 99] {
        assert_eq!(
            refused(agent.rollback(&operator(), to(missing))).kind,
            FailureKind::NotFound
        );
        assert_eq!(refused(agent.difference(1, missing)).kind, FailureKind::NotFound);
    }
    let office = "\n[[rule]]\nname = \"office\"\nallow = \"ssh\"\nfrom = \"10.77.8.0/24\"\n";
    host.write("base.toml", &format!("{BASE}{office}"));
    assert_eq!(
        refused(agent.rollback(&operator(), to(1))).kind,
        FailureKind::Conflict,
        "files differ"
    );
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("it is right");
    host.kernel.set_sockets(vec![SocketFlow {
        protocol: 6,
        local: "10.77.2.10:22".parse().expect("an address"),
        remote: "10.77.8.7:50000".parse().expect("an address"),
        opened_by_remote: true,
        fins: 0,
        interface: Some("eth0".into()),
    }]);
    let failure = refused(agent.rollback(&operator(), to(1)));
    assert_eq!(failure.kind, FailureKind::LockOut, "{failure:?}");
    assert!(host.read("base.toml").contains("office"));
}

#[test]
fn panic_holds_over_edits_and_restarts_until_it_is_ended() {
    let host = Host::new();
    let agent = host.start();
    assert_eq!(
        refused(agent.end_panic(&operator(), None)).kind,
        FailureKind::Conflict
    );
    agent
        .panic(&operator(), Some("somebody is in"))
        .expect("it works");
    assert_eq!(mode(&host), Mode::Panic);
    agent.add_rule(&operator(), &debug_rule()).expect("it is right");
    host.kernel.advance(Duration::from_hours(1));
    drop(agent);
    let agent = host.start();
    let status = agent.status().expect("it answers");
    assert_eq!((status.mode.as_str(), mode(&host)), ("panic", Mode::Panic));
    let window = Apply {
        files: Vec::new(),
        confirm: Confirm::Within(60),
        force: false,
        require_shadow: false,
        why: None,
    };
    host.append("web.toml", "# more\n");
    let failure = refused(agent.apply(&operator(), window));
    assert!(
        failure.message.contains("panic"),
        "its end would end the panic: {failure:?}"
    );
    refused(agent.pause(&operator(), 60, None));
    agent.end_panic(&operator(), None).expect("it is on");
    assert_eq!(mode(&host), Mode::Normal);
    let events: Vec<_> = agent
        .history(10)
        .expect("readable")
        .entries
        .into_iter()
        .map(|one| one.entry.record.event)
        .collect();
    assert_eq!(
        events,
        [Event::Revision, Event::Panic, Event::Revision, Event::PanicOff]
    );
}

#[test]
fn panic_takes_back_a_change_that_waits() {
    let host = Host::new();
    let agent = host.start();
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"more\"\nallow = \"tcp/9090\"\nfrom = \"any\"\n",
    );
    let window = Apply {
        files: Vec::new(),
        confirm: Confirm::Within(60),
        force: false,
        require_shadow: false,
        why: None,
    };
    agent.apply(&operator(), window).expect("it is right");
    let changed = agent.panic(&operator(), None).expect("it works");
    assert!(changed.notes[0].contains("was taken back"), "{changed:?}");
    host.kernel.advance(Duration::from_mins(2));
    assert_eq!(mode(&host), Mode::Panic, "no deadline ends it");
    assert!(!rule_names(&agent).contains(&"more".to_owned()));
}

#[test]
fn a_pause_ends_by_itself_also_over_edits_and_restarts() {
    let host = Host::new();
    let agent = host.start();
    assert_eq!(
        refused(agent.pause(&operator(), 0, None)).kind,
        FailureKind::BadRequest
    );
    agent.pause(&operator(), 300, None).expect("it works");
    host.kernel.advance(Duration::from_mins(1));
    agent.add_rule(&operator(), &debug_rule()).expect("it is right");
    drop(agent);
    let agent = host.start();
    let status = agent.status().expect("it answers");
    let left = status.mode_seconds_left.expect("it ends by itself");
    assert_eq!(status.mode, "pause");
    assert!((238..=241).contains(&left), "{left}");
    assert!(rule_names(&agent).contains(&"debug".to_owned()));
    host.kernel.advance(Duration::from_mins(5));
    assert_eq!(
        (agent.status().expect("it answers").mode.as_str(), mode(&host)),
        ("normal", Mode::Normal)
    );
    refused(agent.end_pause(&operator(), None));
    agent.pause(&operator(), 300, None).expect("it works");
    agent.end_pause(&operator(), None).expect("it is on");
    assert_eq!(mode(&host), Mode::Normal);
}

#[test]
fn panic_outlasts_the_machine_and_a_note_that_is_lost_or_damaged() {
    let mut host = Host::new();
    let agent = host.start();
    agent
        .panic(&operator(), Some("somebody is in"))
        .expect("it works");
    let noted = fs::read(host.path("state/panic.json")).expect("it is noted");
    let comes_up = |host: &mut Host, reboots: bool| {
        if reboots {
            reboot(host);
        }
        let agent = host.start();
        let status = agent.status().expect("it answers");
        assert_eq!(status.revision.map(|revision| revision.number), Some(1));
        (mode(host), status.panic.map(|panic| (panic.by, panic.why)))
    };
    drop(agent);
    let by_alex = Some((operator(), Some("somebody is in".to_owned())));
    assert_eq!(comes_up(&mut host, true), (Mode::Panic, by_alex.clone()));
    assert_eq!(comes_up(&mut host, false), (Mode::Panic, by_alex.clone()));
    // The agent was killed before it could note it: the kernel side knows.
    fs::remove_file(host.path("state/panic.json")).expect("ours");
    let (kept, who) = comes_up(&mut host, false);
    assert!(kept == Mode::Panic && who.is_some_and(|(_, why)| why.is_none()));
    assert_eq!(comes_up(&mut host, true).0, Mode::Panic, "it is noted now");
    fs::write(host.path("state/panic.json"), "{").expect("ours");
    assert_eq!(
        comes_up(&mut host, true).0,
        Mode::Panic,
        "who cannot be told shuts"
    );
    fs::write(host.path("state/panic.json"), noted).expect("ours");
    let agent = host.start();
    agent.end_panic(&operator(), None).expect("it is on");
    assert!(agent.status().expect("it answers").panic.is_none());
    drop(agent);
    assert_eq!(comes_up(&mut host, true), (Mode::Normal, None));
}

#[test]
fn panic_holds_also_where_it_cannot_be_noted() {
    let host = Host::new();
    let agent = host.start();
    let partial = host.path(&format!("state/.panic.json.{}.partial", std::process::id()));
    fs::create_dir(&partial).expect("made");
    let changed = agent.panic(&operator(), None).expect("it works");
    assert_eq!(mode(&host), Mode::Panic);
    assert!(
        changed.notes[0].contains("a restart of the machine would end panic"),
        "{changed:?}"
    );
}

#[test]
fn bans_are_entries_with_who_and_why() {
    let host = Host::new();
    let agent = host.start();
    let ban = |address: &str| NewBan {
        addresses: vec![address.to_owned()],
        seconds: Some(60),
        reason: Some("scans us".to_owned()),
    };
    agent
        .ban(&operator(), &ban("203.0.113.66"))
        .expect("it is nobody's");
    refused(agent.ban(&operator(), &ban("10.77.9.7")));
    agent
        .unban(&operator(), &["203.0.113.66".to_owned()])
        .expect("it is banned");
    let entries = agent.history(10).expect("readable").entries;
    let told: Vec<_> = entries
        .iter()
        .skip(1)
        .map(|one| {
            (
                one.entry.record.event,
                one.entry.record.why.as_deref(),
                one.entry.record.what[0].as_str(),
            )
        })
        .collect();
    let [
        (Event::Ban, Some("scans us"), banned),
        (Event::Unban, None, ended),
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert!(banned.starts_with("banned 203.0.113.66 until"), "{banned}");
    assert_eq!(*ended, "203.0.113.66 is banned no more");
    // One that ends by itself ends when its entry says, and is no entry of its own.
    agent
        .ban(&operator(), &ban("203.0.113.67"))
        .expect("it is nobody's");
    host.kernel.advance(Duration::from_mins(2));
    assert_eq!(agent.status().expect("it answers").bans, 0);
    assert_eq!(agent.history(10).expect("readable").total, 4);
    assert!(agent.verify_history(None).expect("readable").faults.is_empty());
}
