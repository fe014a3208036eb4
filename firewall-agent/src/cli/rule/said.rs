//! What a rule says, in options.

use clap::ArgGroup;

use crate::policy::edit::{RuleDraft, Verdict};

/// The keys of the policy language.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("verdict").required(true).args(["allow", "drop", "reject"]))]
pub(crate) struct Said {
    /// Let this pass: services, or ports such as tcp/8080.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<String>,
    /// Drop this silently.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    drop: Vec<String>,
    /// Refuse this with an answer.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    reject: Vec<String>,
    /// Who sends it: hosts, roles, groups, networks, addresses or `any`.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    from: Vec<String>,
    /// Who gets it.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    to: Vec<String>,
    /// Peers, each of whom may reach each other.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    among: Vec<String>,
    /// Multicast destinations.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    multicast: Vec<String>,
    /// For traffic that passes through this host.
    #[arg(long)]
    forward: bool,
    /// Only on these interfaces.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    interface: Vec<String>,
    /// Only in these VLANs.
    #[arg(long, value_name = "RANGE", value_delimiter = ',')]
    vlan: Vec<String>,
    /// Only from these source ports.
    #[arg(long, value_name = "RANGE", value_delimiter = ',')]
    from_port: Vec<String>,
    /// Try it before this rule of an earlier layer.
    #[arg(long, value_name = "RULE")]
    before: Option<String>,
    /// Log packets, at most so many: 10/s.
    #[arg(long, value_name = "RATE")]
    log: Option<String>,
    /// Who answers for it.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Why it is there; written to the policy.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// When to look at it again: 2030-12-31.
    #[arg(long, value_name = "DATE")]
    review: Option<String>,
}

impl Said {
    /// The rule of this name.
    pub(super) fn draft(self, name: String) -> RuleDraft {
        // The parser sees to it that exactly one of the three is there.
        let (verdict, what) = if !self.allow.is_empty() {
            (Verdict::Allow, self.allow)
        } else if !self.drop.is_empty() {
            (Verdict::Drop, self.drop)
        } else {
            (Verdict::Reject, self.reject)
        };
        RuleDraft {
            name,
            verdict,
            what,
            from: self.from,
            to: self.to,
            among: self.among,
            multicast: self.multicast,
            forward: self.forward,
            interface: self.interface,
            vlan: self.vlan,
            from_port: self.from_port,
            before: self.before,
            log: self.log,
            owner: self.owner,
            reason: self.reason,
            review: self.review,
        }
    }
}
