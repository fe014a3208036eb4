//! Which flows.

use ipnet::IpNet;

use crate::{
    cli::words::{network, protocol},
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
        }
    }
}
