//! Changes that hold until they are confirmed, with the agent alive and dead.

use std::{thread::sleep, time::Duration};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;

use crate::site::{MANAGER, STRANGER, Site, WEB, exchange};

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n";

/// A server with something that listens where the next policy lets strangers in.
fn with_more() -> (Site, std::net::TcpListener) {
    let site = Site::started();
    let listener = site.listen(8080);
    site.write("web.toml", &format!("{WEB}{MORE}"));
    assert!(site.connect(STRANGER, 8080).is_none());
    (site, listener)
}

fn goes_back(site: &Site, within: Duration) -> bool {
    wait_until(within, || {
        // Nobody accepts the connections, and only so many may wait for that.
        sleep(Duration::from_millis(600));
        site.connect(STRANGER, 8080).is_none()
    })
}

#[test]
fn the_kernel_goes_back_by_itself_with_the_agent_killed() {
    let (mut site, _listener) = with_more();
    let said = site.said("apply --confirm 5s -m opening");
    assert!(
        said.contains("not confirmed:") && said.contains("revision 1 by itself"),
        "{said}"
    );
    assert!(site.connect(STRANGER, 8080).is_some());
    site.end(Signal::SIGKILL);
    assert!(site.connect(STRANGER, 8080).is_some(), "the window is open yet");
    assert!(
        goes_back(&site, Duration::from_secs(10)),
        "nobody is there but the kernel"
    );
    assert!(site.connect(STRANGER, 443).is_none(), "nothing listens there");
    site.start();
    let late = site.fwctl("confirm");
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(
        late.stderr.contains("too late") && late.stderr.contains("revision 1 is in force again"),
        "{late:?}"
    );
    let status = site.json("status");
    assert_eq!(status["revision"]["number"], 1);
    assert_eq!(status["confirm"], serde_json::Value::Null);
    assert!(site.connect(STRANGER, 8080).is_none());
}

#[test]
fn a_confirmed_change_lasts_with_the_agent_killed() {
    let (mut site, _listener) = with_more();
    site.said("apply --confirm 4s");
    let said = site.said("confirm");
    assert!(said.contains("revision 2 is in force"), "{said}");
    site.end(Signal::SIGKILL);
    sleep(Duration::from_secs(6));
    assert!(site.connect(STRANGER, 8080).is_some());
    site.reboot_from_dead();
    site.start();
    assert_eq!(site.json("status")["revision"]["number"], 2);
    assert!(
        site.connect(STRANGER, 8080).is_some(),
        "it lasts over a reboot, too"
    );
}

#[test]
fn a_restart_in_the_window_keeps_the_deadline_and_a_reboot_ends_it() {
    let (mut site, _listener) = with_more();
    site.said("apply --confirm 40s");
    site.end(Signal::SIGKILL);
    site.start();
    let status = site.json("status");
    let left = status["confirm"]["seconds_left"].as_u64().expect("it waits");
    assert!((1..40).contains(&left), "{left}");
    assert!(site.page("/metrics").contains("\nfirewall_confirm_pending 1\n"));
    assert!(site.said("status").contains("not confirmed:"));
    assert!(site.connect(STRANGER, 8080).is_some());
    let refused = site.fwctl("rule add other --allow tcp/81 --from any");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("fwctl cancel"), "{refused:?}");
    assert!(
        goes_back(&site, Duration::from_secs(left + 5)),
        "the deadline is the old one"
    );
    let reported = wait_until(Duration::from_secs(5), || {
        site.log().contains("nobody has confirmed the change in time")
    });
    assert!(reported, "{}", site.log());
    assert!(site.page("/metrics").contains("\nfirewall_confirm_pending 0\n"));

    site.said("apply --confirm 10m");
    assert!(site.connect(STRANGER, 8080).is_some());
    site.reboot();
    site.start();
    assert_eq!(site.json("status")["revision"]["number"], 1);
    assert!(site.connect(STRANGER, 8080).is_none() && !site.fwctl("confirm").stderr.is_empty());
}

#[test]
fn a_cancelled_change_is_gone_and_a_window_is_the_default_over_the_network() {
    let (site, _listener) = with_more();
    let ssh = site.listen(22);
    let _session = site.connect(MANAGER, 22).expect("managers get in");
    let (_other_end, _) = ssh.accept().expect("it has come");
    assert!(site.said("apply").contains("not confirmed:"));
    assert!(site.connect(STRANGER, 8080).is_some());
    site.said("cancel");
    assert!(site.connect(STRANGER, 8080).is_none());
    assert_eq!(site.fwctl("cancel").code, Some(1), "nothing waits");
    assert!(!site.said("apply --no-confirm").contains("not confirmed:"));
    assert!(site.connect(STRANGER, 8080).is_some());
}

#[test]
fn of_two_operators_at_once_one_is_told_of_the_other() {
    let (site, _listener) = with_more();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| site.fwctl("apply --confirm 5m")))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it ends"))
            .collect()
    });
    let done: Vec<_> = outcomes.iter().filter(|one| one.code == Some(0)).collect();
    let refused: Vec<_> = outcomes.iter().filter(|one| one.code == Some(1)).collect();
    assert!(done.len() == 1 && refused.len() == 1, "{outcomes:?}");
    assert!(
        refused[0].stderr.contains("waits for its confirmation"),
        "{outcomes:?}"
    );
    site.said("confirm");
    assert_eq!(site.json("status")["revision"]["number"], 2);
}

/// At moments that nobody has chosen; `cut_short` chooses them.
#[test]
fn an_agent_that_is_killed_while_it_applies_leaves_old_or_new() {
    let (mut site, _listener) = with_more();
    let mut seen = [false; 2];
    for delay in [0, 10, 40] {
        std::thread::scope(|scope| {
            let apply = scope.spawn(|| site.fwctl("apply --confirm 10m"));
            sleep(Duration::from_millis(delay));
            site.signal(Signal::SIGKILL);
            apply.join().expect("it ends")
        });
        site.end(Signal::SIGKILL);
        let passed = site.connect(STRANGER, 8080).is_some();
        site.start();
        let waits = !site.json("status")["confirm"].is_null();
        assert_eq!(site.connect(STRANGER, 8080).is_some(), waits, "after {delay} ms");
        assert!(
            passed || !waits,
            "after {delay} ms: what was not in force is not put in force by a start"
        );
        seen[usize::from(waits)] = true;
        assert_eq!(
            site.fwctl("cancel").code,
            Some(i32::from(!waits)),
            "after {delay} ms"
        );
        assert!(site.connect(STRANGER, 8080).is_none());
    }
    assert!(seen[0], "no delay was short enough");
}

#[test]
fn a_lock_out_is_refused_with_rule_file_and_line_and_forced_with_a_way_back_only() {
    let mut site = Site::new();
    let office = "\n[[rule]]\nname = \"office\"\nallow = \"ssh\"\nfrom = \"10.77.2.1\"\n";
    site.write("web.toml", &format!("{WEB}{office}"));
    site.start();
    let ssh = site.listen(22);
    let mut session = site.connect(STRANGER, 22).expect("the rule lets it in");
    let (mut other_end, peer) = ssh.accept().expect("it has come");
    let connection = format!("{STRANGER} {} 10.77.2.10 22", peer.port());

    site.write("web.toml", WEB);
    for words in ["apply --confirm 60s", "apply --no-confirm", "reload"] {
        let refused = site.fwctl_over(&connection, words);
        assert_eq!(refused.code, Some(1), "{words}: {refused:?}");
        for part in ["your own connection", "`office`", "web.toml:9", "hint:"] {
            assert!(refused.stderr.contains(part), "{words}, {part}: {refused:?}");
        }
    }
    assert!(exchange(&mut session, &mut other_end), "it was not cut");
    let planned = site.fwctl_over(&connection, "plan");
    assert_eq!(planned.code, Some(1), "{planned:?}");
    assert!(
        planned.stdout.contains("- rule office") && planned.stdout.contains("would be cut"),
        "{planned:?}"
    );
    assert_eq!(site.fwctl_over(&connection, "apply --force").code, Some(2));

    // Forced, it is cut, and comes back by itself.
    let forced = site.fwctl_over(&connection, "apply --confirm 4s --force");
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(!exchange(&mut session, &mut other_end), "it is cut");
    let back = wait_until(Duration::from_secs(10), || site.connect(STRANGER, 22).is_some());
    assert!(back, "the kernel has gone back");

    // The failsafe's own are not concerned.
    assert!(site.connect(MANAGER, 22).is_some(), "managers get in");
    // Connections that nobody has accepted end with what listens.
    drop((session, other_end, ssh));
    let managers = format!("{MANAGER} 50000 10.77.2.10 22");
    let other = wait_until(Duration::from_secs(20), || {
        site.fwctl_over(&managers, "apply --no-confirm").code == Some(0)
    });
    assert!(other, "{:?}", site.fwctl_over(&managers, "apply --no-confirm"));
}
