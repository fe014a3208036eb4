//! What a policy would change: in words, and for the traffic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Finding;

/// What has become, or would become, of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct RuleDifference {
    /// `added`, `removed`, `changed` or `moved`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `file:line`; of what is gone, where it was.
    pub origin: String,
    /// What it says in a line, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The same after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether it is tried at another place among the others.
    #[serde(default)]
    pub moved: bool,
}

/// What has become of a block list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ListDifference {
    /// Its name.
    pub name: String,
    /// How many entries it had; none where it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<usize>,
    /// How many it has; none where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<usize>,
    /// Entries that are new.
    pub added: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// Some of those that are new.
    pub added_sample: Vec<String>,
    /// Some of those that are gone.
    pub removed_sample: Vec<String>,
}

/// What one policy says differently than another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Difference {
    /// Rules, in the order of the new policy, those that are gone last.
    pub rules: Vec<RuleDifference>,
    /// Block lists.
    pub lists: Vec<ListDifference>,
    /// Everything else, a difference in each line.
    pub settings: Vec<String>,
}

impl Difference {
    /// Whether both say the same.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.lists.is_empty() && self.settings.is_empty()
    }
}

/// A connection that must not be cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ManagedVerdict {
    /// `own`, `management` or `failsafe`.
    pub whose: String,
    /// Such as `tcp 10.77.9.7:50000 to 10.77.2.10:22`.
    pub connection: String,
    /// Whether it passes now, and who lets it or does not.
    pub passes_now: bool,
    /// Who decides now.
    pub now: String,
    /// Whether it would pass.
    pub would_pass: bool,
    /// Who would decide.
    pub then: String,
}

/// Live flows that would be decided otherwise, by what decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct FlowGroup {
    /// `in` or `out`, the protocol, and the port that they go to.
    pub service: String,
    /// Who lets them pass now.
    pub now: String,
    /// Who would end them.
    pub then: String,
    /// How many.
    pub flows: u64,
    /// Some of them.
    pub samples: Vec<String>,
}

/// A listening socket that other addresses would reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ListenerChange {
    /// Such as `tcp *:443`.
    pub socket: String,
    /// Who would newly get in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_to: Option<String>,
    /// Who would be kept out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_to: Option<String>,
}

/// Connections that were there lately and are not any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct RecentFlows {
    /// How many were asked about: flows whose last packet came within ten minutes, and the latest 1,000 packets that were
    /// logged, as far as they were refused within them.
    pub asked: u64,
    /// Those that passed and would not, should they come again; the largest groups first.
    pub kept_out: Vec<FlowGroup>,
    /// Those that were refused and would pass.
    pub let_in: Vec<FlowGroup>,
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Plan {
    /// What the policy would say differently.
    pub difference: Difference,
    /// Connections that must not be cut: the operator's own first, then those that would be decided otherwise.
    pub managed: Vec<ManagedVerdict>,
    /// Whether `fwctl apply` would refuse it for their sake.
    pub locks_out: bool,
    /// Live flows.
    pub flows: u64,
    /// How many of them were asked about.
    pub flows_asked: u64,
    /// How many would be cut.
    pub flows_cut: u64,
    /// Those, by service and by who decides; the largest groups first.
    pub cut: Vec<FlowGroup>,
    /// The same of what was there lately.
    #[serde(default)]
    pub recent: RecentFlows,
    /// Listening sockets that others would reach, or not any more.
    pub listeners: Vec<ListenerChange>,
    /// What is suspicious about the policy.
    pub warnings: Vec<Finding>,
}
