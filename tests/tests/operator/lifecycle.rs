//! Reloads, and the agent's end.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
    time::Duration,
};

use firewall_tests::{bpffs::Bpffs, wait::wait_until};
use nix::sys::signal::Signal;

use crate::site::{MANAGER, STRANGER, Site, WEB, exchange};

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n";

#[test]
fn s67_a_killed_agent_leaves_filtering_in_force_and_a_restart_adopts_it() {
    let mut site = Site::started();
    let listener = site.listen(443);
    let _other = site.listen(8080);
    let mut client = site.connect(STRANGER, 443).expect("the site is open");
    let (mut server, _) = listener.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));
    let (counted, before) = (site.packets("site"), site.json("status"));

    site.end(Signal::SIGKILL);
    assert!(exchange(&mut client, &mut server), "a live connection goes on");
    assert!(site.connect(STRANGER, 443).is_some(), "a new one comes about");
    assert!(site.connect(STRANGER, 8080).is_none(), "the rest is dropped");

    site.start();
    let after = site.json("status");
    assert_ne!(before["pid"], after["pid"]);
    for same in ["generation", "policy_hash", "revision"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(
        after["notes"].as_array().map(Vec::len),
        Some(0),
        "{}",
        after["notes"]
    );
    assert!(site.packets("site") > counted, "counters go on");
    assert!(exchange(&mut client, &mut server));
    let programs_before = site.server.ip("link show dev eth0").expect("it is there");
    site.end(Signal::SIGTERM);
    assert_eq!(
        site.server.ip("link show dev eth0").expect("it is there"),
        programs_before,
        "stopping changes nothing"
    );
}

#[test]
fn unloading_leaves_nothing_and_may_be_done_twice() {
    let mut site = Site::started();
    let _listener = site.listen(8080);
    let refused = site.unload();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("stop it first"), "{refused:?}");
    assert!(site.connect(STRANGER, 8080).is_none());

    site.end(Signal::SIGKILL);
    let unloaded = site.unload();
    assert_eq!(unloaded.code, Some(0), "{unloaded:?}");
    assert!(unloaded.stdout.contains("eth0"), "{unloaded:?}");
    assert!(!site.pins().exists());
    assert!(!site.is_attached("eth0"));
    assert_eq!(site.tc("filter show dev eth0 egress"), "");
    assert!(!site.tc("qdisc show dev eth0").contains("clsact"));
    assert!(!site.path("state/dataplane.json").exists());
    assert!(
        site.connect(STRANGER, 8080).is_some(),
        "nothing is filtered any more"
    );

    let again = site.unload();
    assert_eq!((again.code, &*again.stdout), (Some(0), "nothing was loaded\n"));

    // Without the state file, too, which says what cannot be asked of the kernel.
    site.start();
    site.end(Signal::SIGKILL);
    fs::remove_dir_all(site.path("state")).expect("ours");
    assert_eq!(site.unload().code, Some(0));
    assert!(!site.pins().exists() && !site.is_attached("eth0"));
    assert!(site.connect(STRANGER, 8080).is_some());
}

#[test]
fn s64_a_wrong_policy_changes_nothing_and_is_told_of_everywhere() {
    let site = Site::started();
    let _listener = site.listen(8080);
    let success = |page: &str| page.contains("\nfirewall_last_reload_success 1\n");
    assert!(success(&site.page("/metrics")));

    site.write("web.toml", &format!("{WEB}{MORE}from = \"nobody-at-all\"\n"));
    site.signal(Signal::SIGHUP);
    assert!(
        wait_until(Duration::from_secs(5), || !success(&site.page("/metrics"))),
        "the metric says so"
    );
    let status = site.said("status");
    assert!(
        status.contains("failed at") && status.contains("web.toml:"),
        "{status}"
    );
    assert!(status.contains("changed"), "the file is named: {status}");
    assert!(site.log().contains("what was in force stays in force"));
    assert_eq!(site.json("status")["revision"]["number"], 1);
    assert!(site.connect(STRANGER, 8080).is_none());
    let refused = site.fwctl("reload");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("FW0") && refused.stderr.contains("hint:"),
        "{refused:?}"
    );

    site.write("web.toml", &format!("{WEB}{MORE}"));
    site.signal(Signal::SIGHUP);
    assert!(wait_until(Duration::from_secs(30), || success(
        &site.page("/metrics")
    )));
    assert!(
        site.connect(STRANGER, 8080).is_some(),
        "the mended policy is in force"
    );
    assert_eq!(site.json("status")["revision"]["cause"], "signal");
    assert!(site.page("/healthz").ends_with("ok\n"));
}

#[test]
fn the_first_enforcement_cuts_nobody() {
    let mut site = Site::new();
    let (allowed, denied) = (site.listen(443), site.listen(8080));
    let mut kept = site.connect(MANAGER, 443).expect("nothing is filtered yet");
    let (mut kept_server, _) = allowed.accept().expect("it has come");
    let mut cut = site.connect(MANAGER, 8080).expect("nothing is filtered yet");
    let (mut cut_server, _) = denied.accept().expect("it has come");
    site.start();
    assert!(exchange(&mut kept, &mut kept_server), "the policy allows it");
    assert!(!exchange(&mut cut, &mut cut_server), "the policy does not");
}

#[test]
fn who_may_not_run_the_agent_is_told_so() {
    const NOBODY: u32 = 65534;
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let program = directory.path().join("firewall-agent");
    fs::copy(env!("CARGO_BIN_EXE_suite-agent"), &program).expect("copied");
    let settings = directory.path().join("agent.toml");
    // Everybody may make a directory on a BPF file system.
    let pins = Bpffs::mount().expect("a BPF file system");
    let places = format!(
        "state_dir = \"state\"\npin_dir = \"{}/agent\"\nrole = \"web\"\n",
        pins.path().display()
    );
    fs::write(&settings, places).expect("written");
    for (words, code) in [("run", 1), ("check-settings", 0)] {
        let output = Command::new(&program)
            .arg("--settings")
            .arg(&settings)
            .arg(words)
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .expect("it runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {complaint}");
        assert_eq!(
            complaint.contains("hint: it needs CAP_BPF"),
            code != 0,
            "{words}: {complaint}"
        );
        assert!(!pins.path().join("agent").exists(), "nothing is left behind");
    }
}
