//! The systemd unit starts the programs that there are, the way that they want to be started.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use firewall_agent::settings;

/// The file system for pins.
const MOUNT: &str = "run-firewall_bpf.mount";

/// A file beside the unit.
fn beside(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(name)
}

fn unit_path() -> PathBuf {
    beside("firewall-agent.service")
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
    // What goes wrong before the agent starts must not keep the host from being filtered.
    assert!(unit["ExecStartPre"].starts_with('-'), "{unit:?}");
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
        ("ExecReload", "+/usr/bin/fwctl", env!("CARGO_BIN_EXE_fwctl")),
    ] {
        let arguments = unit[key].strip_prefix(program).expect(key);
        let output = Command::new("sh")
            .args(["-c", &format!("{binary} {arguments} --help")])
            .output()
            .expect("there is a shell");
        assert!(output.status.success(), "{key}: {output:?}");
    }
}

/// systemd's own tool; set-up installs it. Without it there is nothing to ask.
fn systemd_analyze() -> Option<Command> {
    let there = Command::new("systemd-analyze").arg("--version").output();
    match there {
        Ok(version) => assert!(version.status.success(), "{version:?}"),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "systemd-analyze: {error}");
            println!("there is no systemd-analyze here; the tests above have read the unit");
            return None;
        }
    }
    Some(Command::new("systemd-analyze"))
}

/// With the programs in their places replaced by some that are there, systemd finds nothing wrong.
#[test]
fn systemd_understands_the_units() {
    let Some(mut analyze) = systemd_analyze() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let mut paths = Vec::new();
    for name in ["firewall-agent.service", MOUNT] {
        let text = fs::read_to_string(beside(name)).expect("it is there");
        let text = text
            .replace("/usr/sbin/firewall-agent", "/bin/true")
            .replace("/usr/bin/fwctl", "/bin/true");
        let path = directory.path().join(name);
        fs::write(&path, text).expect("ours");
        paths.push(path);
    }
    let output = analyze
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&paths)
        .output()
        .expect("it runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}

/// The bound on `systemd-analyze security`, in tenths: what is left is what a firewall has to be able to do.
const MOST_EXPOSURE: &str = "--threshold=20";

fn exposure(unit: &Path) -> Option<(bool, String)> {
    let output = systemd_analyze()?
        .args(["security", "--offline=true", "--no-pager", MOST_EXPOSURE])
        .arg(unit)
        .output()
        .expect("it runs");
    Some((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    ))
}

#[test]
fn the_unit_is_as_confined_as_it_can_be() {
    let Some((is_low, report)) = exposure(&beside("firewall-agent.service")) else {
        return;
    };
    assert!(is_low, "{report}");
    // One line less, and the bound is passed.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("firewall-agent.service");
    let text = fs::read_to_string(unit_path()).expect("it is there");
    fs::write(&path, text.replace("User=firewall-agent\n", "")).expect("ours");
    let (is_low, report) = exposure(&path).expect("it is there");
    assert!(!is_low, "{report}");
}

/// What the units, the settings' defaults and the files for users and directories say of the same things is the same.
#[test]
fn the_places_are_the_same_everywhere() {
    let unit = unit();
    let settings = settings::parse("", Path::new("/etc/firewall-agent/agent.toml")).expect("empty is right");
    let mount = fs::read_to_string(beside(MOUNT)).expect("it is there");
    let point = mount
        .lines()
        .find_map(|line| line.strip_prefix("Where="))
        .expect("it says where");
    assert_eq!(settings.pin_dir.parent(), Some(Path::new(point)));
    assert_eq!(
        format!("{}.mount", point.trim_start_matches('/').replace('/', "-")),
        MOUNT
    );
    assert!(unit["ReadWritePaths"].contains(point) && unit["ExecStartPre"].contains(point));
    assert_eq!(
        settings.state_dir,
        Path::new("/var/lib").join(&unit["StateDirectory"])
    );
    let runtime = Path::new("/run").join(&unit["RuntimeDirectory"]);
    assert_eq!(settings.control.socket.parent(), Some(&*runtime));
    let policy = &settings.policy[0];
    assert_eq!(
        policy.parent(),
        Some(&*Path::new("/etc").join(&unit["ConfigurationDirectory"]))
    );
    let user = &unit["User"];
    let users = fs::read_to_string(beside("firewall-agent.sysusers")).expect("it is there");
    assert!(
        users.lines().any(|line| line.starts_with(&format!("u {user} "))),
        "{users}"
    );
    let directories = fs::read_to_string(beside("firewall-agent.tmpfiles")).expect("it is there");
    let line = format!("d {} 0755 {user} {user} -", policy.display());
    assert!(directories.lines().any(|other| other == line), "{directories}");
}
