//! What the agent sees when it looks closely.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network interface, as it is and as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct InterfaceInspection {
    /// Its name.
    pub name: String,
    /// Whether the agent filters it.
    pub is_filtered: bool,
    /// `native` or `generic`, as the agent has attached to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Number of the XDP program that is on it now, whoever's it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp_program: Option<u32>,
    /// How that is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp_mode: Option<String>,
    /// Names of the tcx programs for outgoing packets, in order; none where the kernel cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_programs: Option<Vec<String>>,
    /// Names of the tcx programs for incoming packets, which see what XDP has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_programs: Option<Vec<String>>,
    /// Whether the device takes VLAN tags off before XDP sees them; none where it cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_offload: Option<bool>,
    /// The longest packet it carries, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The driver's name; none where the device has no driver that can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// What the kernel holds against what it should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Inspection {
    /// Whether the image in the slot in force is the one that the policy in force makes; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_image_intact: Option<bool>,
    /// Every interface but `lo`.
    pub interfaces: Vec<InterfaceInspection>,
    /// Log events that found no room on their way.
    pub lost_events: u64,
    /// Whether the policy in force goes by VLAN tags, or answers packets that may have one.
    #[serde(default)]
    pub needs_vlan_tags: bool,
    /// Whether the failsafe lets anybody in.
    pub has_management_sources: bool,
}
