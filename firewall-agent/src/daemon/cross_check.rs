//! What the kernel's own programs say of a packet that is explained: a variant of them that writes nothing is put to it,
//! over the live tables.

use std::sync::PoisonError;

use firewall_common::{cell::Cell, counters::Hook, interface::LinkType};

use super::{agent::Agent, kernel::Kernel};
use crate::{
    dataplane::{
        AttachedInterface, DataplaneError, ImageIdentity, LOOPBACK_INDEX, Rehearsal, give_back_memory,
    },
    trial::{CrossCheck, Explanation, Question, Subject, verdict_name},
};

/// Bytes of an Ethernet header.
const LINK_BYTES: usize = 14;

/// The programs of both hooks, as far as they were asked for. They are kept: verifying them takes a second or two.
#[derive(Debug, Default)]
pub(super) struct DryRuns {
    ingress: Option<Loaded>,
    egress: Option<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    image: ImageIdentity,
    programs: Rehearsal,
}

impl DryRuns {
    const fn of(&mut self, hook: Hook) -> &mut Option<Loaded> {
        match hook {
            Hook::Ingress => &mut self.ingress,
            Hook::Egress => &mut self.egress,
        }
    }
}

/// What came of asking.
pub(super) enum Asked {
    /// The programs have answered.
    Answered(CrossCheck),
    /// What is in force has changed since the programs were loaded.
    Stale,
    /// They cannot be asked.
    Impossible(String),
    /// There is no kernel behind this agent.
    NoKernel,
}

impl Agent {
    /// Has the programs for the policy in force at hand. Takes seconds where they have to be verified; nothing waits for
    /// that but other explanations.
    pub(super) fn prepare_dry_run(&self, runs: &mut DryRuns, hook: Hook) -> Result<(), DataplaneError> {
        let wanted = {
            let kernel = self.kernel();
            kernel.dataplane.dry_run(slot_in_force(&kernel)?, hook)?
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let image = wanted.image();
        let kept = runs.of(hook);
        if kept.as_ref().is_some_and(|kept| kept.image == image) {
            return Ok(());
        }
        *kept = None;
        let programs = wanted.load()?;
        give_back_memory();
        *kept = Some(Loaded { image, programs });
        Ok(())
    }

    pub(super) fn dry_runs(&self) -> std::sync::MutexGuard<'_, DryRuns> {
        self.dry_runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot that packets are judged by now.
pub(super) fn slot_in_force(kernel: &Kernel) -> Result<u8, DataplaneError> {
    let (cell, clock) = (kernel.dataplane.cell()?, kernel.dataplane.clock()?);
    Ok(Cell::effective(cell.pack(), clock.now_ticks).0)
}

/// Puts the frame to the programs. The kernel's lock is held, as it was since the tables were read for the explanation.
pub(super) fn ask(
    runs: &mut DryRuns,
    kernel: &Kernel,
    subject: &Subject,
    question: &Question,
    interface: Option<&AttachedInterface>,
    frame: &[u8],
) -> Result<Asked, DataplaneError> {
    let hook = question.way.hook();
    let wanted = kernel.dataplane.dry_run(slot_in_force(kernel)?, hook)?;
    let Some(wanted) = wanted else {
        return Ok(Asked::NoKernel);
    };
    let Some(kept) = runs.of(hook).as_ref().filter(|kept| kept.image == wanted.image()) else {
        return Ok(Asked::Stale);
    };
    let is_raw = interface.is_some_and(|interface| interface.link_type == LinkType::RawIp);
    let frame = match (is_raw, question.vlan) {
        (false, _) => frame,
        (true, None) => frame.get(LINK_BYTES..).unwrap_or_default(),
        (true, Some(_)) => {
            let why = "packets on an interface without link-level headers have no tags";
            return Ok(Asked::Impossible(why.to_owned()));
        }
    };
    let index = interface.map_or(LOOPBACK_INDEX, |interface| interface.index);
    let ran = match kept.programs.run(frame, index, None) {
        Ok(ran) => ran,
        Err(error) => return Ok(Asked::Impossible(format!("cannot run the programs: {error}"))),
    };
    let Some(decision) = ran.decision else {
        return Ok(Asked::Impossible("the programs came to no decision".to_owned()));
    };
    let told = subject.named(decision);
    Ok(Asked::Answered(CrossCheck {
        agrees: false,
        verdict: verdict_name(told.verdict).to_owned(),
        reason: told.reason.name().to_owned(),
        rule: told.rule.as_deref().map(str::to_owned),
    }))
}

/// Enters in the explanation what the kernel has said; false where it might say something else in a moment.
pub(super) fn enter(explanation: &mut Explanation, asked: Asked) -> bool {
    match asked {
        Asked::Answered(mut check) => {
            check.agrees = (&check.verdict, &check.reason, &check.rule)
                == (&explanation.verdict, &explanation.reason, &explanation.rule);
            let agrees = check.agrees;
            explanation.kernel = Some(check);
            agrees
        }
        Asked::Stale => {
            explanation.unchecked = Some("what is in force keeps changing".to_owned());
            false
        }
        Asked::Impossible(why) => {
            explanation.unchecked = Some(why);
            true
        }
        Asked::NoKernel => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        Explanation {
            packet: "in tcp 203.0.113.7:51000 -> 10.0.1.10:443".to_owned(),
            policy: "in force".to_owned(),
            verdict: "pass".to_owned(),
            reason: "rule".to_owned(),
            meaning: String::new(),
            rule: Some("site".to_owned()),
            origin: None,
            steps: Vec::new(),
            rules: Vec::new(),
            disagreement: None,
            kernel: None,
            unchecked: None,
        }
    }

    fn answered(reason: &str, rule: Option<&str>) -> Asked {
        Asked::Answered(CrossCheck {
            agrees: false,
            verdict: "pass".to_owned(),
            reason: reason.to_owned(),
            rule: rule.map(str::to_owned),
        })
    }

    #[test]
    fn only_the_same_verdict_reason_and_rule_agree() {
        for (reason, rule, agrees) in [
            ("rule", Some("site"), true),
            ("flow", Some("site"), false),
            ("rule", Some("other"), false),
            ("rule", None, false),
        ] {
            let mut explanation = explanation();
            assert_eq!(enter(&mut explanation, answered(reason, rule)), agrees);
            assert_eq!(explanation.kernel.map(|kernel| kernel.agrees), Some(agrees));
        }
        let mut explanation = explanation();
        assert!(enter(&mut explanation, Asked::Impossible("no rights".to_owned())));
        assert_eq!(explanation.unchecked.as_deref(), Some("no rights"));
        assert!(!enter(&mut explanation, Asked::Stale), "it is asked once more");
    }
}
