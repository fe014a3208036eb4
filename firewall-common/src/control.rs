//! What every packet reads: one entry of one array, at a constant index.

use bytemuck::{Pod, Zeroable};

use crate::{abi::SLOTS, capture::VIEWERS, cell::reached, flow::STATES};

/// Settings of one slot that the path of a live flow needs. Written while the slot is neither in force nor a fallback.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct SlotControl {
    /// Number of this judgement, unique over all generations and bans; zero is none. A flow that carries another
    /// epoch is judged again.
    pub epoch: u32,
    /// Bits of [`slot_flags`].
    pub flags: u32,
    /// Failsafe TCP ports, as [`crate::image::ImageHeader::management_ports`].
    pub management_ports: [u16; 4],
    /// Idle time of a flow in ticks, by [`crate::flow::State`].
    pub timeouts_ticks: [u32; STATES],
}

/// Bits of [`SlotControl::flags`].
pub mod slot_flags {
    /// The slot holds a policy.
    pub const LOADED: u32 = 1;
    /// The slot has block lists.
    pub const LISTS: u32 = 1 << 1;
}

/// The control record.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Control {
    /// [`crate::cell::Cell`], packed.
    pub cell: u64,
    /// Secret of the flow table's hash, drawn when the map is made.
    pub seed: [u64; 4],
    /// [`crate::abi::ABI_VERSION`] of whoever made the maps.
    pub abi_version: u32,
    /// Ticks are jiffies shifted right by so many bits (see [`ClockScale`]).
    pub clock_shift: u32,
    /// The clock in ticks when the programs were loaded with the clock cell on (tests, replay).
    pub clock_cell_ticks: u32,
    /// Buckets of the table of assured flows, less one; a power of two less one.
    pub flow_mask: u32,
    /// Buckets of the table of half-open flows, less one; a power of two less one.
    pub half_flow_mask: u32,
    /// Prefixes in the ban tables; at zero they are not looked at.
    pub bans: u32,
    /// By slot.
    pub slots: [SlotControl; SLOTS],
    /// Until when dropped packets are handed to anybody, in ticks; zero is not at all. Which packets stands in a map of
    /// its own.
    pub capture_until_ticks: u32,
    /// Spare.
    pub reserved: u32,
    /// The same for each [`crate::capture::Viewer`]: only the program that hands packets on asks for it.
    pub viewer_until_ticks: [u32; VIEWERS],
}

impl Control {
    /// With flow tables of so many buckets, powers of two.
    #[must_use]
    pub const fn with_flow_tables(mut self, buckets: u32, half_buckets: u32) -> Self {
        self.flow_mask = buckets - 1;
        self.half_flow_mask = half_buckets - 1;
        self
    }
}

/// Whether dropped packets are captured now, by [`Control::capture_until_ticks`] or a viewer's word.
#[inline(always)]
#[must_use]
pub const fn is_capturing(until_ticks: u32, now_ticks: u32) -> bool {
    until_ticks != 0 && !reached(now_ticks, until_ticks)
}

/// [`Control::capture_until_ticks`] for these words of the viewers: when the last of them ends that has not ended yet.
#[must_use]
pub const fn last_viewer(until_ticks: [u32; VIEWERS], now_ticks: u32) -> u32 {
    let [one, other] = until_ticks;
    match (is_capturing(one, now_ticks), is_capturing(other, now_ticks)) {
        (true, true) if reached(one, other) => one,
        (true, false) => one,
        (_, true) => other,
        (false, false) => 0,
    }
}

/// The length of a tick. Ticks count in 32 bits; at 64 to 80 ms they wrap after eight years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockScale {
    /// Jiffies in a second (`CONFIG_HZ`).
    pub jiffies_per_second: u32,
    /// Bits that a jiffy count is shifted by.
    pub shift: u32,
}

impl ClockScale {
    /// That of most kernels.
    pub const TYPICAL: Self = Self::for_hz(250);

    /// The scale for a kernel of this `CONFIG_HZ`.
    #[must_use]
    pub const fn for_hz(jiffies_per_second: u32) -> Self {
        let shift = match jiffies_per_second {
            0..=149 => 3,
            150..=399 => 4,
            400..=799 => 5,
            _ => 6,
        };
        Self {
            jiffies_per_second,
            shift,
        }
    }

    /// Ticks that cover at least so many seconds.
    #[must_use]
    pub const fn ticks(self, seconds: u32) -> u32 {
        let jiffies = seconds as u64 * self.jiffies_per_second as u64;
        let ticks = jiffies.div_ceil(1 << self.shift);
        if ticks > 1 << 30 { 1 << 30 } else { ticks as u32 }
    }

    /// Milliseconds in so many ticks.
    #[must_use]
    pub const fn milliseconds(self, ticks: u32) -> u64 {
        ((ticks as u64) << self.shift) * 1000 / self.jiffies_per_second as u64
    }
}

const _: () = assert!(size_of::<SlotControl>() == 16 + 4 * STATES && size_of::<Control>().is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_ends_by_itself() {
        assert!(!is_capturing(0, 5), "there is none");
        assert!(is_capturing(6, 5) && !is_capturing(5, 5) && !is_capturing(4, 5));
        assert!(is_capturing(1, u32::MAX), "the clock wraps");
    }

    #[test]
    fn whoever_looks_the_longest_says_when_it_ends() {
        for (until, last) in [
            ([0, 0], 0),
            ([5, 4], 0),
            ([6, 0], 6),
            ([4, 6], 6),
            ([8, 6], 8),
            ([6, 8], 8),
            ([u32::MAX, 9], 9),
        ] {
            assert_eq!(last_viewer(until, 5), last, "{until:?}");
        }
        assert_eq!(last_viewer([u32::MAX, 9], u32::MAX - 1), 9, "the clock wraps");
    }

    #[test]
    fn a_tick_is_about_a_sixteenth_of_a_second() {
        for hz in [100, 250, 300, 1000] {
            let scale = ClockScale::for_hz(hz);
            assert!((50..=85).contains(&scale.milliseconds(1)), "{hz}");
            assert!(
                scale.milliseconds(scale.ticks(240)) >= 240_000,
                "never shorter than asked: {hz}"
            );
            assert!(scale.milliseconds(scale.ticks(240)) < 240_100);
        }
    }
}
