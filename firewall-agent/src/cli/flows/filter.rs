//! Which flows.

use ipnet::IpNet;

use crate::{
    cli::{
        span::Span,
        words::{network, protocol},
    },
    control::protocol::FlowFilter,
};

/// Conditions on flows; all must hold.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Address or network of the other end.
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    remote: Option<IpNet>,
    /// Address or network of this end.
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    local: Option<IpNet>,
    /// Port of either end.
    #[arg(long)]
    port: Option<u16>,
    /// Protocol: tcp, udp, icmp, icmpv6, sctp, udplite, or a number.
    #[arg(long, value_parser = protocol)]
    protocol: Option<u8>,
    /// The rule that let it in.
    #[arg(long)]
    rule: Option<String>,
    /// Its state, such as established.
    #[arg(long)]
    state: Option<String>,
    /// Port of the other end.
    #[arg(long, value_name = "PORT")]
    remote_port: Option<u16>,
    /// Port of this end.
    #[arg(long, value_name = "PORT")]
    local_port: Option<u16>,
    /// Who has opened it: `in` where the other end has, `out` where this one has.
    #[arg(long, value_parser = ["in", "out"])]
    direction: Option<String>,
    /// At least so old, such as 90s, 10m or 2h.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    min_age: Option<u64>,
    /// Without a packet for at least so long.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    min_idle: Option<u64>,
    /// Ends within such a time, if no packet comes.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    max_left: Option<u64>,
}

impl From<Filter> for FlowFilter {
    fn from(filter: Filter) -> Self {
        Self {
            remote: filter.remote,
            local: filter.local,
            port: filter.port,
            protocol: filter.protocol,
            rule: filter.rule,
            state: filter.state,
            remote_port: filter.remote_port,
            local_port: filter.local_port,
            direction: filter.direction,
            min_age_seconds: filter.min_age,
            min_idle_seconds: filter.min_idle,
            max_left_seconds: filter.max_left,
        }
    }
}

/// A time in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map(Span::seconds)
}
