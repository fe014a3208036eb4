//! The history of changes, rollback, panic and pause, as operators use them.

use std::{fs, thread::sleep, time::Duration};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;

use crate::site::{MANAGER, STRANGER, Site, WEB, exchange};

#[test]
fn history_names_who_and_why_and_finds_what_was_changed() {
    let mut site = Site::started();
    let ssh = "10.77.9.7 50000 10.77.2.10 22";
    for port in 1..=3 {
        let words = format!("rule add r{port} --allow tcp/{port} --from any -m because-{port}");
        let added = site.fwctl_over(ssh, &words);
        assert_eq!(added.code, Some(0), "{added:?}");
    }
    let history = site.said("history");
    for part in ["first-start", "rule-add", "because-2", "from 10.77.9.7:50000"] {
        assert!(history.contains(part), "{part}: {history}");
    }
    let verified = site.said("history verify");
    let head = site.json("status")["history"]["hash"]
        .as_str()
        .expect("a hash")
        .to_owned();
    assert!(verified.contains("ok:") && verified.contains(&head), "{verified}");
    assert!(
        site.page("/metrics")
            .contains(&format!("firewall_history_info{{head=\"{head}\"}} 1"))
    );
    assert!(site.log().contains(&head), "the journal has it, too");

    let path = site.path("state/history");
    let whole = fs::read_to_string(&path).expect("there");
    let lines: Vec<&str> = whole.lines().collect();
    let edited = whole.replace("because-2", "because-9");
    let removed = [lines[0], lines[1], lines[3]].join("\n") + "\n";
    let swapped = [lines[0], lines[2], lines[1], lines[3]].join("\n") + "\n";
    let shortened = lines[..3].join("\n") + "\n";
    for (what, text) in [
        ("edited", edited),
        ("removed", removed),
        ("swapped", swapped),
        ("shortened", shortened),
    ] {
        fs::write(&path, text).expect("ours");
        let verified = site.fwctl("history verify");
        assert_eq!(verified.code, Some(1), "{what}: {verified:?}");
        assert!(verified.stdout.contains("changed"), "{what}: {verified:?}");
        // Another agent has nothing but the files to go by.
        site.end(Signal::SIGKILL);
        site.start();
        let verified = site.fwctl(&format!("history verify --head {head}"));
        assert_eq!(verified.code, Some(1), "{what}, after a restart: {verified:?}");
        fs::write(&path, &whole).expect("ours");
        fs::write(site.path("state/history.head"), format!("4 {head}\n")).expect("ours");
        site.end(Signal::SIGKILL);
        site.start();
        site.said("history verify");
    }
    site.said("history cut --before 3 -m old");
    assert!(site.said("history verify").contains("3 entries"));
}

#[test]
fn a_rollback_is_confirmed_like_any_change() {
    let site = Site::started();
    let _listener = site.listen(8080);
    site.said("rule add more --allow tcp/8080 --from any");
    assert!(site.connect(STRANGER, 8080).is_some());
    assert!(site.said("diff 1 2").contains("+ rule more"));
    let said = site.said("rollback 1 --confirm 60s -m mistake");
    assert!(said.contains("not confirmed:"), "{said}");
    assert!(site.connect(STRANGER, 8080).is_none());
    assert_ne!(
        site.read("web.toml"),
        WEB,
        "files are written at the confirmation"
    );
    site.said("confirm");
    assert_eq!(site.read("web.toml"), WEB);
    assert_eq!(site.json("status")["revision"]["cause"], "rollback");
    assert_eq!(site.fwctl("rollback 99").code, Some(1));
    site.said("rollback 2 --no-confirm");
    assert!(site.connect(STRANGER, 8080).is_some());
}

#[test]
fn in_panic_only_the_failsafe_passes_also_after_restarts_of_agent_and_machine() {
    let mut site = Site::started();
    let (site_listener, ssh) = (site.listen(443), site.listen(22));
    let mut session = site.connect(MANAGER, 22).expect("managers get in");
    let (mut session_end, _) = ssh.accept().expect("it has come");
    let mut customer = site.connect(STRANGER, 443).expect("the site is open");
    let (mut customer_end, _) = site_listener.accept().expect("it has come");
    assert!(site.said("panic -m somebody-is-in").contains("panic"));
    assert!(
        !exchange(&mut customer, &mut customer_end),
        "live connections end"
    );
    assert!(exchange(&mut session, &mut session_end), "the failsafe's do not");
    for step in ["at once", "restarted", "rebooted"] {
        match step {
            "restarted" => {
                site.end(Signal::SIGKILL);
                site.start();
            }
            "rebooted" => {
                site.reboot();
                site.start();
            }
            _ => {}
        }
        assert!(site.connect(STRANGER, 443).is_none(), "{step}");
        assert!(site.connect(MANAGER, 22).is_some(), "{step}");
        let status = site.json("status");
        assert_eq!(
            (&status["mode"], &status["panic"]["why"]),
            (&"panic".into(), &"somebody-is-in".into()),
            "{step}"
        );
        assert!(site.page("/metrics").contains("firewall_mode{mode=\"panic\"} 1"));
    }
    site.said("panic off");
    assert!(site.connect(STRANGER, 443).is_some());
    assert_eq!(site.fwctl("panic off").code, Some(1), "it is not on");
    assert!(site.said("history").contains("panic-off"));
}

#[test]
fn a_pause_lets_everything_pass_and_ends_with_the_agent_dead() {
    let mut site = Site::started();
    let _listener = site.listen(8080);
    assert!(site.connect(STRANGER, 8080).is_none());
    site.said("pause 6s -m is-it-the-firewall");
    assert!(site.connect(STRANGER, 8080).is_some());
    assert!(site.said("status").contains("mode pause for"));
    assert!(site.page("/metrics").contains("firewall_mode{mode=\"pause\"} 1"));
    let loud = wait_until(Duration::from_secs(3), || {
        site.log().contains("paused: everything passes")
    });
    assert!(loud, "{}", site.log());
    site.end(Signal::SIGKILL);
    assert!(
        site.connect(STRANGER, 8080).is_some(),
        "the kernel keeps the time"
    );
    let over = wait_until(Duration::from_secs(10), || {
        sleep(Duration::from_millis(300));
        site.connect(STRANGER, 8080).is_none()
    });
    assert!(over, "nobody is there but the kernel");
    site.start();
    assert_eq!(site.json("status")["mode"], "normal");
    site.said("pause 5m");
    assert!(site.connect(STRANGER, 8080).is_some());
    site.said("pause off");
    assert!(site.connect(STRANGER, 8080).is_none());
}
