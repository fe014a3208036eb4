//! Bans: into the kernel, onto the disk, over restarts, and never of those who must get in.

use std::{fs, net::IpAddr, time::Duration};

use firewall_agent::{
    control::protocol::{BansChanged, Failure, FailureKind, NewBan},
    daemon::Agent,
    dataplane::fake::Operation,
    state::{Actor, Event, SshConnection},
};

use crate::{
    host::{Host, operator, refused},
    start::reboot,
};

fn new(address: &str, seconds: Option<u64>) -> NewBan {
    NewBan {
        addresses: vec![address.to_owned()],
        seconds,
        reason: Some("scans us".to_owned()),
    }
}

fn ban(agent: &Agent, address: &str, seconds: Option<u64>) -> Result<BansChanged, Failure> {
    agent.ban(&operator(), &new(address, seconds))
}

fn unban(agent: &Agent, address: &str) -> Result<BansChanged, Failure> {
    agent.unban(&operator(), &[address.to_owned()])
}

/// What the kernel holds, without the ticks: `+` has an end.
fn held(host: &Host) -> Vec<String> {
    let end = |expires: u32| if expires == 0 { "" } else { "+" };
    let bans = host.kernel.bans().into_iter();
    bans.map(|(prefix, expires)| format!("{prefix}{}", end(expires)))
        .collect()
}

fn listed(agent: &Agent) -> Vec<(String, Option<u64>)> {
    let list = agent.ban_list().expect("the kernel answers");
    let bans = list.bans.into_iter();
    bans.map(|ban| (ban.prefix, ban.seconds_left)).collect()
}

#[test]
fn bans_are_in_the_kernel_and_judge_flows_again() {
    let host = Host::new();
    let agent = host.start();
    let before = agent.status().expect("the kernel answers");
    let changed = ban(&agent, "203.0.113.66", None).expect("it can be banned");
    assert_eq!(changed.changes, ["banned 203.0.113.66 for good"]);
    ban(&agent, "2001:db8:bad::/48", Some(60)).expect("it can be banned");
    assert_eq!(held(&host), ["203.0.113.66/32", "2001:db8:bad::/48+"]);
    let after = agent.status().expect("the kernel answers");
    assert_eq!((before.bans, after.bans), (0, 2));
    assert!(after.generation > before.generation);
    assert!(!after.pending, "no file has changed");
    unban(&agent, "203.0.113.66").expect("it is banned");
    assert_eq!(held(&host), ["2001:db8:bad::/48+"]);
    let failure = refused(unban(&agent, "203.0.113.66"));
    assert_eq!(failure.kind, FailureKind::NotFound);
}

#[test]
fn a_later_ban_replaces_the_one_before_and_wider_ones_are_told_of() {
    let host = Host::new();
    let agent = host.start();
    ban(&agent, "203.0.113.66", Some(60)).expect("it can be banned");
    let again = ban(&agent, "203.0.113.66", Some(3600)).expect("it can be banned");
    assert!(again.changes[0].starts_with("banned anew 203.0.113.66 until"));
    assert_eq!(listed(&agent), [("203.0.113.66".to_owned(), Some(3600))]);
    ban(&agent, "203.0.113.0/24", None).expect("it can be banned");
    assert_eq!(
        held(&host),
        ["203.0.113.0/24", "203.0.113.66/32"],
        "the narrow one holds for as long as the wide one"
    );
    let left = unban(&agent, "203.0.113.66").expect("it is banned");
    assert!(left.remarks[0].contains("203.0.113.0/24"), "{:?}", left.remarks);
    let failure = refused(unban(&agent, "203.0.113.7"));
    assert!(
        failure.hint.is_some_and(|hint| hint.contains("203.0.113.0/24")),
        "what covers it is named"
    );
}

#[test]
fn bans_end_and_are_forgotten() {
    let host = Host::new();
    let agent = host.start();
    ban(&agent, "203.0.113.66", Some(60)).expect("it can be banned");
    host.kernel.advance(Duration::from_secs(59));
    assert_eq!(agent.status().expect("the kernel answers").bans, 1);
    host.kernel.advance(Duration::from_secs(2));
    assert_eq!(agent.status().expect("the kernel answers").bans, 0);
    assert_eq!(listed(&agent), []);
    ban(&agent, "203.0.113.67", None).expect("it can be banned");
    assert_eq!(held(&host), ["203.0.113.67/32"], "what has ended is taken out");
}

#[test]
fn nobody_bans_those_who_must_get_in() {
    let host = Host::new();
    let agent = host.start();
    let own: IpAddr = "10.77.2.10".parse().expect("an address");
    host.kernel.set_own_addresses([own]);
    for (address, names) in [
        ("10.77.9.7", "10.77.9.0/24"),
        ("10.77.0.0/16", "10.77.9.0/24"),
        ("10.77.2.10", "10.77.2.10"),
        ("10.77.2.0/24", "10.77.2.10"),
        ("::ffff:10.77.2.10", "10.77.2.10"),
    ] {
        let failure = refused(ban(&agent, address, None));
        assert_eq!(failure.kind, FailureKind::Conflict, "{address}");
        assert!(failure.message.contains(names), "{address}: {}", failure.message);
    }
    let from_here = Actor {
        from: SshConnection::parse("203.0.113.7 50000 10.77.2.10 22"),
        ..operator()
    };
    let failure = refused(agent.ban(&from_here, &new("203.0.113.0/24", None)));
    assert!(failure.message.contains("203.0.113.7"), "{}", failure.message);
    assert_eq!(held(&host), [""; 0], "nothing was banned");
    ban(&agent, "10.77.3.0/24", None).expect("it is none of them");
}

#[test]
fn bans_outlive_the_agent_and_a_reboot() {
    let mut host = Host::new();
    let agent = host.start();
    ban(&agent, "203.0.113.66", Some(3600)).expect("it can be banned");
    ban(&agent, "203.0.113.67", None).expect("it can be banned");
    drop(agent);
    let agent = host.start();
    assert_eq!(listed(&agent).len(), 2);
    drop(agent);
    reboot(&mut host);
    assert_eq!(held(&host), [""; 0]);
    let agent = host.start();
    assert_eq!(held(&host), ["203.0.113.66/32+", "203.0.113.67/32"]);
    let left = listed(&agent)[0].1.expect("it has an end");
    assert!((3500..=3601).contains(&left), "{left}");
}

#[test]
fn a_kernel_or_disk_that_refuses_leaves_the_bans_as_they_were() {
    let host = Host::new();
    let agent = host.start();
    ban(&agent, "203.0.113.66", None).expect("it can be banned");
    let stored = fs::read(host.path("state/bans.json")).expect("it is kept");
    host.kernel.fail(Operation::Ban);
    let failure = refused(ban(&agent, "203.0.113.67", None));
    assert_eq!(failure.kind, FailureKind::Failed);
    host.kernel.mend(Operation::Ban);
    assert_eq!(held(&host), ["203.0.113.66/32"]);
    assert_eq!(
        fs::read(host.path("state/bans.json")).expect("it is kept"),
        stored
    );
    // A directory where the file is put together.
    let partial = host.path(&format!("state/.bans.json.{}.partial", std::process::id()));
    fs::create_dir(&partial).expect("made");
    refused(ban(&agent, "203.0.113.67", None));
    assert_eq!(held(&host), ["203.0.113.66/32"]);
    assert_eq!(listed(&agent).len(), 1);
    fs::remove_dir(&partial).expect("ours");
    ban(&agent, "203.0.113.67", None).expect("it works again");
}

#[test]
fn damaged_bans_are_told_of() {
    let host = Host::new();
    drop(host.start());
    fs::write(host.path("state/bans.json"), "{").expect("ours");
    let agent = host.start();
    let notes = agent.status().expect("the kernel answers").notes.join("\n");
    assert!(notes.contains("bans.json is damaged"), "{notes}");
}

#[test]
fn a_stepped_wall_clock_neither_ends_nor_prolongs_a_ban() {
    let host = Host::new();
    let agent = host.start();
    ban(&agent, "203.0.113.66", Some(3600)).expect("it can be banned");
    drop(agent);
    let path = host.path("state/bans.json");
    let text = fs::read_to_string(&path).expect("it is kept");
    for year in ["1985", "2085"] {
        let mut stepped: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        stepped["bans"][0]["until"]["at"] = format!("{year}-05-05T05:05:05Z").into();
        stepped["bans"][0]["since"] = format!("{year}-05-05T04:05:05Z").into();
        fs::write(&path, stepped.to_string()).expect("ours");
        let agent = host.start();
        let left = listed(&agent)[0].1.expect("it has an end");
        assert!((3500..=3601).contains(&left), "{year}: {left}");
    }
}

/// Who has banned what, as the history has it.
fn recorded(agent: &Agent) -> Vec<String> {
    let history = agent.history(100).expect("it can be read");
    let entries = history.entries.into_iter().map(|entry| entry.entry.record);
    let of_bans = entries.filter(|record| matches!(record.event, Event::Ban | Event::Unban));
    of_bans.flat_map(|record| record.what).collect()
}

#[test]
fn what_cannot_be_recorded_at_once_is_recorded_once_later() {
    let host = Host::new();
    let agent = host.start();
    let history = host.path("state").join("history");
    let aside = host.path("history");
    let set_aside = || {
        fs::rename(&history, &aside).expect("ours");
        fs::create_dir(&history).expect("nothing can be appended to it");
    };
    let put_back = || {
        fs::remove_dir(&history).expect("ours");
        fs::rename(&aside, &history).expect("ours");
    };
    let expected = |count: usize| {
        let all = [
            "banned 203.0.113.1 for good",
            "banned 203.0.113.2 for good",
            "banned 203.0.113.3 for good",
        ];
        all[..count].to_vec()
    };
    set_aside();
    ban(&agent, "203.0.113.1", None).expect("it holds all the same");
    put_back();
    assert!(recorded(&agent).is_empty());
    ban(&agent, "203.0.113.2", None).expect("it can be banned");
    assert_eq!(
        recorded(&agent),
        expected(2),
        "by the next change, in their order"
    );

    set_aside();
    ban(&agent, "203.0.113.3", None).expect("it holds all the same");
    put_back();
    drop(agent);
    let agent = host.start();
    assert_eq!(recorded(&agent), expected(3), "by the next start");
    let notes = agent.status().expect("the kernel answers").notes.join("\n");
    assert!(
        notes.contains("(ban): the change holds, and was recorded by this start"),
        "{notes}"
    );
    assert!(
        agent
            .verify_history(None)
            .expect("it can be read")
            .faults
            .is_empty()
    );
    drop(agent);
    let agent = host.start();
    assert_eq!(recorded(&agent), expected(3), "and once");
    assert_eq!(agent.status().expect("the kernel answers").notes, [""; 0]);
}
