//! `fwctl explain`: why a packet passes or does not.

mod text;
mod words;

use std::path::PathBuf;

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output},
    policy_files::{PolicyTarget, policy_name},
};
use crate::{
    control::protocol::Request,
    engine::Sizes,
    trial::{Explanation, Question, Subject, Surroundings, Way, explain},
};

const EXAMPLES: &str = "\
Examples:
  fwctl explain in tcp 203.0.113.7:51000 10.0.1.10:443       by what is in force
  fwctl explain in ping 203.0.113.7 10.0.1.10 --iface eth0
  fwctl explain out udp 10.0.1.10 198.51.100.53:53           a source port is made up
  fwctl explain in tcp 203.0.113.7 10.77.2.10:22 --policy rules --host web-1

The packet is the first one of a connection, unless there is a live flow between its ends: then it is the next one of
that. Nothing is sent, and nothing changes: no flow, counter, limit or event.

What is in force is asked three times: the verdict path in user space, the rules one by one, and the kernel's own
programs, in a variant that reads the live tables and writes nothing. The first question takes a few seconds, until the
kernel has verified that variant.

Exit codes: 0 answered, whatever the verdict; 1 the policy has errors, or two of the three disagree (the output says
how); 2 the command line is wrong or a file cannot be read; 3 no agent; 4 not allowed";

/// Most rules that are shown, unless all are asked for.
const MOST_RULES: usize = 40;

/// Blocks for the members of block lists: as many as a million random addresses of both families take.
const LIST_BLOCKS: u32 = 1 << 19;

/// Says why a packet passes or does not, by what is in force or by files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// `in` or `out`, seen from the host.
    #[arg(value_parser = words::way)]
    way: Way,
    /// tcp, udp, sctp, udplite, ping, icmp/TYPE[/CODE], icmpv6/TYPE[/CODE], or a protocol number.
    #[arg(value_name = "PROTOCOL")]
    protocol: String,
    /// Where it comes from: an address, and a port where the protocol has ports.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it goes to.
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// The interface; rules for certain interfaces match on no other. Online, if only one is filtered, that one.
    #[arg(long, value_name = "NAME")]
    iface: Option<String>,
    /// 802.1Q identifier of the packet's tag.
    #[arg(long)]
    vlan: Option<u16>,
    /// Explain by these files or directories, without an agent and without root.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    target: PolicyTarget,
    /// Show every rule that was held against the packet, however many.
    #[arg(long)]
    all: bool,
}

impl Explain {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let question = self.question()?;
        let explanation = if self.policy.is_empty() {
            *expect_response!(agent, Request::Explain(Box::new(question)), Explanation)
        } else {
            self.by_files(&question)?
        };
        let most = if self.all { usize::MAX } else { MOST_RULES };
        output.print(&explanation, |output, explanation| {
            text::text(output, explanation, most)
        })?;
        let kernel_agrees = explanation.kernel.as_ref().is_none_or(|kernel| kernel.agrees);
        Ok(if explanation.disagreement.is_none() && kernel_agrees {
            Exit::Done
        } else {
            Exit::No
        })
    }

    fn question(&self) -> Result<Question, CliError> {
        let (protocol, icmp) = words::protocol(&self.protocol, &self.source).map_err(CliError::Usage)?;
        let ports = |text: &str, otherwise| words::end(text, protocol, otherwise).map_err(CliError::Usage);
        let (source, source_port) = ports(&self.source, Some(words::SOURCE_PORT))?;
        let (destination, destination_port) = ports(&self.destination, None)?;
        let question = Question {
            way: self.way,
            protocol,
            source,
            destination,
            source_port,
            destination_port,
            icmp,
            interface: self.iface.clone(),
            vlan: self.vlan,
        };
        question
            .check()
            .map_err(|error| CliError::Usage(error.to_string()))?;
        Ok(question)
    }

    fn by_files(&self, question: &Question) -> Result<Explanation, CliError> {
        let policy = self.target.load(&self.policy)?;
        let label = format!("files for {}", policy_name(&policy));
        let sizes = Sizes {
            list_blocks: LIST_BLOCKS,
            ..Sizes::default()
        };
        let subject = Subject::of_policy(policy, question.interface.as_deref(), sizes)
            .map_err(|error| CliError::File(error.to_string()))?;
        Ok(explain(&subject, &label, question, &Surroundings::default()))
    }
}
