//! Who runs where.

use std::process::Command;

use anyhow::Result;
use firewall_tests::netns::output;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// Where frames are made.
pub(crate) const SENDING: usize = 0;
/// Where they are judged.
pub(crate) const RECEIVING: usize = 1;

/// Keeps a thread on a processor.
pub(crate) fn keep(thread: Pid, processor: usize) -> Result<()> {
    let mut processors = CpuSet::new();
    processors.set(processor)?;
    Ok(sched_setaffinity(thread, &processors)?)
}

/// Keeps a thread on a processor, in front of whoever else wants it: they would cool its caches.
pub(crate) fn seize(thread: Pid, processor: usize) -> Result<()> {
    keep(thread, processor)?;
    output(Command::new("chrt").args(["--fifo", "--pid", "1", &thread.to_string()]))?;
    Ok(())
}
