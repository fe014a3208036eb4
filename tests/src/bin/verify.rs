//! Loads every program of the eBPF object and prints what the verifier and the JIT made of it.
//!
//! Usage: `verify [OBJECT [PROGRAM]]`; without an argument the object that is built into the agent. `verify --limits`
//! prints the limits that `tests/limits.txt` sets the programs, from what they take now.

use anyhow::{Context, Result};
use aya::{EbpfLoader, programs::Program};
use firewall_tests::verifier::{costs, limits_text};

/// What stands above the limits.
const LIMITS_HEAD: &str = "\
# Most instructions that the verifier of kernel 6.18 may walk through for each program, and most bytes of stack that the
# program and its functions may take together. `cargo run --bin verify -- --limits` prints this file anew, with some
# room above what the programs take.
";

/// Last lines of the log of a refused program that are shown.
const VERIFIER_LOG_LINES: usize = 60;

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--limits") {
        print!("{LIMITS_HEAD}{}", limits_text(&costs(firewall_agent::OBJECT)?));
        return Ok(());
    }
    let object = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
        None => firewall_agent::OBJECT.to_vec(),
    };
    let pins = tempfile::Builder::new()
        .prefix("fw-verify-")
        .tempdir_in("/sys/fs/bpf")
        .context("a BPF file system on /sys/fs/bpf is needed")?;
    let mut loaded = EbpfLoader::new()
        .default_map_pin_directory(pins.path())
        .load(&object)?;
    println!(
        "{:<14} {:>10} {:>10} {:>9}",
        "program", "verified", "xlated", "jited"
    );
    let mut failed = false;
    let only = std::env::args().nth(2);
    for (name, program) in loaded.programs_mut() {
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let result = match program {
            Program::Xdp(xdp) => xdp.load(),
            Program::SchedClassifier(classifier) => classifier.load(),
            other => anyhow::bail!("{name}: unexpected kind {:?}", other.prog_type()),
        };
        match result {
            Ok(()) => {
                let info = program.info()?;
                println!(
                    "{name:<14} {:>10} {:>10} {:>9}",
                    info.verified_instruction_count().unwrap_or_default(),
                    info.size_translated().unwrap_or_default() / 8,
                    info.size_jitted()
                );
            }
            Err(error) => {
                failed = true;
                println!("{name:<14} refused");
                let text = format!("{:?}", anyhow::Error::from(error));
                let lines: Vec<_> = text.lines().collect();
                for line in &lines[lines.len().saturating_sub(VERIFIER_LOG_LINES)..] {
                    eprintln!("{line}");
                }
            }
        }
    }
    anyhow::ensure!(!failed, "the verifier refused a program");
    Ok(())
}
