//! A policy drafted from real sockets.

use std::{fs, process::Stdio, thread::sleep, time::Duration};

use firewall_tests::wait::wait_until;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::site::{MANAGER, MANAGER_V6, SERVER, SERVER_V6, STRANGER, Site};

#[test]
fn what_passes_while_it_watches_becomes_rules_and_what_is_dropped_does_not() {
    let site = Site::started();
    let (_site, _idle) = (site.listen(443), site.listen(5432));
    let draft = site.path("learned.toml");
    let words = format!("learn --for 4s -o {}", draft.display());
    let ended = std::thread::scope(|scope| {
        let learn = scope.spawn(|| site.fwctl(&words));
        sleep(Duration::from_secs(1));
        for from in [STRANGER, MANAGER, "fd77:2::1"] {
            let _kept = site.connect(from, 443).expect("the site is open");
        }
        assert!(site.connect(STRANGER, 8080).is_none());
        let status = site.json("status");
        let watch = &status["watches"][0];
        let is_it = watch["kind"] == "learn" && watch["seconds_left"].as_u64().is_some_and(|left| left <= 4);
        assert!(is_it && watch["capture"].is_null(), "{watch}");
        assert!(ping(&site, MANAGER_V6, SERVER_V6), "managers may ping");
        assert!(!ping(&site, STRANGER, SERVER), "strangers may not");
        learn.join().expect("it ends")
    });
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("2 rules from 4 connections"), "{ended:?}");
    let text = fs::read_to_string(&draft).expect("a draft");
    for part in [
        "layer = \"role web\"",
        "interfaces = [\"eth0\"]",
        "# tcp/443: 3 connections with 3 addresses, first seen 2",
        &format!(
            "listens on it\n# now by: site\n[[rule]]\nname = \"in-tcp-443\"\nallow = \"tcp/443\"\nfrom = [\"{STRANGER}\", \"{MANAGER}\", \"fd77:2::1\"]\n"
        ),
        "name = \"in-ping\"\nallow = \"ping\"\n",
        "# tcp/5432 has no rule: ",
        "# in tcp/8080: ",
        "# in ping: 1 packet with 1 address, ",
        &format!("# allow = [\"ping\", \"tcp/8080\"]\n# from = \"{STRANGER}\"\n"),
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let mut rules = text.lines().filter(|line| !line.starts_with('#'));
    assert!(!rules.any(|line| line.contains("tcp/8080") || line.contains("tcp/5432")));
    assert!(!text.contains("\nallow = [\"ping\""), "strangers may not");
    // The rules pass the check of the files that they are for.
    site.said(&format!("check {}", draft.display()));
    let again = site.fwctl(&words);
    assert_eq!(again.code, Some(2), "nothing is written over: {again:?}");
    assert_eq!(fs::read_to_string(&draft).expect("a draft"), text);

    // Ctrl-C: what was seen so far is written.
    let mut command = site.server.command(env!("CARGO_BIN_EXE_suite-fwctl"));
    command
        .arg("--socket")
        .arg(&site.socket)
        .args(["learn", "--json"]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.expect("it runs");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
    let watches = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // Signals are held back from when it watches.
        status
            .lines()
            .any(|line| line.starts_with("SigBlk:") && line.trim_end().ends_with("4002"))
    };
    assert!(wait_until(Duration::from_secs(5), watches), "it does not watch");
    sleep(Duration::from_millis(200));
    kill(pid, Signal::SIGINT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        figures["policy"]
            .as_str()
            .is_some_and(|text| text.contains("in-tcp-443")),
        "{figures}"
    );
}

fn ping(site: &Site, from: &str, to: &str) -> bool {
    let mut command = site.peer.command("ping");
    command.args(["-c", "1", "-W", "2", "-I", from, to]);
    command
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
