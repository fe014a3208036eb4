//! The systemd unit starts the programs that there are, the way that they want to be started.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

fn unit_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd/firewall-agent.service")
}

/// The unit's settings; a key that comes more than once keeps its last value.
fn unit() -> BTreeMap<String, String> {
    let text = fs::read_to_string(unit_path()).expect("it is there");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_agent_tells_systemd_itself_and_is_watched() {
    let unit = unit();
    for (key, value) in [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("Restart", "always"),
        ("RuntimeDirectoryPreserve", "yes"),
        ("Before", "network-pre.target shutdown.target"),
    ] {
        assert_eq!(unit.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(unit.contains_key("WatchdogSec"));
    // What goes wrong before the agent starts would keep the host from being filtered.
    assert!(!unit.contains_key("ExecStartPre"));
}

#[test]
fn what_the_unit_runs_is_understood() {
    let unit = unit();
    for (key, program, binary) in [
        (
            "ExecStart",
            "/usr/sbin/firewall-agent",
            env!("CARGO_BIN_EXE_firewall-agent"),
        ),
        ("ExecReload", "/usr/bin/fwctl", env!("CARGO_BIN_EXE_fwctl")),
    ] {
        let arguments = unit[key].strip_prefix(program).expect(key);
        let output = Command::new("sh")
            .args(["-c", &format!("{binary} {arguments} --help")])
            .output()
            .expect("there is a shell");
        assert!(output.status.success(), "{key}: {output:?}");
    }
}

/// With the programs in their places replaced by some that are there, systemd finds nothing wrong.
#[test]
fn systemd_understands_the_unit() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("there is no systemd-analyze here; the tests above have read the unit");
        return;
    };
    assert!(version.status.success());
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("firewall-agent.service");
    let text = fs::read_to_string(unit_path()).expect("it is there");
    let text = text.replace("/usr/sbin/firewall-agent", "/bin/true");
    fs::write(&path, text.replace("/usr/bin/fwctl", "/bin/true")).expect("ours");
    let output = Command::new("systemd-analyze")
        .args(["verify", "--recursive-errors=no"])
        .arg(&path)
        .output()
        .expect("it runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}
