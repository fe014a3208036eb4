//! `fwctl rule add`.

use std::path::PathBuf;

use clap::ArgGroup;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::{NewRule, Request, RulePlace},
    policy::edit::{RuleDraft, Verdict},
};

const EXAMPLES: &str = "\
The options are the keys of the policy language (rules/README.md); those that take several values may be repeated, or given a list with commas.

Examples:
  fwctl rule add debug --allow tcp/8080 --from 10.77.9.0/24 --why 'chasing a bug'
  fwctl rule add mail --allow smtp --to mail-servers --file base.toml --owner ops
  fwctl rule add no-ntp --drop ntp --from any --place-before queries";

/// Adds a rule, live and in its policy file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("verdict").required(true).args(["allow", "drop", "reject"]),
    group = ArgGroup::new("place").args(["place_before", "place_after"]),
)]
pub(crate) struct Add {
    /// Its name, unique in the policy.
    name: String,
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
    /// The policy file to write it to; by default that of this host's last layer.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write it directly before this rule of the file, and not behind the last one.
    #[arg(long, value_name = "RULE")]
    place_before: Option<String>,
    /// Write it directly behind this rule of the file.
    #[arg(long, value_name = "RULE")]
    place_after: Option<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Add {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::RuleAdd(Box::new(self.into_rule()));
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }

    fn into_rule(self) -> NewRule {
        // The parser sees to it that exactly one of the three is there.
        let (verdict, what) = if !self.allow.is_empty() {
            (Verdict::Allow, self.allow)
        } else if !self.drop.is_empty() {
            (Verdict::Drop, self.drop)
        } else {
            (Verdict::Reject, self.reject)
        };
        NewRule {
            rule: RuleDraft {
                name: self.name,
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
            },
            file: self.file,
            place: match (self.place_before, self.place_after) {
                (Some(rule), _) => RulePlace::Before(rule),
                (None, Some(rule)) => RulePlace::After(rule),
                (None, None) => RulePlace::End,
            },
            why: self.why,
        }
    }
}
