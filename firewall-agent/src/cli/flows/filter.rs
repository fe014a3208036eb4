//! Which flows.

use ipnet::IpNet;

use crate::{control::protocol::FlowFilter, daemon::protocol_number};

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

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| "neither an address nor a network such as 10.0.0.0/8".to_owned())
}

fn protocol(text: &str) -> Result<u8, String> {
    protocol_number(text).ok_or_else(|| "neither a known protocol nor a number from 0 to 255".to_owned())
}
