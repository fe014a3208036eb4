//! A run of named stages: each prints a heading, takes its time, and ends in a line of the closing table.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

/// The stages run so far.
#[derive(Default)]
pub(crate) struct Stages {
    done: Vec<Stage>,
}

struct Stage {
    name: String,
    outcome: Outcome,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
        }
    }
}

impl Stages {
    /// Runs one stage; a failure is printed and remembered, and what follows still runs. Returns whether it passed.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        println!("\n━━ {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let outcome = match &result {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                println!("error: {error:#}");
                Outcome::Failed
            }
        };
        println!("━━ {name}: {} in {:.1} s", outcome.word(), took.as_secs_f64());
        self.done.push(Stage {
            name: name.to_owned(),
            outcome,
            took,
        });
        result.is_ok()
    }

    /// Prints the closing table; an error if any stage did not pass.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.table());
        let missing: Vec<&str> = self
            .done
            .iter()
            .filter(|stage| stage.outcome != Outcome::Passed)
            .map(|stage| stage.name.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        bail!("not passed: {}", missing.join(", "))
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(UTF8_FULL_CONDENSED)
            .set_header(["stage", "result", "seconds"]);
        for stage in &self.done {
            table.add_row(row(&stage.name, stage.outcome.word(), stage.took));
        }
        let total = self.done.iter().map(|stage| stage.took).sum();
        table.add_row(row("all", "", total));
        table
    }
}

fn row(name: &str, word: &str, took: Duration) -> [Cell; 3] {
    let seconds = format!("{:.1}", took.as_secs_f64());
    [
        Cell::new(name),
        Cell::new(word),
        Cell::new(seconds).set_alignment(CellAlignment::Right),
    ]
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn all_passed_is_ok() {
        let mut stages = Stages::default();
        assert!(stages.run("one", || Ok(())));
        assert!(stages.finish().is_ok());
    }

    #[test]
    fn a_failed_stage_does_not_stop_the_next_but_fails_the_run() {
        let mut stages = Stages::default();
        assert!(!stages.run("one", || Err(anyhow!("broken"))));
        assert!(stages.run("two", || Ok(())));
        let error = stages.finish().unwrap_err().to_string();
        assert_eq!(error, "not passed: one");
    }
}
