//! The Debian package on a throwaway machine with a systemd of its own: installed, booted, upgraded, removed, purged.

mod machine;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use machine::{MANAGER, Machine, STRANGER};
use serde_json::Value;

/// Without what other packages do about new files, such as an index of manual pages.
const INSTALL: &str = "dpkg --no-triggers --install";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The package; made first where `cargo xtask dist` has not made it yet.
fn package() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let name = format!("firewall-agent_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    let package = target.join("package").join(name);
    if !package.exists() {
        let made = Command::new("cargo")
            .args(["xtask", "dist"])
            .current_dir(workspace())
            .status();
        assert!(made.expect("there is cargo").success());
    }
    package
}

fn status(machine: &Machine) -> Value {
    serde_json::from_str(&machine.said("fwctl status --json")).expect("JSON")
}

/// Entries of the journal that a match finds.
fn journal(machine: &Machine, matching: &str) -> Vec<Value> {
    let lines = machine.said(&format!(
        "journalctl --sync; journalctl --boot -o json {matching}"
    ));
    let entries = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    entries.collect()
}

/// The story of a host: each step needs the ones before it.
#[test]
fn a_host_is_installed_booted_upgraded_and_left_as_it_was() {
    let mut machine = Machine::new();
    machine.put(&package(), "/new.deb");
    machine.boot();
    let (_ssh, _site, _more) = (machine.listen(22), machine.listen(443), machine.listen(8080));

    let before = traces(&machine);
    installing_enforces_nothing(&machine);
    the_first_policy_is_the_operators(&machine);
    what_happens_is_found_in_the_journal(&machine);
    a_boot_filters_before_the_network(&mut machine);
    an_upgrade_is_not_noticed(&machine);
    a_removal_ends_filtering_and_keeps_what_was_written(&machine);
    a_purge_leaves_nothing(&machine, &before);
}

fn installing_enforces_nothing(machine: &Machine) {
    let said = machine.said(&format!("{INSTALL} /new.deb"));
    assert!(said.contains("nothing is filtered yet"), "{said}");
    let status = status(machine);
    assert_eq!(status["enforcing"], "nothing", "{status}");
    assert!(machine.reaches(STRANGER, 8080) && !machine.is_attached());
    let user = machine.said("ps -o user:32= -p $(systemctl show --property=MainPID --value firewall-agent)");
    assert_eq!(user.trim(), "firewall-agent");
    machine.said("dpkg --verify firewall-agent");
    for file in [
        "/usr/share/man/man1/fwctl-rule-add.1.gz",
        "/usr/share/man/man5/firewall-policy.5.gz",
        "/usr/share/man/man8/firewall-agent.8.gz",
        "/usr/share/doc/firewall-agent/sbom.cdx.json.gz",
    ] {
        machine.said(&format!("test -s {file}"));
    }
}

fn the_first_policy_is_the_operators(machine: &Machine) {
    machine.said("cp /usr/share/doc/firewall-agent/examples/rules/*.toml /etc/firewall-agent/policy/");
    let refused = machine.run("fwctl apply --confirm 60s");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.said.contains("management_sources"), "{refused:?}");

    machine.said(
        "cd /etc/firewall-agent && sed -i 's,^management_sources = .*,management_sources = [\"10.77.9.0/24\"],' agent.toml && \
         sed -i '1i host = \"web-1\"' agent.toml && systemctl restart firewall-agent",
    );
    assert_eq!(status(machine)["enforcing"], "nothing");
    let says_nothing = || {
        status(machine)["notes"]
            .to_string()
            .contains("nothing is filtered")
    };
    assert!(says_nothing());
    machine.said("fwctl apply --confirm 60s");
    assert!(!machine.reaches(STRANGER, 8080) && machine.reaches(MANAGER, 22));
    assert!(!says_nothing());
    // Who is not content goes back to what was there before.
    machine.said("fwctl cancel");
    assert!(machine.reaches(STRANGER, 8080) && !machine.is_attached());
    assert!(says_nothing());
    machine.said("fwctl apply --confirm 60s && fwctl confirm");
    assert!(!machine.reaches(STRANGER, 8080) && machine.reaches(MANAGER, 22));
}

fn what_happens_is_found_in_the_journal(machine: &Machine) {
    machine.said("fwctl rule add debug --allow tcp/9999 --from management -m 'a test'");
    machine.said("systemctl reload firewall-agent");
    let changes = journal(machine, "FW_RULE=debug FW_USER=root");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["FW_CHANGE"], "added");
    assert_eq!(changes[0]["_SYSTEMD_UNIT"], "firewall-agent.service");

    assert!(!machine.reaches(STRANGER, 443));
    let packets = journal(machine, &format!("FW_RULE=around-the-lb FW_SOURCE={STRANGER}"));
    assert!(!packets.is_empty());
    assert_eq!(packets[0]["FW_VERDICT"], "drop");
    assert_eq!(packets[0]["FW_DESTINATION_PORT"], "443");
    let generation = status(machine)["generation"].to_string();
    assert_eq!(packets[0]["FW_GENERATION"], generation.as_str());
    assert!(journal(machine, "FW_RULE=debug FW_VERDICT=drop").is_empty());
}

fn a_boot_filters_before_the_network(machine: &mut Machine) {
    let revision = status(machine)["revision"].clone();
    machine.power_off();
    assert!(machine.reaches(STRANGER, 8080), "with the power off");
    machine.boot();
    assert!(!machine.reaches(STRANGER, 8080) && machine.reaches(MANAGER, 22));
    let since = |unit: &str| -> u64 {
        let property = "systemctl show --value --property=ActiveEnterTimestampMonotonic";
        machine
            .said(&format!("{property} {unit}"))
            .trim()
            .parse()
            .expect("microseconds")
    };
    let (agent, network) = (since("firewall-agent.service"), since("network-pre.target"));
    assert!(0 < agent && agent <= network, "{agent} {network}");
    assert_eq!(status(machine)["revision"], revision);
}

fn an_upgrade_is_not_noticed(machine: &Machine) {
    machine.said(
        "dpkg-deb --raw-extract /new.deb /newer && sed -i 's/^Version: .*/Version: 99/' /newer/DEBIAN/control && \
         dpkg-deb --build -Znone /newer /newer.deb && rm -r /newer",
    );
    let (before, program) = (status(machine), machine.program());
    let upgraded = AtomicBool::new(false);
    let (tried, let_in) = thread::scope(|scope| {
        let probes = scope.spawn(|| {
            let (mut tried, mut let_in) = (0, 0);
            while !upgraded.load(Ordering::Relaxed) {
                tried += 1;
                let_in += usize::from(machine.reaches(STRANGER, 8080));
            }
            (tried, let_in)
        });
        machine.said(&format!("{INSTALL} --force-confold /newer.deb"));
        upgraded.store(true, Ordering::Relaxed);
        probes.join().expect("it looks on")
    });
    assert!(tried > 0 && let_in == 0, "{let_in} of {tried} were let in");
    let after = status(machine);
    assert_ne!(after["pid"], before["pid"], "another agent");
    for same in ["generation", "policy_hash", "revision"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(machine.program(), program, "the very program that was there");
    assert!(machine.reaches(MANAGER, 22));
}

fn a_removal_ends_filtering_and_keeps_what_was_written(machine: &Machine) {
    let said = machine.said("dpkg --no-triggers --remove firewall-agent");
    assert!(said.contains("unloaded"), "{said}");
    assert!(machine.reaches(STRANGER, 8080) && !machine.is_attached());
    machine.said("! mountpoint /run/firewall_bpf");
    machine.said("grep -q tcp/9999 /etc/firewall-agent/policy/web.toml");
    machine.said("test -s /etc/firewall-agent/agent.toml && test -s /var/lib/firewall-agent/current");
    machine.said("! test -e /usr/sbin/firewall-agent && getent passwd firewall-agent");
}

fn a_purge_leaves_nothing(machine: &Machine, before: &str) {
    machine.said("dpkg --no-triggers --purge firewall-agent");
    machine.said("! getent passwd firewall-agent && ! getent group firewall-agent");
    assert_eq!(traces(machine), before);
}

/// Files of the package's names, but for what dpkg remembers.
fn traces(machine: &Machine) -> String {
    machine.said(
        "find /etc /usr /var/lib /run /tmp \\( -name '*firewall*' -o -name '*fwctl*' \\) -not -path '/var/lib/dpkg/*' | sort",
    )
}

/// The scripts are for any POSIX shell, and know what to do with nothing there.
#[test]
fn the_packages_scripts_are_understood() {
    for script in ["postinst", "prerm", "postrm"] {
        let path = workspace().join("firewall-agent/package").join(script);
        let checked = Command::new("sh").arg("-n").arg(&path).status();
        assert!(checked.expect("there is a shell").success(), "{script}");
        let text = fs::read_to_string(&path).expect("it is there");
        assert!(
            text.starts_with("#!/bin/sh\n") && text.contains("set -e"),
            "{script}"
        );
    }
}

/// Completions are what the shells that are here can read.
#[test]
fn shells_understand_their_completions() {
    let directory = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish"] {
        let script = Command::new(env!("CARGO_BIN_EXE_suite-fwctl"))
            .args(["completions", shell])
            .output()
            .expect("it runs");
        assert!(script.status.success() && !script.stdout.is_empty(), "{shell}");
        let path = directory.path().join(shell);
        fs::write(&path, &script.stdout).expect("ours");
        match Command::new(shell).arg("-n").arg(&path).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {read:?}"),
            Err(_) => println!("there is no {shell} here"),
        }
    }
    let broken = directory.path().join("broken");
    fs::write(&broken, "if true; then\n").expect("ours");
    let read = Command::new("bash").arg("-n").arg(&broken).output();
    assert!(!read.expect("bash is there").status.success());
}
