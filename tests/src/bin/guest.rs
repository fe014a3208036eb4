//! The suite that runs inside the virtual machine, on the oldest kernel that is supported. It needs nothing but
//! `ip`, busybox and the agent's two programs, prints one line for each check, and fails if any of them fails.

use std::{fs, process::Command, process::ExitCode};

use anyhow::{Context, Result, ensure};

/// A check by name.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 3] = [
    ("the kernel is a 6.1", kernel_is_6_1),
    ("namespaces are joined by veth", namespaces_are_joined),
    ("the programs run", programs_run),
];

fn main() -> ExitCode {
    let mut failed = 0;
    for (name, check) in CHECKS {
        match check() {
            Ok(()) => println!("ok      {name}"),
            Err(error) => {
                println!("FAILED  {name}: {error:#}");
                failed += 1;
            }
        }
    }
    println!("{} of {} checks passed", CHECKS.len() - failed, CHECKS.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn kernel_is_6_1() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    ensure!(release.starts_with("6.1."), "it is {}", release.trim());
    Ok(())
}

fn namespaces_are_joined() -> Result<()> {
    ip("netns add one")?;
    ip("netns add two")?;
    ip("-n one link add eth0 type veth peer name eth0 netns two")?;
    for (namespace, address) in [("one", "192.0.2.1/24"), ("two", "192.0.2.2/24")] {
        ip(&format!("-n {namespace} address add {address} dev eth0"))?;
        ip(&format!("-n {namespace} link set eth0 up"))?;
    }
    ip("netns exec one busybox ping -c 1 -W 2 192.0.2.2")?;
    ip("netns delete one")?;
    ip("netns delete two")
}

fn programs_run() -> Result<()> {
    for program in ["firewall-agent", "fwctl"] {
        output(Command::new(program).arg("--version"))?;
    }
    Ok(())
}

fn ip(words: &str) -> Result<()> {
    output(Command::new("ip").args(words.split(' '))).map(drop)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}{}",
        output.status,
        text,
        complaint
    );
    Ok(text)
}
