//! What can go wrong between the agent and the kernel, with what was being done.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use firewall_common::abi::ABI_VERSION;

use super::XdpMode;
use crate::prefix_set::Full;

/// A place where a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachHook {
    /// XDP, for what comes in.
    Xdp,
    /// tcx, or a clsact filter before kernel 6.6, for what goes out.
    Tc,
}

impl std::fmt::Display for AttachHook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Xdp => "XDP",
            Self::Tc => "tc egress",
        })
    }
}

/// An operation on the kernel that failed.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The dataplane was used before [`super::Dataplane::adopt_or_create`], or after unloading.
    #[error("the dataplane is not open")]
    NotOpen,
    /// The compiled-in object is not what it should be, or the kernel refused its maps.
    #[error("cannot load the eBPF object")]
    Object(#[source] Box<EbpfError>),
    /// The policy's lists are larger than the settings have made room for.
    #[error("{0}")]
    ListsFull(Full),
    /// A capture is limited to more rules than the kernel side looks at.
    #[error(
        "{rules} rules go by that name; a capture can be limited to {}",
        firewall_common::capture::CAPTURE_RULES
    )]
    CaptureRules {
        /// How many there are.
        rules: usize,
    },
    /// The object lacks a program, or it is of another type.
    #[error("the eBPF object has no program {program} of the expected type")]
    MissingProgram {
        /// Its name.
        program: &'static str,
    },
    /// The object lacks a map, or it is of another type or size.
    #[error("the eBPF object has no map {map} as expected")]
    MissingMap {
        /// Its name.
        map: &'static str,
    },
    /// The verifier refused a program.
    #[error("the kernel does not take program {program}")]
    LoadProgram {
        /// Its name.
        program: &'static str,
        /// Cause.
        #[source]
        source: Box<ProgramError>,
    },
    /// An operation on a program failed.
    #[error("cannot {action} program {program}")]
    Program {
        /// What was tried.
        action: &'static str,
        /// Its name.
        program: &'static str,
        /// Cause.
        #[source]
        source: Box<ProgramError>,
    },
    /// An operation on a map failed.
    #[error("cannot {action} map {map}")]
    Map {
        /// What was tried.
        action: &'static str,
        /// Its name.
        map: &'static str,
        /// Cause.
        #[source]
        source: Box<MapError>,
    },
    /// A file or directory could not be handled.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The pin directory is not on a BPF file system.
    #[error(
        "{path} is not on a BPF file system; `systemctl start run-firewall_bpf.mount` mounts the one on /run/firewall_bpf"
    )]
    NotBpffs {
        /// The pin directory.
        path: PathBuf,
    },
    /// Others than the agent could change what is pinned.
    #[error(
        "{path} belongs to user {owner} with mode {mode:o}: others could put programs of theirs in the place of the \
         firewall's; see what is in there and remove it, or name another `pin_dir`"
    )]
    PinsExposed {
        /// The pin directory, or one in it.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// The state cannot be written down.
    #[error("cannot write the dataplane's state to {path}")]
    State {
        /// Which file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    Syscall {
        /// What was tried.
        action: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Talking netlink failed.
    #[error("cannot {action} over netlink")]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A map could not be read in a batch.
    #[error("cannot read map {map}")]
    Counters {
        /// Its name.
        map: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The clock cannot be made out.
    #[error("the kernel's clock does not run at a known rate: {jiffies} jiffies in {nanoseconds} ns")]
    UnknownClock {
        /// Jiffies counted.
        jiffies: u64,
        /// Time in which they were counted.
        nanoseconds: u64,
    },
    /// Every slot is in force, a fallback, or to be kept.
    #[error("no policy slot is free: a confirmation is pending")]
    NoFreeSlot,
    /// The cell names a slot that does not exist or holds no policy.
    #[error("policy slot {slot} holds no policy")]
    SlotEmpty {
        /// Which.
        slot: u8,
    },
    /// The image is not one, or of another version.
    #[error("the table image is not one of ABI version {ABI_VERSION}")]
    NotAnImage,
    /// The image is larger than a map can be.
    #[error("a table image of {blocks} blocks is larger than the limit of {limit}")]
    ImageTooLarge {
        /// Blocks in the image.
        blocks: usize,
        /// Most blocks.
        limit: u32,
    },
    /// A patch lies outside the image in the slot.
    #[error("the image in slot {slot} has {blocks} blocks, and none with number {block}")]
    PatchOutside {
        /// Which slot.
        slot: u8,
        /// Blocks in the slot.
        blocks: u32,
        /// The block that was to be written.
        block: u32,
    },
    /// What was read back differs from what was written.
    #[error("slot {slot} reads back differently from what was loaded")]
    ReadBack {
        /// Which slot.
        slot: u8,
    },
    /// `lo` is never filtered.
    #[error("{interface} is the loopback interface, which is never filtered")]
    Loopback {
        /// Its name.
        interface: String,
    },
    /// The interface does not exist.
    #[error("there is no interface {interface}")]
    NoSuchInterface {
        /// Its name.
        interface: String,
    },
    /// Frames on the interface start with something that the parser does not know.
    #[error(
        "{interface} is of link type {arphrd}; only Ethernet and devices without a link-level header are filtered"
    )]
    UnsupportedLink {
        /// Its name.
        interface: String,
        /// `ARPHRD_*` number.
        arphrd: u16,
    },
    /// A place for one more interface is not there.
    #[error("no room for {interface}: {limit} interfaces are attached already")]
    TooManyInterfaces {
        /// Its name.
        interface: String,
        /// Most interfaces.
        limit: usize,
    },
    /// Its packets pass another attached interface, too.
    #[error(
        "{interface} is on the packet path of {other}, which is attached already: name one of the two in the policy"
    )]
    SamePath {
        /// Its name.
        interface: String,
        /// The other one's.
        other: String,
    },
    /// VLAN tags are taken off by the hardware and cannot be left on.
    #[error(
        "{interface} strips VLAN tags before the policy sees them; run: ethtool -K {interface} rxvlan off"
    )]
    VlanOffload {
        /// Its name.
        interface: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Attaching failed.
    #[error("cannot attach to {interface} at {hook}{}", mode.map(|mode| format!(" in {mode} mode")).unwrap_or_default())]
    Attach {
        /// Its name.
        interface: String,
        /// Where.
        hook: AttachHook,
        /// The mode, at XDP.
        mode: Option<XdpMode>,
        /// Cause.
        #[source]
        source: Box<ProgramError>,
    },
    /// Another program holds the XDP hook.
    #[error("another XDP program (id {program_id}) is attached to {interface}")]
    XdpBusy {
        /// Its name.
        interface: String,
        /// Identifier of the other program.
        program_id: u32,
    },
}
