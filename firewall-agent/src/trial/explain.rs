//! Why a packet passes or does not.

use std::time::Duration;

use firewall_common::{interface::LinkType, reason::Reason, verdict::Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Question, Subject, Surroundings, Verdicted, Walked, packet::frame, walk, walk::protocol_text};
use crate::{
    daemon::{action, addresses, protocols},
    policy::{
        evaluate::{Condition, Probe, unmet},
        model::{Action, Rule},
    },
};

/// A moment that is not the beginning of time. Explanations are asked then, whatever the time is.
pub const NOW_TICKS: u32 = 1000;

/// One step of a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Step {
    /// Which one: `parse`, `addresses`, `flow`, `protected`, `failsafe`, `mode`, `ban`, `list`, `state`, `forward`,
    /// `rules`, `own address`.
    pub step: String,
    /// What was found.
    pub finding: String,
    /// Whether the way ends here.
    pub decides: bool,
}

/// A rule that the packet was held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Tried {
    /// Its name.
    pub rule: String,
    /// `file:line`.
    pub origin: String,
    /// `allow`, `drop` or `reject`.
    pub action: String,
    /// Each condition that does not hold; none where the rule matches.
    pub unmet: Vec<String>,
    /// Seconds until it ends, if it does by itself; zero where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// What the kernel's own programs say of a packet, over the live tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct CrossCheck {
    /// Whether that is what the explanation says.
    pub agrees: bool,
    /// `pass`, `drop` or `reject`.
    pub verdict: String,
    /// Name of the reason.
    pub reason: String,
    /// The deciding rule, or a default such as `(default in)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// The verdict on a packet, and the way there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Explanation {
    /// The packet in a line.
    pub packet: String,
    /// What it was judged by.
    pub policy: String,
    /// `pass`, `drop` or `reject`.
    pub verdict: String,
    /// Name of the reason.
    pub reason: String,
    /// What the reason means.
    pub meaning: String,
    /// The deciding rule, or a default such as `(default in)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `file:line` of the deciding rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The way.
    pub steps: Vec<Step>,
    /// The rules that were held against the packet, in order; the last one decides, if one does.
    pub rules: Vec<Tried>,
    /// What the walk over the rules says, where it differs from the verdict path: one of the two is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<String>,
    /// What the kernel's programs say, where they were asked. Where that is something else, one of the two is wrong, or
    /// the tables have changed twice meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<CrossCheck>,
    /// Why the kernel's programs could not be asked of what is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<String>,
}

/// Has the engine judge a packet, and says why it does so. A live flow has to be in the engine's table already.
#[must_use]
pub fn explain(subject: &Subject, policy: &str, question: &Question, around: &Surroundings) -> Explanation {
    let frame = asked_frame(question, around);
    let judged = subject.judge(&frame, LinkType::Ethernet, question.way.hook(), around.now_ticks);
    let walked = walk(question, &subject.policy, around, judged.reason == Reason::Flow);
    Explanation {
        packet: question.to_string(),
        policy: policy.to_owned(),
        verdict: verdict_name(judged.verdict).to_owned(),
        reason: judged.reason.name().to_owned(),
        meaning: judged.reason.describe().trim().to_owned(),
        rule: judged.rule.as_deref().map(str::to_owned),
        origin: judged.origin.as_deref().map(str::to_owned),
        rules: tried(subject, question, &walked, around),
        disagreement: disagreement(subject, &judged, &walked, around),
        kernel: None,
        unchecked: None,
        steps: walked.steps,
    }
}

/// The first packet of a connection, or the next one of the live flow.
pub(crate) fn asked_frame(question: &Question, around: &Surroundings) -> Vec<u8> {
    frame(question, around.flow.as_ref().is_none_or(|flow| flow.is_opening))
}

/// The word for a verdict.
pub(crate) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
    }
}

fn tried(subject: &Subject, question: &Question, walked: &Walked, around: &Surroundings) -> Vec<Tried> {
    let Some(direction) = walked.asked else {
        return Vec::new();
    };
    let probe = question.probe(direction);
    let until = walked.rule.map_or(subject.policy.rules.len(), |index| index + 1);
    let rules = subject.policy.rules[..until].iter();
    rules
        .filter(|rule| rule.direction == direction)
        .map(|rule| Tried {
            rule: rule.name.to_string(),
            origin: format!("{}:{}", rule.origin.file, rule.origin.line),
            action: action(rule.action).to_owned(),
            unmet: unmet(&rule.matches, &probe)
                .into_iter()
                .map(|condition| why_not(condition, rule, question, &probe))
                .chain(around.has_ended(rule).then(|| "it has ended".to_owned()))
                .collect(),
            seconds_left: rule
                .term
                .and_then(|term| around.left.get(&term))
                .map(Duration::as_secs),
        })
        .collect()
}

fn why_not(condition: Condition, rule: &Rule, question: &Question, probe: &Probe<'_>) -> String {
    let matches = &rule.matches;
    match condition {
        Condition::Protocol => format!(
            "{} is not {}",
            protocol_text(question),
            protocols(&matches.protocols)
        ),
        Condition::Source => format!(
            "source {} is not in {}",
            question.source,
            addresses(matches.source.as_ref())
        ),
        Condition::Destination => format!(
            "destination {} is not in {}",
            question.destination,
            addresses(matches.destination.as_ref())
        ),
        Condition::Interface => {
            let globs = matches.interfaces.as_deref().unwrap_or_default().join(",");
            match probe.interface {
                Some(name) => format!("interface {name} is not {globs}"),
                None => format!("no interface was named, and the rule is for {globs}; see --iface"),
            }
        }
        Condition::Vlan => match probe.vlan {
            Some(vlan) => format!("VLAN {vlan} is not one of the rule's"),
            None => "untagged, and the rule is for VLANs; see --vlan".to_owned(),
        },
    }
}

/// Where the engine and the walk differ. A live flow may be passed or judged again: the walk knows its rule by name only.
fn disagreement(
    subject: &Subject,
    judged: &Verdicted,
    walked: &Walked,
    around: &Surroundings,
) -> Option<String> {
    let verdict = match walked.action {
        Action::Allow => Verdict::Pass,
        Action::Drop => Verdict::Drop,
        Action::Reject => Verdict::Reject,
    };
    let rule = match (walked.rule, walked.asked) {
        (Some(index), _) => Some(&*subject.policy.rules[index].name),
        (None, Some(direction)) => Some(Subject::default_of(direction)),
        (None, None) => None,
    };
    let same_rule = around.flow.is_some() || rule == judged.rule.as_deref();
    // A flow that is judged again and kept passes as one of the new policy.
    let kept = around.flow.as_ref().is_some_and(|flow| !flow.is_current)
        && judged.reason == Reason::Flow
        && (walked.action == Action::Allow || subject.policy.settings.keep_live_flows);
    if kept || (verdict == judged.verdict && walked.reason == judged.reason && same_rule) {
        return None;
    }
    let text = |verdict, reason: &str, rule: Option<&str>| {
        format!(
            "{} ({reason}) by {}",
            verdict_name(verdict),
            rule.unwrap_or("no rule")
        )
    };
    Some(format!(
        "the verdict path says {}, the rules one by one say {}",
        text(judged.verdict, judged.reason.name(), judged.rule.as_deref()),
        text(verdict, walked.reason.name(), rule)
    ))
}
