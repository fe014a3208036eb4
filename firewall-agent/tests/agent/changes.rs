//! Reload, and rules added and deleted: as a whole, or not at all.

use std::{fs, io::Write, net::SocketAddr, time::Duration};

use crate::host::{BASE, Host, INVENTORY, WEB, debug_rule, holds, operator, refused, rule_names};
use firewall_agent::{
    control::protocol::{FailureKind, FlowFilter, RulePlace},
    dataplane::{
        Dataplane, FlowTable, SocketFlow,
        fake::{FakeKernel, Operation},
    },
    state::Cause,
};
use firewall_common::{
    address::Address,
    cell::{Cell, Mode},
    flow::{FlowKey, Inserted, State},
};

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"management\"\n";

#[test]
fn a_reload_puts_changed_files_in_force_as_a_new_revision() {
    let host = Host::new();
    let agent = host.start();
    let before = agent.status().expect("the kernel answers");
    host.append("web.toml", MORE);
    let changed = agent
        .reload(&operator(), Cause::Reload, Some("a new port".into()))
        .expect("the files are right");
    assert_eq!((changed.revision, changed.changed), (2, true));
    assert_eq!(changed.changes, ["added rule more"]);
    assert!(changed.generation > before.generation);
    assert!(rule_names(&agent).contains(&"more".to_owned()));
    let revision = agent
        .status()
        .expect("the kernel answers")
        .revision
        .expect("there is one");
    assert_eq!(
        (revision.by, revision.why.as_deref()),
        (operator(), Some("a new port"))
    );
}

#[test]
fn a_reload_of_the_same_files_changes_nothing() {
    let host = Host::new();
    let agent = host.start();
    let before = agent.status().expect("the kernel answers");
    let changed = agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!((changed.revision, changed.changed), (1, false));
    assert_eq!(changed.generation, before.generation);
}

#[test]
fn wrong_files_change_nothing_and_are_told_of() {
    let host = Host::new();
    let agent = host.start();
    let before = agent.status().expect("the kernel answers");
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"wrong\"\nallow = \"htps\"\nfrom = \"any\"\n",
    );
    let failure = refused(agent.reload(&operator(), Cause::Signal, None));
    assert_eq!(failure.kind, FailureKind::Policy);
    assert_eq!(failure.findings[0].line, 10);
    let after = agent.status().expect("the kernel answers");
    assert_eq!(
        (after.generation, &after.policy_hash),
        (before.generation, &before.policy_hash)
    );
    assert!(after.pending);
    let last = after.last_reload.expect("it is remembered");
    assert_eq!((last.cause, last.failure), (Cause::Signal, Some(failure)));
}

/// The first half of a file can be a policy that checks.
#[test]
fn a_half_written_file_changes_nothing() {
    let host = Host::new();
    let agent = host.start();
    let whole = format!("{WEB}{MORE}");
    let mut writer = fs::File::create(host.policy_file("web.toml")).expect("ours");
    writer.write_all(WEB.as_bytes()).expect("written");
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert!(
        failure.findings[0].message.contains("half written"),
        "{failure:?}"
    );
    writer.write_all(MORE.trim_end().as_bytes()).expect("written");
    drop(writer);
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert!(
        failure.findings[0].message.contains("half written"),
        "{failure:?}"
    );
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.rules, 3);
    let last = status.last_reload.expect("it was tried").failure;
    assert!(last.is_some_and(|last| last.message.contains("half written")));
    host.write("web.toml", &whole);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the file is whole");
    assert_eq!(agent.status().expect("the kernel answers").rules, 4);
}

#[test]
fn a_kernel_that_refuses_changes_nothing() {
    for operation in [
        Operation::Load,
        Operation::ReadBack,
        Operation::Switch,
        Operation::Links,
    ] {
        let host = Host::new();
        let agent = host.start();
        let before = agent.status().expect("the kernel answers");
        host.append("web.toml", MORE);
        host.kernel.fail(operation);
        let failure = refused(agent.reload(&operator(), Cause::Reload, None));
        assert_eq!(failure.kind, FailureKind::Failed, "{operation:?}");
        let after = agent.status().expect("the kernel answers");
        assert_eq!(after.generation, before.generation, "{operation:?}");
        assert_eq!(after.rules, before.rules);
        host.kernel.mend(operation);
        let changed = agent
            .reload(&operator(), Cause::Reload, None)
            .expect("it works again");
        assert_eq!(changed.revision, 2, "{operation:?}: no number is lost");
    }
}

#[test]
fn a_disk_that_refuses_changes_nothing() {
    let host = Host::new();
    let agent = host.start();
    let before = agent.status().expect("the kernel answers");
    // A file where the directory of the next revision would be written.
    fs::write(host.path("state/revisions/.2.partial"), "in the way").expect("written");
    host.append("web.toml", MORE);
    refused(agent.reload(&operator(), Cause::Reload, None));
    assert_eq!(
        agent.status().expect("the kernel answers").generation,
        before.generation
    );
    // A directory where the pointer would be written: the kernel has switched by then, and switches back.
    fs::remove_file(host.path("state/revisions/.2.partial")).expect("removed");
    let current = host.path("state/current");
    fs::remove_file(&current).expect("removed");
    fs::create_dir(&current).expect("made");
    refused(agent.reload(&operator(), Cause::Reload, None));
    let after = agent.status().expect("the kernel answers");
    assert_eq!((after.generation, after.rules), (before.generation, before.rules));
    assert!(!host.path("state/revisions/2").exists());
}

#[test]
fn an_interface_that_is_newly_named_and_cannot_be_attached_stops_the_change() {
    let host = Host::new();
    host.kernel.add_link(FakeKernel::link(3, "wan0"));
    let agent = host.start();
    host.write("base.toml", &BASE.replace("\"eth*\"", "\"eth*\", \"wan*\""));
    host.kernel.fail(Operation::Attach);
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert!(failure.message.contains("wan0"), "{}", failure.message);
    host.kernel.mend(Operation::Attach);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("it can be attached");
    assert_eq!(agent.status().expect("the kernel answers").interfaces.len(), 2);
}

/// Between attaching and switching the former policy judges what comes on the new interface.
#[test]
fn connections_of_a_newly_named_interface_survive_the_policy_before() {
    let host = Host::new();
    host.kernel.add_link(FakeKernel::link(3, "wan0"));
    let agent = host.start();
    host.kernel.set_sockets(vec![SocketFlow {
        protocol: 6,
        local: "10.77.2.10:443".parse().expect("an address"),
        remote: "192.0.2.7:50000".parse().expect("an address"),
        opened_by_remote: true,
        fins: 0,
        interface: Some("wan0".into()),
    }]);
    host.write("base.toml", &BASE.replace("\"eth*\"", "\"eth*\", \"wan*\""));
    host.kernel.end_flows_at_switch();
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    let flows = agent.flows(&FlowFilter::default(), 10).expect("they are read");
    assert_eq!(flows.total, 1);
    assert_eq!(flows.flows[0].rule, "site");
}

/// The kernel side goes back to the fallback by itself, so its image has to know interfaces that came meanwhile.
#[test]
fn an_interface_that_appears_is_named_in_the_fallback_too() {
    let rule =
        "\n[[rule]]\nname = \"only-there\"\nallow = \"tcp/8443\"\nfrom = \"any\"\ninterface = \"eth1\"\n";
    let host = Host::new();
    host.append("web.toml", rule);
    let agent = host.start();
    let mut eyes = host.kernel.dataplane();
    eyes.adopt_or_create().expect("it opens");
    let first = eyes.cell().expect("it is read").slot;
    host.append(
        "web.toml",
        "\n# Another line.\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n",
    );
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    let second = eyes.cell().expect("it is read").slot;
    assert_ne!(first, second);
    host.kernel.set_cell(Cell {
        slot: second,
        fallback: first,
        mode: Mode::Normal,
        deadline_ticks: Some(1 << 20),
    });
    let before = [first, second].map(|slot| eyes.read_back(slot).expect("it is loaded"));
    host.kernel.add_link(FakeKernel::link(3, "eth1"));
    agent.follow_network();
    let after = [first, second].map(|slot| eyes.read_back(slot).expect("it is loaded"));
    assert_ne!(before[0], after[0], "the fallback knows the interface");
    assert_ne!(before[1], after[1], "the policy in force knows the interface");
}

#[test]
fn a_slip_in_the_interfaces_does_not_open_the_host() {
    let host = Host::new();
    let agent = host.start();
    host.write("base.toml", &BASE.replace("\"eth*\"", "\"eht*\", \"ens3\""));
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    for part in ["eth0", "\"eht*\", \"ens3\""] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert!(failure.hint.is_some());
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.interfaces.len(), 1);
    assert!(!host.path("state/revisions/2").exists());
    // With none of them there is nothing to lose: they may be yet to come.
    host.kernel.remove_link("eth0");
    agent.follow_network();
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("nothing is filtered before either");
}

#[test]
fn an_interface_that_is_not_named_any_more_is_detached() {
    let host = Host::new();
    host.kernel.add_link(FakeKernel::link(3, "eth1"));
    let agent = host.start();
    assert_eq!(agent.status().expect("the kernel answers").interfaces.len(), 2);
    host.write("base.toml", &BASE.replace("\"eth*\"", "\"eth1\""));
    let changed = agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(
        changed.changes[0],
        "changed the filtered interfaces from eth* to eth1"
    );
    let interfaces = agent.status().expect("the kernel answers").interfaces;
    assert_eq!(
        interfaces.iter().map(|one| &*one.name).collect::<Vec<_>>(),
        ["eth1"]
    );
}

#[test]
fn an_added_rule_is_live_and_in_the_file_of_the_role() {
    let host = Host::new();
    let agent = host.start();
    let changed = agent.add_rule(&operator(), &debug_rule()).expect("it fits");
    assert_eq!(changed.files, [host.policy_file("web.toml")]);
    assert_eq!(changed.changes, ["added rule debug"]);
    assert!(rule_names(&agent).contains(&"debug".to_owned()));
    assert!(
        host.read("web.toml").starts_with(WEB),
        "the rest of the file is kept"
    );
    let status = agent.status().expect("the kernel answers");
    assert!(!status.pending);
    let revision = status.revision.expect("there is one");
    assert_eq!(
        (revision.number, revision.cause, revision.why.as_deref()),
        (2, Cause::RuleAdd, Some("a test"))
    );

    let changed = agent
        .delete_rule(&operator(), "debug", None)
        .expect("it is there");
    assert_eq!(
        (changed.revision, changed.changes),
        (3, vec!["deleted rule debug".to_owned()])
    );
    assert!(
        holds(&host.policy_file("web.toml"), WEB),
        "byte for byte as before"
    );
    assert!(!rule_names(&agent).contains(&"debug".to_owned()));
}

#[test]
fn a_rule_goes_where_it_is_wanted() {
    let host = Host::new();
    let agent = host.start();
    let mut rule = debug_rule();
    rule.file = Some("base.toml".into());
    rule.place = RulePlace::Before("ssh".into());
    let changed = agent.add_rule(&operator(), &rule).expect("it fits");
    assert_eq!(changed.files, [host.policy_file("base.toml")]);
    assert_eq!(rule_names(&agent)[0], "debug");
    rule.rule.name = "debug-2".into();
    rule.file = Some("nonexistent.toml".into());
    let failure = refused(agent.add_rule(&operator(), &rule));
    assert_eq!(failure.kind, FailureKind::NotFound);
}

#[test]
fn a_rule_that_is_wrong_changes_nothing() {
    let host = Host::new();
    let agent = host.start();
    let mut rule = debug_rule();
    rule.rule.from = vec!["managment".into()];
    let failure = refused(agent.add_rule(&operator(), &rule));
    assert_eq!(failure.kind, FailureKind::Policy);
    assert!(
        failure
            .findings
            .iter()
            .any(|finding| finding.message.contains("managment"))
    );
    assert!(holds(&host.policy_file("web.toml"), WEB));
    assert_eq!(
        agent
            .status()
            .expect("the kernel answers")
            .revision
            .expect("there is one")
            .number,
        1
    );
}

#[test]
fn a_rule_that_the_kernel_refuses_is_taken_out_of_the_file_again() {
    let host = Host::new();
    let agent = host.start();
    host.kernel.fail(Operation::Load);
    refused(agent.add_rule(&operator(), &debug_rule()));
    assert!(holds(&host.policy_file("web.toml"), WEB));
    host.kernel.mend(Operation::Load);
    agent
        .add_rule(&operator(), &debug_rule())
        .expect("it works again");
}

#[test]
fn with_other_changes_pending_no_rule_is_edited() {
    let host = Host::new();
    let agent = host.start();
    host.append("base.toml", "# a remark\n");
    for failure in [
        refused(agent.add_rule(&operator(), &debug_rule())),
        refused(agent.delete_rule(&operator(), "site", None)),
    ] {
        assert_eq!(failure.kind, FailureKind::Conflict);
    }
    assert!(holds(&host.policy_file("web.toml"), WEB));
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    agent
        .add_rule(&operator(), &debug_rule())
        .expect("nothing is pending");
}

#[test]
fn a_rule_that_is_not_there_cannot_be_deleted() {
    let host = Host::new();
    let agent = host.start();
    let failure = refused(agent.delete_rule(&operator(), "sites", None));
    assert_eq!(failure.kind, FailureKind::NotFound);
    let failure = refused(agent.delete_rule(&operator(), "default", None));
    assert_eq!(failure.kind, FailureKind::NotFound);
}

#[test]
fn a_rule_is_shown_as_written_and_as_in_force() {
    let host = Host::new();
    let agent = host.start();
    let detail = agent.rule("site").expect("it is there");
    assert!(
        detail.text.contains("name = \"site\" # the site"),
        "{}",
        detail.text
    );
    assert_eq!(detail.rules[0].what, "tcp 80,443");
    assert_eq!(detail.rules[0].origin, "web.toml:3");
    assert_eq!(refused(agent.rule("sites")).kind, FailureKind::NotFound);
}

#[test]
fn counters_belong_to_names_and_survive_edits_and_restarts() {
    let host = Host::new();
    let agent = host.start();
    // Rules of the policy are numbered from 3 on, in the order of their names: site, ssh, web-to-db.
    host.kernel.set_counters(|counters| counters.rules[3].packets = 7);
    let packets = |agent: &firewall_agent::daemon::Agent, name: &str| {
        let counters = agent.counters().expect("the kernel answers");
        let mut rules = counters.rules.into_iter();
        rules
            .find(|rule| rule.rule == name)
            .map(|rule| rule.total.packets)
    };
    assert_eq!(packets(&agent, "site"), Some(7));
    host.write(
        "base.toml",
        &BASE.replace(
            "[[rule]]\nname = \"web-to-db\"",
            &format!("{}\n[[rule]]\nname = \"web-to-db\"", MORE.trim()),
        ),
    );
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(packets(&agent, "site"), Some(7));
    assert_eq!(packets(&agent, "more"), Some(0));
    agent.delete_rule(&operator(), "site", None).expect("it is there");
    assert_eq!(packets(&agent, "site"), None);
    drop(agent);
    let agent = host.start();
    host.write("web.toml", WEB);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(packets(&agent, "site"), Some(7), "also after it was away");
}

#[test]
fn the_first_enforcement_takes_over_connections_that_the_policy_allows() {
    let host = Host::new();
    let socket = |local: &str, remote: &str, opened_by_remote| SocketFlow {
        protocol: 6,
        local: local.parse::<SocketAddr>().expect("an address"),
        remote: remote.parse::<SocketAddr>().expect("an address"),
        opened_by_remote,
        fins: 0,
        interface: Some("eth0".into()),
    };
    host.kernel.set_sockets(vec![
        socket("10.77.2.10:22", "10.77.9.5:40000", true),
        socket("[fd77:2::10]:50000", "[fd77:3::10]:3306", false),
        socket("10.77.2.10:22", "203.0.113.66:40000", true),
        socket("10.77.2.10:50001", "203.0.113.66:80", false),
    ]);
    let agent = host.start();
    let flows = agent
        .flows(&FlowFilter::default(), 100)
        .expect("the kernel answers");
    let mut rules: Vec<&str> = flows.flows.iter().map(|flow| &*flow.rule).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["ssh", "web-to-db"]);
    assert!(flows.flows.iter().all(|flow| flow.state == "established"));
}

#[test]
fn flows_are_listed_and_ended_by_what_they_are() {
    let host = Host::new();
    let agent = host.start();
    for (last, port) in [(1, 443), (2, 443), (3, 80)] {
        let (family, remote) = Address::from_ip([198, 51, 100, last].into());
        let key = FlowKey {
            remote,
            local: Address::from_v4([10, 77, 2, 10]),
            remote_port: 40000,
            local_port: port,
            protocol: 6,
            family: family as u8,
            reserved: 0,
        };
        let inserted = host
            .kernel
            .insert_flow(FlowTable::Assured, key, State::Established, 3);
        assert_eq!(inserted, Inserted::Done);
    }
    let filter = |text: &str| serde_json::from_str::<FlowFilter>(text).expect("a filter");
    let count = |text: &str| agent.flows(&filter(text), 100).map(|flows| flows.total);
    assert_eq!(count("{}"), Ok(3));
    assert_eq!(count(r#"{"port":443}"#), Ok(2));
    assert_eq!(count(r#"{"port":443,"remote":"198.51.100.2/32"}"#), Ok(1));
    assert_eq!(count(r#"{"rule":"site"}"#), Ok(3));
    assert_eq!(count(r#"{"rule":"ssh"}"#), Ok(0));
    assert_eq!(count(r#"{"protocol":17}"#), Ok(0));
    assert_eq!(count(r#"{"state":"established"}"#), Ok(3));
    assert_eq!(
        refused(count(r#"{"state":"tired"}"#)).kind,
        FailureKind::BadRequest
    );
    assert_eq!(refused(count(r#"{"rule":"sites"}"#)).kind, FailureKind::NotFound);
    let flows = agent.flows(&filter("{}"), 2).expect("the kernel answers");
    assert_eq!((flows.flows.len(), flows.total), (2, 3));
    let deleted = agent
        .delete_flows(&operator(), &filter(r#"{"port":443}"#))
        .expect("the kernel answers");
    assert_eq!(deleted.flows, 2);
    assert_eq!(count("{}"), Ok(1));
}

#[test]
fn a_flow_whose_rule_has_ended_is_listed_as_such_until_it_ends_itself() {
    let host = Host::new();
    let agent = host.start();
    for (port, lasts) in [(40000, None), (40001, Some(Duration::from_secs(10)))] {
        let (family, remote) = Address::from_ip([198, 51, 100, 1].into());
        let key = FlowKey {
            remote,
            local: Address::from_v4([10, 77, 2, 10]),
            remote_port: port,
            local_port: 443,
            protocol: 6,
            family: family as u8,
            reserved: 0,
        };
        let (table, state) = (FlowTable::Assured, State::Established);
        let inserted = host.kernel.insert_flow_of(table, key, state, 3, lasts);
        assert_eq!(inserted, Inserted::Done);
    }
    let marked = || -> Vec<(Option<u16>, bool)> {
        let flows = agent
            .flows(&FlowFilter::default(), 9)
            .expect("the kernel answers");
        let mut marked: Vec<_> = flows
            .flows
            .into_iter()
            .map(|flow| (flow.remote.port, flow.rule_ended))
            .collect();
        marked.sort_unstable();
        marked
    };
    let used = || {
        let status = agent.status().expect("the kernel answers");
        let tables = status.tables.into_iter();
        tables.map(|table| table.used).next().expect("the flow table")
    };
    assert_eq!(marked(), [(Some(40000), false), (Some(40001), false)]);
    assert_eq!(used(), 2);
    host.kernel.advance(Duration::from_secs(11));
    assert_eq!(marked(), [(Some(40000), false), (Some(40001), true)]);
    assert_eq!(used(), 1, "its place is free");
    let filter = FlowFilter {
        remote_port: Some(40001),
        ..FlowFilter::default()
    };
    let deleted = agent.delete_flows(&operator(), &filter).expect("it is there");
    assert_eq!(deleted.flows, 1);
    assert_eq!(marked(), [(Some(40000), false)]);
    host.kernel.advance(Duration::from_hours(24 * 30));
    assert_eq!(marked(), [], "idle for too long");
}

#[test]
fn files_of_the_inventory_count_as_well() {
    let host = Host::new();
    let agent = host.start();
    host.write(
        "inventory.toml",
        &INVENTORY.replace("10.77.9.0/24", "10.77.8.0/24"),
    );
    let changed = agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(changed.changes, ["changed rule ssh"]);
}
