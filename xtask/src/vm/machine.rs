//! qemu: boots a kernel with an initramfs, shows the guest's console, and ends with the suite or with patience.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// How long the guest may take in all; software emulation is some ten times slower than the machine itself.
pub(super) const PATIENCE: Duration = Duration::from_mins(4);

/// How a guest's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The suite passed.
    Passed,
    /// The suite ran and failed.
    Failed,
    /// The machine ended without a word about the suite, as after a kernel panic.
    Ended,
    /// Patience ran out.
    TimedOut,
}

/// Boots, and waits for the suite's last line. The machine is gone when this returns.
pub(super) fn boot(kernel: &Path, initramfs: &Path) -> Result<Outcome> {
    let mut machine = Machine(start(kernel, initramfs).context("starting qemu-system-x86_64")?);
    let console = machine.0.stdout.take().context("qemu's output is piped")?;
    Ok(watch(&lines_of(console)))
}

/// A virtual machine that ends when it is dropped: microvm does not leave qemu when the guest powers off.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In software emulation always: it works on every machine, nested or not, and the suite is written to its speed.
fn start(kernel: &Path, initramfs: &Path) -> std::io::Result<Child> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-M",
        "microvm,acpi=off",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "1024",
    ]);
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-no-reboot",
    ]);
    qemu.args([
        "-append",
        "console=ttyS0 panic=-1 reboot=t quiet mitigations=off rdinit=/init",
    ]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// The console's lines, read by a thread so that waiting for one can be given up.
fn lines_of(console: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// Shows each line and says how the run ended.
fn watch(lines: &Receiver<String>) -> Outcome {
    let end = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("guest: {line}");
                match line.as_str() {
                    "GUEST-SUITE-PASSED" => return Outcome::Passed,
                    "GUEST-SUITE-FAILED" => return Outcome::Failed,
                    _ => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => return Outcome::TimedOut,
            Err(RecvTimeoutError::Disconnected) => return Outcome::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(lines: &[&str]) -> Outcome {
        let (sender, receiver) = mpsc::channel();
        for line in lines {
            sender.send((*line).to_owned()).unwrap();
        }
        drop(sender);
        watch(&receiver)
    }

    #[test]
    fn the_suites_own_word_decides() {
        assert_eq!(outcome_of(&["noise", "GUEST-SUITE-PASSED"]), Outcome::Passed);
        assert_eq!(
            outcome_of(&["GUEST-SUITE-FAILED", "GUEST-SUITE-PASSED"]),
            Outcome::Failed
        );
    }

    #[test]
    fn a_guest_that_ends_without_a_word_has_not_passed() {
        assert_eq!(outcome_of(&["Kernel panic - not syncing"]), Outcome::Ended);
        assert_eq!(outcome_of(&["xGUEST-SUITE-PASSED"]), Outcome::Ended);
    }
}
