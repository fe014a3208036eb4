//! Log events: packets that a rule or a drop reason wanted logged.

use std::{fmt, net::IpAddr};

use firewall_common::{
    counters::Hook,
    event::Event,
    reason::Reason,
    verdict::{NO_RULE, Verdict},
    wire::protocol,
};

use nix::net::if_::if_indextoname;

use super::{agent::Agent, describe};
use crate::control::{
    EventReceiver,
    protocol::{EventFilter, EventInfo, Events, Failure},
};

impl Agent {
    /// Writes events to the log. How many there can be is limited in the kernel, by rule and by reason.
    pub(crate) fn log_events(&self, events: &[Event]) {
        let in_force = self.in_force();
        self.with_health(|health| health.events += events.len() as u64);
        self.events.put(events, &in_force);
        let second = self.clock_second();
        for event in events {
            let (fits, left_out) = self.packet_budget.take(second);
            if let Some(count) = left_out {
                tracing::warn!(target: "firewall_agent::packet", count, "packets were left out of the log");
            }
            if !fits {
                continue;
            }
            let rule = (event.rule != NO_RULE).then(|| in_force.rule_name(event.rule));
            let [source, destination] = [event.source, event.destination]
                .map(|bytes| address(event.family, bytes).map(tracing::field::display));
            tracing::info!(
                target: "firewall_agent::packet",
                verdict = verdict(event.verdict),
                rule,
                generation = in_force.epoch,
                source,
                source_port = event.source_port,
                destination,
                destination_port = event.destination_port,
                protocol = %describe::protocol_name(event.protocol),
                reason = Reason::from_number(event.reason).map_or("unknown", Reason::name),
                hook = if event.hook == Hook::Ingress as u8 { "ingress" } else { "egress" },
                interface = interface_name(event.interface),
                length = event.length,
                "{}",
                PacketLine(event)
            );
        }
    }
}

impl Agent {
    /// Seconds that the agent runs, by a clock that nobody sets.
    fn clock_second(&self) -> u64 {
        self.running.elapsed().as_secs()
    }

    /// What is remembered of log events, at most `recent` of them, and what comes from now on.
    pub fn follow_events(
        &self,
        filter: &EventFilter,
        recent: u32,
    ) -> Result<(Events, EventReceiver), Failure> {
        let (remembered, receiver) = self.events.watch();
        let wanted = remembered.iter().rev().filter(|event| filter.takes(event));
        let recent = usize::try_from(recent).unwrap_or(usize::MAX);
        let mut events: Vec<EventInfo> = wanted.take(recent).map(|event| (**event).clone()).collect();
        events.reverse();
        Ok((Events { events, lost: 0 }, receiver))
    }
}

/// The interface's name, or its index where it is gone.
pub(super) fn interface_name(index: u32) -> String {
    let name = if_indextoname(index)
        .ok()
        .and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("#{index}"))
}

pub(super) const fn verdict(number: u8) -> &'static str {
    match number {
        number if number == Verdict::Pass as u8 => "pass",
        number if number == Verdict::Drop as u8 => "drop",
        number if number == Verdict::Reject as u8 => "reject",
        _ => "unknown",
    }
}

/// An event in a line: `tcp 192.0.2.1:4711 -> 198.51.100.7:22`.
pub(crate) struct PacketLine<'a>(pub(crate) &'a Event);

impl fmt::Display for PacketLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let (Some(source), Some(destination)) = (
            address(event.family, event.source),
            address(event.family, event.destination),
        ) else {
            return write!(formatter, "EtherType {:#06x}", event.ether_type);
        };
        let name = describe::protocol_name(event.protocol);
        match event.protocol {
            protocol::ICMP | protocol::ICMPV6 => {
                let (kind, code) = (event.destination_port >> 8, event.destination_port & 0xff);
                write!(formatter, "{name} {kind}/{code} {source} -> {destination}")
            }
            protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE => write!(
                formatter,
                "{name} {} -> {}",
                std::net::SocketAddr::new(source, event.source_port),
                std::net::SocketAddr::new(destination, event.destination_port)
            ),
            _ => write!(formatter, "protocol {name} {source} -> {destination}"),
        }
    }
}

pub(super) fn address(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        4 => {
            let [a, b, c, d, ..] = bytes;
            Some(IpAddr::from([a, b, c, d]))
        }
        6 => Some(IpAddr::from(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn packets_read_like_addresses_on_the_wire() {
        let mut event = Event {
            source: [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            destination: [198, 51, 100, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            source_port: 4711,
            destination_port: 22,
            protocol: 6,
            family: 4,
            ..Event::zeroed()
        };
        assert_eq!(
            PacketLine(&event).to_string(),
            "tcp 192.0.2.1:4711 -> 198.51.100.7:22"
        );
        (event.protocol, event.destination_port) = (1, 0x0800);
        assert_eq!(
            PacketLine(&event).to_string(),
            "icmp 8/0 192.0.2.1 -> 198.51.100.7"
        );
        event.family = 6;
        event.protocol = 112;
        assert!(
            PacketLine(&event)
                .to_string()
                .starts_with("protocol 112 c000:201::")
        );
        (event.family, event.ether_type) = (0, 0x8863);
        assert_eq!(PacketLine(&event).to_string(), "EtherType 0x8863");
    }
}
