//! What the eBPF object and the agent must agree on before they share a map.

/// Version of every layout in this crate. An agent that finds pinned maps of another version does not adopt them.
/// Raise it with any change to a map's key, value, name or meaning.
pub const ABI_VERSION: u32 = 1;

/// Policy slots: in force, fallback, candidate, and one to spare for a shadow policy.
pub const SLOTS: usize = 4;

/// Names of maps and programs in the eBPF object.
pub mod names {
    /// [`crate::control::Control`], one entry.
    pub const CONTROL: &str = "CONTROL";
    /// [`crate::interface::InterfaceRecord`] by interface index.
    pub const INTERFACES: &str = "INTERFACES";
    /// [`crate::flow::Bucket`]s of assured flows.
    pub const FLOWS: &str = "FLOWS";
    /// [`crate::flow::Bucket`]s of flows that are not assured yet.
    pub const HALF_FLOWS: &str = "HALF_FLOWS";
    /// [`crate::image::Block`]s of one slot's policy. Private to the slot, never shared by name.
    pub const IMAGE: &str = "IMAGE";
    /// [`crate::compact::CompactChain`] of incoming IPv4 packets, by slot.
    pub const COMPACT: &str = "COMPACT";
    /// Filters of [`FLOWS`], by bucket.
    pub const FLOW_FILTERS: &str = "FLOW_FILTERS";
    /// Filters of [`HALF_FLOWS`], by bucket.
    pub const HALF_FLOW_FILTERS: &str = "HALF_FLOW_FILTERS";
    /// [`crate::counters::RuleCounter`] by counter number, for each CPU.
    pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
    /// [`crate::counters::Counter`] by reason and direction, for each CPU.
    pub const REASON_COUNTERS: &str = "REASON_COUNTERS";
    /// [`crate::counters::Counter`] by interface, direction and outcome, for each CPU.
    pub const INTERFACE_COUNTERS: &str = "INTERFACE_COUNTERS";
    /// Ring buffer of [`crate::event::Event`]s.
    pub const EVENTS: &str = "EVENTS";
    /// Events that found the ring buffer full, for each CPU.
    pub const EVENT_LOSS: &str = "EVENT_LOSS";
    /// [`crate::capture::CaptureSettings`] by [`crate::capture::Viewer`].
    pub const CAPTURE: &str = "CAPTURE";
    /// Ring buffer of packets for a capture: a [`crate::capture::CapturedHead`] and bytes.
    pub const CAPTURED: &str = "CAPTURED";
    /// The same for a shadow run.
    pub const SAMPLED: &str = "SAMPLED";
    /// [`crate::capture::CaptureCounts`] by [`crate::capture::Viewer`], for each CPU.
    pub const CAPTURE_COUNTS: &str = "CAPTURE_COUNTS";
    /// Room for a captured packet.
    pub const CAPTURE_ROOM: &str = "CAPTURE_ROOM";
    /// Log windows: first by reason and direction, then by counter number.
    pub const LOG_WINDOWS: &str = "LOG_WINDOWS";
    /// Verdicts on first fragments.
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// Orphan fragment budgets by source.
    pub const ORPHANS: &str = "ORPHANS";
    /// Addresses of this host.
    pub const LOCAL_ADDRESSES: &str = "LOCAL_ADDRESSES";
    /// Banned IPv4 prefixes.
    pub const BANS_V4: &str = "BANS_V4";
    /// Banned IPv6 prefixes.
    pub const BANS_V6: &str = "BANS_V6";
    /// Root entries of the slots' block lists (see [`crate::prefix_set`]).
    pub const LIST_ROOTS: &str = "LIST_ROOTS";
    /// [`crate::image::Block`]s that they lead to.
    pub const LIST_BLOCKS: &str = "LIST_BLOCKS";
    /// Reply budgets of reject, by source.
    pub const REJECT_WINDOWS: &str = "REJECT_WINDOWS";
    /// Reply budget of reject in total, one entry.
    pub const REJECT_TOTAL: &str = "REJECT_TOTAL";
    /// Orphan fragment budget in total, one entry.
    pub const ORPHANS_TOTAL: &str = "ORPHANS_TOTAL";
    /// The parsed packet on its way from the entry to a slot program.
    pub const SCRATCH: &str = "SCRATCH";
    /// The plain packet on its way from the entry to a slot program.
    pub const PLAIN: &str = "PLAIN";
    /// Room for the slot programs beside their stack.
    pub const WORK: &str = "WORK";
    /// The last decision of a rehearsal (see [`crate::rehearsal`]), one entry.
    pub const TOLD: &str = "TOLD";
    /// Slot programs at ingress: one for each slot, then the reply builder.
    pub const XDP_SLOTS: &str = "XDP_SLOTS";
    /// Slot programs at egress: one for each slot, then the reply builder.
    pub const TC_SLOTS: &str = "TC_SLOTS";

    /// XDP entry program.
    pub const XDP_ENTRY: &str = "fw_ingress";
    /// XDP slot program: the short way of plain packets.
    pub const XDP_FIRST: &str = "fw_in_first";
    /// XDP: parses what is not plain, or is not decided on the short ways.
    pub const XDP_PARSE: &str = "fw_in_parse";
    /// XDP slot program, second step: what no policy may break, and bans.
    pub const XDP_BEFORE_RULES: &str = "fw_in_guard";
    /// XDP slot program, third step: what the rules are asked.
    pub const XDP_ASK: &str = "fw_in_ask";
    /// XDP slot program, fourth step: the rules.
    pub const XDP_RULES: &str = "fw_in_rules";
    /// XDP slot program, first step.
    pub const XDP_JUDGE: &str = "fw_in_judge";
    /// XDP reply builder.
    pub const XDP_REJECT: &str = "fw_in_reject";
    /// XDP: goes on behind IPv6 extension headers.
    pub const XDP_EXTENSIONS: &str = "fw_in_extension";
    /// XDP, fifth step: what the deciding rule means for the flow.
    pub const XDP_SETTLE: &str = "fw_in_settle";
    /// XDP, sixth step: enters a flow.
    pub const XDP_ENTER: &str = "fw_in_enter";
    /// XDP: captures a dropped packet.
    pub const XDP_CAPTURE: &str = "fw_in_capture";
    /// tcx entry program.
    pub const TC_ENTRY: &str = "fw_egress";
    /// tcx slot program, second step: what no policy may break, and bans.
    pub const TC_BEFORE_RULES: &str = "fw_out_guard";
    /// tcx slot program, third step: what the rules are asked.
    pub const TC_ASK: &str = "fw_out_ask";
    /// tcx slot program, fourth step: the rules.
    pub const TC_RULES: &str = "fw_out_rules";
    /// tcx slot program, first step.
    pub const TC_JUDGE: &str = "fw_out_judge";
    /// tcx reply builder.
    pub const TC_REJECT: &str = "fw_out_reject";
    /// tcx: goes on behind IPv6 extension headers.
    pub const TC_EXTENSIONS: &str = "fw_out_extension";
    /// tcx, fifth step: what the deciding rule means for the flow.
    pub const TC_SETTLE: &str = "fw_out_settle";
    /// tcx, sixth step: enters a flow.
    pub const TC_ENTER: &str = "fw_out_enter";
    /// tcx: captures a dropped packet.
    pub const TC_CAPTURE: &str = "fw_out_capture";
    /// Runs commands of the agent on the flow table by `BPF_PROG_TEST_RUN`; never attached.
    pub const ADMIN: &str = "fw_admin";

    /// Read-only global, one byte: 1 takes the time from [`crate::control::Control::clock_cell_ticks`].
    pub const CLOCK_FROM_CELL: &str = "CLOCK_FROM_CELL";
    /// Read-only global, one byte: one of [`crate::rehearsal::kind`].
    pub const REHEARSAL: &str = "REHEARSAL";
}

/// Index of the reply builder in `XDP_SLOTS` and `TC_SLOTS`.
pub const REJECT_INDEX: u32 = SLOTS as u32;
/// Index of the program that walks IPv6 extension headers in `XDP_SLOTS` and `TC_SLOTS`.
pub const EXTENSIONS_INDEX: u32 = SLOTS as u32 + 1;
/// Index of the program that draws the conclusions for the flow in `XDP_SLOTS` and `TC_SLOTS`.
pub const SETTLE_INDEX: u32 = SLOTS as u32 + 2;
/// Index of the program that enters flows in `XDP_SLOTS` and `TC_SLOTS`.
pub const ENTER_INDEX: u32 = SLOTS as u32 + 3;
/// Index of the second program of slot 0 in `XDP_SLOTS` and `TC_SLOTS`; those of the other slots follow.
pub const BEFORE_RULES_INDEX: u32 = SLOTS as u32 + 4;
/// Index of the third program of slot 0 in `XDP_SLOTS` and `TC_SLOTS`; those of the other slots follow.
pub const ASK_INDEX: u32 = SLOTS as u32 * 2 + 4;
/// Index of the fourth program of slot 0 in `XDP_SLOTS` and `TC_SLOTS`; those of the other slots follow.
pub const RULES_INDEX: u32 = SLOTS as u32 * 3 + 4;
/// Index of slot 0's program for plain packets in `XDP_SLOTS`; those of the other slots follow.
pub const FIRST_INDEX: u32 = SLOTS as u32 * 4 + 4;
/// Index of the parser in `XDP_SLOTS`.
pub const PARSE_INDEX: u32 = SLOTS as u32 * 5 + 4;
/// Index of the program that captures dropped packets in `XDP_SLOTS` and `TC_SLOTS`.
pub const CAPTURE_INDEX: u32 = SLOTS as u32 * 5 + 5;
/// Entries of `XDP_SLOTS` and `TC_SLOTS`.
pub const PROGRAMS: u32 = SLOTS as u32 * 5 + 6;

/// Programs of slot 0 at ingress and their places in `XDP_SLOTS`; the slot's number is added for the other slots.
pub const XDP_SLOT_PROGRAMS: [(&str, u32); 5] = [
    (names::XDP_FIRST, FIRST_INDEX),
    (names::XDP_JUDGE, 0),
    (names::XDP_BEFORE_RULES, BEFORE_RULES_INDEX),
    (names::XDP_ASK, ASK_INDEX),
    (names::XDP_RULES, RULES_INDEX),
];
/// Programs that all slots share at ingress and their places in `XDP_SLOTS`.
pub const XDP_SHARED_PROGRAMS: [(&str, u32); 6] = [
    (names::XDP_PARSE, PARSE_INDEX),
    (names::XDP_REJECT, REJECT_INDEX),
    (names::XDP_EXTENSIONS, EXTENSIONS_INDEX),
    (names::XDP_SETTLE, SETTLE_INDEX),
    (names::XDP_ENTER, ENTER_INDEX),
    (names::XDP_CAPTURE, CAPTURE_INDEX),
];
/// Programs of slot 0 at egress and their places in `TC_SLOTS`; the slot's number is added for the other slots.
pub const TC_SLOT_PROGRAMS: [(&str, u32); 4] = [
    (names::TC_JUDGE, 0),
    (names::TC_BEFORE_RULES, BEFORE_RULES_INDEX),
    (names::TC_ASK, ASK_INDEX),
    (names::TC_RULES, RULES_INDEX),
];
/// Programs that all slots share at egress and their places in `TC_SLOTS`.
pub const TC_SHARED_PROGRAMS: [(&str, u32); 5] = [
    (names::TC_REJECT, REJECT_INDEX),
    (names::TC_EXTENSIONS, EXTENSIONS_INDEX),
    (names::TC_SETTLE, SETTLE_INDEX),
    (names::TC_ENTER, ENTER_INDEX),
    (names::TC_CAPTURE, CAPTURE_INDEX),
];
