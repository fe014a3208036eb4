//! The programs' clock.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use firewall_common::control::Control;

/// Set by the loader: 1 takes the time from the control record, for tests and replay.
#[unsafe(no_mangle)]
static CLOCK_FROM_CELL: u8 = 0;

/// The time in ticks. Jiffies cost nothing: the kernel inlines the helper (5.6 and later, 64-bit JITs).
#[inline(always)]
pub(crate) fn now_ticks(control: &Control) -> u32 {
    // SAFETY: a read-only global of this object; volatile, since the loader may change it.
    if unsafe { core::ptr::read_volatile(&raw const CLOCK_FROM_CELL) } != 0 {
        // SAFETY: lies in the control record; the agent may write it at any time.
        return unsafe { core::ptr::read_volatile(&raw const control.clock_cell_ticks) };
    }
    // SAFETY: the helper has no arguments.
    let jiffies = unsafe { bpf_jiffies64() };
    (jiffies >> (control.clock_shift & 63)) as u32
}
