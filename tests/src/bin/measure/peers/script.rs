//! Running the peers' tools.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use firewall_tests::netns::{self, NetNs};

/// What a tool prints.
pub(super) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    netns::output(Command::new(program).args(arguments))
}

/// What a tool prints in a network namespace; `line` is split at blanks.
pub(super) fn run(namespace: &NetNs, line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty line")?;
    netns::output(namespace.command(program).args(words))
}

/// Runs a tool in a network namespace and gives it `input` to read.
pub(super) fn feed(namespace: &NetNs, line: &str, input: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty line")?;
    let mut child = namespace
        .command(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    let output = thread::scope(|scope| {
        // A tool that has found a fault reads no further; what it says is what counts.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output()
    })?;
    ensure!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
            .lines()
            .next()
            .unwrap_or_default()
    );
    Ok(())
}
