//! Whom a policy would lock out, and what it would change otherwise.

use std::time::Duration;

use firewall_agent::{
    control::protocol::{Apply, Confirm, Failure, FailureKind, NewFile, Plan, Shadow},
    daemon::{Agent, ListEdit},
    dataplane::{FlowTable, Listener, SocketFlow},
    state::{Actor, Cause, SshConnection},
};
use firewall_common::{
    address::Address,
    flow::{FlowKey, State},
};

use crate::host::{BASE, Host, operator, refused, rule_names};

/// An operator who has come by a rule of the policy, and not by the failsafe.
const OPERATOR: &str = "10.77.8.7 50000 10.77.2.10 22";

/// The policy of [`Host`] with a rule for that operator.
const OFFICE: &str = "\n[[rule]]\nname = \"office\"\nallow = \"ssh\"\nfrom = \"10.77.8.0/24\"\n";

const NO_SSH: &str = "\n[[rule]]\nname = \"no-ssh\"\ndrop = \"ssh\"\nfrom = [\"10.77.8.0/28\", \"10.77.9.0/28\"]\nbefore = \"ssh\"\n";

fn over_ssh() -> Actor {
    Actor {
        from: SshConnection::parse(OPERATOR),
        ..operator()
    }
}

fn socket(remote: &str) -> SocketFlow {
    SocketFlow {
        protocol: 6,
        local: "10.77.2.10:22".parse().expect("an address"),
        remote: remote.parse().expect("an address"),
        opened_by_remote: true,
        fins: 0,
        interface: Some("eth0".into()),
    }
}

fn with_office() -> (Host, Agent) {
    let host = Host::new();
    host.write("base.toml", &format!("{BASE}{OFFICE}"));
    let agent = host.start();
    (host, agent)
}

fn apply(confirm: Confirm, force: bool) -> Apply {
    Apply {
        files: Vec::new(),
        confirm,
        force,
        require_shadow: false,
        why: None,
    }
}

fn names_place(failure: &Failure, rule: &str, file: &str, line: u32) {
    assert_eq!(failure.kind, FailureKind::LockOut, "{failure:?}");
    let finding = &failure.findings[0];
    assert!(
        failure.message.contains(&format!("`{rule}`")),
        "{}",
        failure.message
    );
    assert!(
        failure.message.contains(&format!("{file}:{line}")),
        "{}",
        failure.message
    );
    assert!(
        finding.file.ends_with(file) && finding.line == line,
        "{finding:?}"
    );
}

#[test]
fn a_rule_that_keeps_the_operator_out_is_refused_and_named() {
    let (host, agent) = with_office();
    host.append("web.toml", NO_SSH);
    for failure in [
        refused(agent.apply(&over_ssh(), apply(Confirm::Within(60), false))),
        refused(agent.apply(&over_ssh(), apply(Confirm::No, false))),
        refused(agent.reload(&over_ssh(), Cause::Reload, None)),
    ] {
        names_place(&failure, "no-ssh", "web.toml", 8);
        assert!(
            failure
                .message
                .contains("your own connection, tcp 10.77.8.7:50000"),
            "{failure:?}"
        );
        assert!(
            failure
                .hint
                .is_some_and(|hint| hint.contains("--confirm 60s --force"))
        );
    }
    assert!(!rule_names(&agent).contains(&"no-ssh".to_owned()));
    // Somebody on the console cuts nobody, and may.
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("nobody is cut");
}

#[test]
fn a_rule_that_is_gone_is_named_with_its_place() {
    let (host, agent) = with_office();
    host.write("base.toml", BASE);
    let failure = refused(agent.apply(&over_ssh(), apply(Confirm::Within(60), false)));
    names_place(&failure, "office", "base.toml", 16);
    let failure = refused(agent.delete_rule(&over_ssh(), "office", None));
    assert_eq!(failure.kind, FailureKind::Conflict, "the files differ");
    host.write("base.toml", &format!("{BASE}{OFFICE}"));
    let failure = refused(agent.delete_rule(&over_ssh(), "office", None));
    names_place(&failure, "office", "base.toml", 16);
    assert!(
        host.read("base.toml").contains("office"),
        "the file is what it was"
    );
    agent
        .delete_rule(&operator(), "office", None)
        .expect("nobody is cut");
}

#[test]
fn force_goes_with_a_way_back_only() {
    let (host, agent) = with_office();
    host.write("base.toml", BASE);
    let failure = refused(agent.apply(&over_ssh(), apply(Confirm::No, true)));
    assert_eq!(failure.kind, FailureKind::BadRequest);
    agent
        .apply(&over_ssh(), apply(Confirm::Within(60), true))
        .expect("it is wanted");
    assert!(!rule_names(&agent).contains(&"office".to_owned()));
    agent.cancel(&over_ssh()).expect("it waits");
}

#[test]
fn other_managers_are_not_cut_either_and_who_does_not_get_in_now_is_none() {
    let (host, agent) = with_office();
    host.kernel.set_sockets(vec![socket("10.77.8.9:40000")]);
    host.write("base.toml", BASE);
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    names_place(&failure, "office", "base.toml", 16);
    assert!(
        failure
            .message
            .contains("a management connection, tcp 10.77.8.9:40000")
    );
    // A connection that the policy in force does not let in comes by another way.
    host.kernel.set_sockets(vec![socket("198.51.100.9:40000")]);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("nobody is cut");
}

#[test]
fn the_failsafe_keeps_its_own_in_whatever_the_policy_says() {
    let (host, agent) = with_office();
    host.kernel.set_sockets(vec![socket("10.77.9.9:40000")]);
    host.append("web.toml", NO_SSH);
    let failsafe = Actor {
        from: SshConnection::parse("10.77.9.7 50000 10.77.2.10 22"),
        ..operator()
    };
    agent
        .reload(&failsafe, Cause::Reload, None)
        .expect("the failsafe lets them in");
}

#[test]
fn an_interface_that_is_not_filtered_cuts_nobody() {
    let (host, agent) = with_office();
    host.kernel
        .add_link(firewall_agent::dataplane::fake::FakeKernel::link(3, "mgmt0"));
    let mut by_mgmt0 = socket("10.77.8.7:50000");
    by_mgmt0.interface = Some("mgmt0".into());
    host.kernel.set_sockets(vec![by_mgmt0]);
    host.append("web.toml", NO_SSH);
    agent
        .reload(&over_ssh(), Cause::Reload, None)
        .expect("it comes by mgmt0");
}

#[test]
fn an_entry_of_a_block_list_does_not_lock_out_either() {
    let host = Host::new();
    let list = "\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt\"\n";
    host.write("base.toml", &format!("{BASE}{OFFICE}{list}"));
    host.write("drop.txt", "192.0.2.1\n");
    let agent = host.start();
    let edit = |entry: &str| ListEdit {
        name: "drop".into(),
        entries: vec![entry.into()],
        why: None,
    };
    let failure = refused(agent.add_to_list(&over_ssh(), &edit("10.77.8.0/28")));
    assert!(
        failure.message.contains("block list `drop` has its address"),
        "{}",
        failure.message
    );
    assert_eq!(host.read("drop.txt"), "192.0.2.1\n");
    agent
        .add_to_list(&over_ssh(), &edit("10.77.8.128/28"))
        .expect("nobody is cut");
    host.write("drop.txt", "10.77.8.7\n");
    let failure = refused(agent.reload(&over_ssh(), Cause::Reload, None));
    assert_eq!(failure.kind, FailureKind::LockOut);
    host.write("drop.txt", "10.77.8.8\n");
    agent
        .reload(&over_ssh(), Cause::Reload, None)
        .expect("nobody is cut");
}

fn plan(agent: &Agent, by: &Actor) -> Plan {
    agent.plan(by, Vec::new()).expect("it is right")
}

#[test]
fn a_plan_of_what_is_in_force_is_empty() {
    let (_host, agent) = with_office();
    let plan = plan(&agent, &over_ssh());
    assert!(plan.difference.is_empty() && !plan.locks_out, "{plan:?}");
    assert_eq!(plan.managed.len(), 1, "the operator's own is always told");
    assert!(plan.managed[0].passes_now && plan.managed[0].would_pass);
}

#[test]
fn a_plan_names_rules_flows_and_listening_sockets() {
    let (host, agent) = with_office();
    for port in 1..=3 {
        visit(&host, port, State::Established);
    }
    let listening = |text: &str| Listener {
        protocol: 6,
        local: text.parse().expect("an address"),
    };
    host.kernel
        .set_listeners(vec![listening("0.0.0.0:443"), listening("0.0.0.0:8080")]);
    let site = host
        .read("web.toml")
        .replace("from = \"any\"", "from = \"203.0.113.0/24\"");
    let more = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n";
    let base = host.read("base.toml");
    host.write("base.toml", BASE);
    let files = vec![NewFile {
        path: "web.toml".into(),
        text: format!("{site}{more}"),
    }];
    let plan = agent.plan(&over_ssh(), files.clone()).expect("it is right");
    let kinds: Vec<String> = plan
        .difference
        .rules
        .iter()
        .map(|rule| format!("{} {}", rule.kind, rule.name))
        .collect();
    assert_eq!(kinds, ["changed site", "added more", "removed office"]);
    assert!(
        plan.difference.rules[0]
            .after
            .as_deref()
            .is_some_and(|line| line.contains("203.0.113.0/24"))
    );
    assert!(plan.locks_out && plan.managed[0].whose == "own" && !plan.managed[0].would_pass);
    assert_eq!(
        (plan.flows, plan.flows_cut, plan.cut.len()),
        (3, 3, 1),
        "{plan:?}"
    );
    let group = &plan.cut[0];
    assert_eq!(
        (group.flows, &*group.service, group.samples.len()),
        (3, "in tcp 443", 3)
    );
    assert!(
        group.now.starts_with("rule site") && group.then == "default in",
        "{group:?}"
    );
    let sockets: Vec<_> = plan.listeners.iter().map(|one| &*one.socket).collect();
    assert_eq!(sockets, ["tcp *:443", "tcp *:8080"]);
    assert!(plan.listeners[0].closes_to.is_some() && plan.listeners[0].opens_to.is_none());
    assert_eq!(plan.listeners[1].opens_to.as_deref(), Some("0.0.0.0/0"));
    // Live flows may stay, whatever the rules say.
    let mut keeping = files.clone();
    keeping.push(NewFile {
        path: "base.toml".into(),
        text: BASE.replace("\n# Who", "\n[options]\nkeep_live_flows = true\n\n# Who"),
    });
    let kept = agent.plan(&over_ssh(), keeping).expect("it is right");
    assert_eq!((kept.flows, kept.flows_cut), (3, 0), "{kept:?}");
    // Nothing was changed.
    assert!(!host.read("web.toml").contains("more") && rule_names(&agent).contains(&"office".to_owned()));
    host.write("base.toml", &base);
    let failure = refused(agent.plan(
        &operator(),
        vec![NewFile {
            path: "web.toml".into(),
            text: "layer = \"role web\"\nnonsense = 1\n".into(),
        }],
    ));
    assert_eq!(failure.kind, FailureKind::Policy);
}

/// A connection from a stranger to the site's port, which lies in the tables.
fn visit(host: &Host, port: u16, state: State) {
    let key = FlowKey {
        remote: Address::from_ip("198.51.100.9".parse().expect("an address")).1,
        local: Address::from_ip("10.77.2.10".parse().expect("an address")).1,
        remote_port: port,
        local_port: 443,
        protocol: 6,
        family: 4,
        reserved: 0,
    };
    let _ = host.kernel.insert_flow(FlowTable::Assured, key, state, 3);
}

/// A text for `web.toml` that keeps the site's visitors out.
fn without_visitors(host: &Host) -> Vec<NewFile> {
    let text = host
        .read("web.toml")
        .replace("from = \"any\"", "from = \"203.0.113.0/24\"");
    vec![NewFile {
        path: "web.toml".into(),
        text,
    }]
}

#[test]
fn a_plan_tells_of_flows_that_have_ended_lately() {
    let host = Host::new();
    let agent = host.start();
    visit(&host, 1, State::Reset);
    visit(&host, 2, State::Established);
    host.kernel.advance(Duration::from_mins(2));
    let plan = agent
        .plan(&operator(), without_visitors(&host))
        .expect("it is right");
    assert_eq!(
        (plan.flows, plan.flows_cut, plan.recent.asked),
        (1, 1, 1),
        "{plan:?}"
    );
    let [group] = plan.recent.kept_out.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!((group.flows, &*group.service), (1, "in tcp 443"));
    assert!(
        group.now.starts_with("rule site") && group.then == "default in",
        "{group:?}"
    );
    assert!(plan.recent.let_in.is_empty());
    host.kernel.advance(Duration::from_mins(20));
    let plan = agent
        .plan(&operator(), without_visitors(&host))
        .expect("it is right");
    assert_eq!(
        (plan.flows, plan.recent.asked),
        (1, 0),
        "that is too long ago: {plan:?}"
    );
}

#[test]
fn a_clean_shadow_run_of_exactly_the_candidate_can_be_required() {
    let host = Host::new();
    let agent = host.start();
    let candidate = |text: &str| {
        vec![NewFile {
            path: "web.toml".into(),
            text: format!("{}{text}", host.read("web.toml")),
        }]
    };
    let apply = |files: Vec<NewFile>| {
        let request = Apply {
            files,
            require_shadow: true,
            ..apply(Confirm::No, false)
        };
        agent.apply(&operator(), request)
    };
    let shadow = |files: Vec<NewFile>| {
        let request = Shadow {
            files,
            seconds: 1,
            every: 1,
            per_second: 1000,
        };
        agent.shadow(&operator(), &request).expect("it is right").clean
    };
    let why = |outcome| refused(outcome).message;
    visit(&host, 2, State::Established);
    assert!(why(apply(candidate("# one\n"))).contains("no shadow run"));
    assert!(shadow(candidate("# one\n")));
    assert!(
        why(apply(candidate("# two\n"))).contains("no shadow run"),
        "it was of another candidate"
    );
    apply(candidate("# one\n")).expect("it was clean");

    assert!(!shadow(without_visitors(&host)));
    assert!(why(apply(without_visitors(&host))).contains("was not clean"));
    let more = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/9090\"\nfrom = \"any\"\n";
    let waits = candidate(more);
    assert!(shadow(waits.clone()));
    agent.delete_rule(&operator(), "site", None).expect("it is there");
    assert!(why(apply(waits)).contains("beside another policy"));
}
