//! Bans: live, at their end with the agent dead, over a reboot, and never of the operator.

use std::{thread, time::Duration};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;

use crate::site::{MANAGER, SERVER, STRANGER, Site, exchange};

/// Beyond which a ban of some seconds has surely ended.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_ban_cuts_a_live_connection_and_ends_on_time_with_the_agent_dead() {
    let mut site = Site::started();
    let listener = site.listen(443);
    let mut client = site.connect(STRANGER, 443).expect("the site is open");
    let (mut server, _) = listener.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));

    let said = site.said(&format!("ban {STRANGER} --for 6s --reason scans"));
    assert!(said.contains(&format!("banned {STRANGER} until")), "{said}");
    let began = std::time::Instant::now();
    assert!(!exchange(&mut client, &mut server), "a live connection ends");
    assert!(site.connect(STRANGER, 443).is_none(), "no new one comes about");
    assert!(site.connect(MANAGER, 443).is_some(), "nobody else is banned");
    let list = site.said("ban list");
    assert!(list.contains(STRANGER) && list.contains("scans"), "{list}");
    assert!(site.said("counters --nonzero").contains("banned"));
    assert!(site.page("/metrics").contains("firewall_bans 1\n"));
    assert_eq!(site.json("status")["bans"], 1);

    site.end(Signal::SIGKILL);
    if began.elapsed() < Duration::from_secs(4) {
        assert!(
            site.connect(STRANGER, 443).is_none(),
            "it holds with the agent dead"
        );
    }
    thread::sleep(Duration::from_secs(7).saturating_sub(began.elapsed()));
    assert!(
        site.connect(STRANGER, 443).is_some(),
        "and ends with the agent dead"
    );
    site.start();
    assert_eq!(site.json("status")["bans"], 0);
    assert_eq!(site.said("ban list"), "nobody is banned\n");
}

#[test]
fn bans_are_kept_over_a_restart_and_a_reboot_until_they_are_taken_back() {
    let mut site = Site::started();
    let _listener = site.listen(443);
    site.said(&format!("ban {STRANGER} --for 1h"));
    site.said("ban 2001:db8:bad::/48");
    site.end(Signal::SIGTERM);
    site.start();
    assert!(site.connect(STRANGER, 443).is_none());
    site.reboot();
    site.start();
    assert!(site.connect(STRANGER, 443).is_none(), "after a reboot, too");
    let bans = site.json("ban list");
    let left = bans["bans"][0]["seconds_left"].as_u64().expect("it has an end");
    assert!((3400..=3600).contains(&left), "{bans}");
    assert!(bans["bans"][1].get("seconds_left").is_none(), "{bans}");

    site.said(&format!("unban {STRANGER}"));
    let opens = wait_until(PATIENCE, || site.connect(STRANGER, 443).is_some());
    assert!(opens, "the ban is taken back");
    let refused = site.fwctl(&format!("unban {STRANGER}"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

#[test]
fn nobody_bans_those_who_must_get_in() {
    let site = Site::started();
    for (whom, names) in [
        (MANAGER, "10.77.9.0/24"),
        (SERVER, SERVER),
        ("10.77.2.0/24", SERVER),
        ("0.0.0.0/0", "10.77.9.0/24"),
    ] {
        let refused = site.fwctl(&format!("ban {whom}"));
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(names), "{refused:?}");
    }
    // Over SSH, and with an environment that sudo has cleared in between.
    for command in ["\"$0\"", "env -u SSH_CONNECTION \"$0\""] {
        let script = format!("{command} --socket \"$1\" ban {STRANGER}; echo code $?");
        let mut shell = site.server.command("sh");
        shell
            .args(["-c", &script])
            .arg(env!("CARGO_BIN_EXE_suite-fwctl"))
            .arg(&site.socket)
            .env("SSH_CONNECTION", format!("{STRANGER} 50000 {SERVER} 22"));
        let output = shell.output().expect("a shell");
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            stdout.contains("code 1") && stderr.contains("logged in from"),
            "{stdout}{stderr}"
        );
    }
    assert_eq!(site.said("ban list"), "nobody is banned\n");
    for wrong in [
        "ban 10.77.2.1/24",
        "ban host",
        "ban 192.0.2.1 --for 0s",
        "ban",
        "ban list x",
    ] {
        assert_ne!(site.fwctl(wrong).code, Some(0), "{wrong}");
    }
}
