//! Which candidates have been shadowed, for who applies one only after a clean run.

use std::time::{Duration, Instant};

use crate::{
    compile::ImageHash,
    control::protocol::{Failure, FailureKind},
    daemon::{agent::Agent, in_force::InForce, prepare::Prepared},
    state::PolicyFile,
};

/// Runs that are remembered.
const MOST: usize = 16;

/// What traffic was like before that says little.
const LONGEST_AGO: Duration = Duration::from_hours(1);

/// One run. It is about exactly these files beside exactly that policy, and forgotten when the agent ends.
#[derive(Debug, Clone)]
pub(crate) struct ShadowRun {
    candidate: Vec<PolicyFile>,
    hash: ImageHash,
    beside: Option<ImageHash>,
    clean: bool,
    at: Instant,
}

impl ShadowRun {
    pub(super) fn new(candidate: &Prepared, beside: &InForce, clean: bool) -> Self {
        Self {
            candidate: candidate
                .files
                .iter()
                .filter(|file| !file.is_list)
                .cloned()
                .collect(),
            hash: candidate.image.hash(),
            beside: beside.hash,
            clean,
            at: Instant::now(),
        }
    }

    fn is_of(&self, candidate: &Prepared) -> bool {
        self.hash == candidate.image.hash()
            && candidate
                .files
                .iter()
                .filter(|file| !file.is_list)
                .eq(&self.candidate)
    }
}

impl Agent {
    pub(super) fn remember_shadow(&self, run: ShadowRun) {
        let mut runs = self.shadow_runs();
        runs.retain(|other| other.at.elapsed() < LONGEST_AGO);
        if runs.len() == MOST {
            runs.remove(0);
        }
        runs.push(run);
    }

    /// Refuses a candidate unless the last shadow run of exactly it, beside the policy in force, was clean: nothing that
    /// passed would have been kept out.
    pub(in crate::daemon) fn require_shadow(&self, candidate: &Prepared) -> Result<(), Failure> {
        let runs = self.shadow_runs();
        let last = runs.iter().rev().find(|run| run.is_of(candidate));
        let last = last.filter(|run| run.at.elapsed() < LONGEST_AGO);
        let why = match last {
            None => "no shadow run within the last hour was of this candidate",
            Some(run) if run.beside != self.in_force().hash => {
                "the shadow run of this candidate was beside another policy than the one in force"
            }
            Some(run) if !run.clean => {
                "the shadow run of this candidate was not clean: something that passes would be kept out"
            }
            Some(_) => return Ok(()),
        };
        Err(Failure::new(FailureKind::Conflict, why)
            .hint("`fwctl shadow` with the same files says what would change; apply it after a clean run"))
    }
}
