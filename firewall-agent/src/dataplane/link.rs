//! Interfaces of this host, and how the programs are attached to them.

use std::fmt;

use firewall_common::interface::LinkType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::AttachMode;

/// How it is attached at XDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// After the driver.
    Generic,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Why a mode was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeReason {
    /// The settings say so.
    Configured,
    /// The driver has native XDP and loses nothing by it.
    DriverNative {
        /// Its name, as ethtool shows it.
        driver: String,
    },
    /// Native XDP would cost more than it brings with this driver.
    DriverPrefersGeneric {
        /// Its name.
        driver: String,
    },
    /// The driver refused native XDP.
    NativeRefused {
        /// Its name.
        driver: String,
        /// What the kernel said.
        error: String,
    },
    /// The interface was found attached so.
    Adopted,
}

impl fmt::Display for ModeReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => formatter.write_str("as the settings say"),
            Self::DriverNative { driver } => write!(formatter, "{driver} has native XDP"),
            Self::DriverPrefersGeneric { driver } => {
                write!(
                    formatter,
                    "native XDP on {driver} would switch off its segmentation offload"
                )
            }
            Self::NativeRefused { driver, error } => {
                write!(formatter, "{driver} refused native XDP: {error}")
            }
            Self::Adopted => formatter.write_str("found attached so"),
        }
    }
}

/// An interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `ARPHRD_*` number: what its frames start with.
    pub arphrd: u16,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// The bridge, bond or VRF that it is a port of, by index.
    pub master: Option<u32>,
    /// The interface under it that carries the same packets (of a VLAN or macvlan, not of a tunnel), by index, where
    /// that is in this network namespace.
    pub lower: Option<u32>,
    /// What the kernel calls its kind (`veth`, `vlan`, `bridge`); hardware has none.
    pub kind: Option<String>,
    /// The longest packet it carries, in bytes.
    pub mtu: Option<u32>,
    /// Program at its XDP hook, by identifier.
    pub xdp_program: Option<u32>,
    /// How that program is attached.
    pub xdp_mode: Option<XdpMode>,
}

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_TUNNEL: u16 = 768;
const ARPHRD_TUNNEL6: u16 = 769;
const ARPHRD_SIT: u16 = 776;
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_NONE: u16 = 0xfffe;

impl Link {
    /// What its frames start with, if the parser knows that.
    #[must_use]
    pub const fn link_type(&self) -> Option<LinkType> {
        match self.arphrd {
            ARPHRD_ETHER => Some(LinkType::Ethernet),
            // tun and WireGuard say "none"; the tunnels hand on bare IP packets, too.
            ARPHRD_NONE | ARPHRD_RAWIP | ARPHRD_TUNNEL | ARPHRD_TUNNEL6 | ARPHRD_SIT => Some(LinkType::RawIp),
            _ => None,
        }
    }

    /// Whether packets of this interface pass `other`, too, because one of the two carries the other, directly or over
    /// further ones among `links`.
    #[must_use]
    pub fn shares_path_with(&self, other: &Self, links: &[Self]) -> bool {
        self.is_carried_by(other, links) || other.is_carried_by(self, links)
    }

    fn is_carried_by(&self, other: &Self, links: &[Self]) -> bool {
        let mut above = vec![other.index];
        let mut next = 0;
        // Each round looks at what lies directly on one more link; a link is looked at once.
        while let Some(&below) = above.get(next) {
            next += 1;
            let master = links
                .iter()
                .find(|link| link.index == below)
                .and_then(|link| link.master);
            let stacked = links
                .iter()
                .filter(|link| link.lower == Some(below) || master == Some(link.index));
            for link in stacked {
                if !above.contains(&link.index) {
                    above.push(link.index);
                }
            }
        }
        self.index != other.index && above.contains(&self.index)
    }
}

/// An interface to attach to.
#[derive(Debug, Clone, Copy)]
pub struct AttachRequest<'a> {
    /// Which.
    pub link: &'a Link,
    /// How.
    pub mode: AttachMode,
    /// Whether VLAN tags must reach the programs: the policy names VLANs, or rejects. Tags that the hardware takes
    /// off are invisible to XDP.
    pub needs_vlan_tags: bool,
}

/// An interface that both programs are attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedInterface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// 1 to 63: place of its counters and of its bit vectors.
    pub slot: u8,
    /// What its frames start with.
    pub link_type: LinkType,
    /// How XDP is attached.
    pub mode: XdpMode,
    /// Why so.
    pub reason: ModeReason,
    /// Whether VLAN tags are sure to reach the programs, because the policy asked for that.
    pub vlan_tags_visible: bool,
    /// Whether receive VLAN offload was switched off for it, and is to be switched on again.
    pub vlan_offload_disabled: bool,
}

impl AttachedInterface {
    /// What the mode costs, where it costs something.
    #[must_use]
    pub const fn cost(&self) -> Option<&'static str> {
        match self.mode {
            XdpMode::Generic => Some("frames are judged after the kernel has allocated a buffer for them"),
            XdpMode::Native => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, master: Option<u32>, lower: Option<u32>) -> Link {
        Link {
            index,
            name: format!("if{index}"),
            arphrd: ARPHRD_ETHER,
            loopback: false,
            master,
            lower,
            kind: None,
            mtu: Some(1500),
            xdp_program: None,
            xdp_mode: None,
        }
    }

    #[test]
    fn a_path_is_shared_over_any_number_of_links() {
        // Ports 1 and 2 in bond 3, VLAN 4 on the bond, VLAN 4 in bridge 5; port 6 is on its own.
        let links = [
            link(1, Some(3), None),
            link(2, Some(3), None),
            link(3, None, None),
            link(4, Some(5), Some(3)),
            link(5, None, None),
            link(6, None, None),
        ];
        let shares = |a: usize, b: usize| links[a - 1].shares_path_with(&links[b - 1], &links);
        for (a, b) in [(1, 3), (3, 1), (1, 4), (1, 5), (5, 2), (4, 5)] {
            assert!(shares(a, b), "{a} and {b}");
        }
        for (a, b) in [(1, 2), (1, 6), (6, 5), (1, 1)] {
            assert!(!shares(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn only_known_link_types_are_parsed() {
        let of = |arphrd| {
            Link {
                arphrd,
                ..link(1, None, None)
            }
            .link_type()
        };
        assert_eq!(of(ARPHRD_ETHER), Some(LinkType::Ethernet));
        assert_eq!(of(ARPHRD_NONE), Some(LinkType::RawIp));
        assert_eq!(of(32), None, "InfiniBand");
        assert_eq!(of(772), None, "loopback");
    }
}
