//! What both hooks read of the control record.

use aya_ebpf::maps::Array;
use firewall_common::{
    abi::SLOTS,
    cell::{Cell, Mode},
    control::{Control, SlotControl},
    headers::Headers,
    interface::{INTERFACE_ENTRIES, INTERFACE_PROBES, InterfaceRecord},
    opaque::masked,
};

use crate::{clock, maps::INTERFACES};

/// The policy in force for one packet.
pub(crate) struct InForce<'a> {
    pub(crate) control: &'a Control,
    pub(crate) slot: &'a SlotControl,
    pub(crate) number: u8,
    pub(crate) mode: Mode,
    pub(crate) now_ticks: u32,
}

/// Reads the cell once; everything else follows from it.
#[inline(always)]
pub(crate) fn in_force(control: &'static Array<Control>) -> Option<InForce<'static>> {
    let control = control.get(0)?;
    let now_ticks = clock::now_ticks(control);
    // SAFETY: lies in the control record; the agent may write it at any time.
    let cell = unsafe { core::ptr::read_volatile(&raw const control.cell) };
    let (number, mode) = Cell::effective(cell, now_ticks);
    let slot = settings(control, number)?;
    Some(InForce {
        control,
        slot,
        number,
        mode,
        now_ticks,
    })
}

/// What the entry program found in force for a packet.
#[inline(always)]
pub(crate) fn of_packet(
    control: &'static Array<Control>,
    number: u8,
    mode: Mode,
) -> Option<InForce<'static>> {
    let control = control.get(0)?;
    let slot = settings(control, number)?;
    Some(InForce {
        control,
        slot,
        number,
        mode,
        now_ticks: clock::now_ticks(control),
    })
}

/// As [`of_packet`], for a packet that has been parsed.
#[inline(always)]
pub(crate) fn of_headers(control: &'static Array<Control>, headers: &Headers) -> Option<InForce<'static>> {
    of_packet(control, headers.policy_slot, Mode::from_number(headers.mode))
}

/// The settings of a slot. The index is masked after its check: kernels before 6.8 forget what the check has said of
/// copies on the stack.
#[inline(always)]
fn settings(control: &'static Control, slot: u8) -> Option<&'static SlotControl> {
    if usize::from(slot) >= SLOTS {
        return None;
    }
    control
        .slots
        .get(masked::<{ SLOTS as u32 - 1 }>(usize::from(slot)))
}

/// What is known of an interface; an interface without a record is the unnamed one.
#[inline(always)]
pub(crate) fn interface(index: u32) -> InterfaceRecord {
    let mut probe = 0;
    while probe < INTERFACE_PROBES {
        if let Some(record) = INTERFACES.get(index.wrapping_add(probe) & (INTERFACE_ENTRIES - 1))
            && record.index == index
        {
            return *record;
        }
        probe += 1;
    }
    InterfaceRecord {
        index,
        slot: 0,
        link_type: 0,
        reserved: 0,
    }
}
