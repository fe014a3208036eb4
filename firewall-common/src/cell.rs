//! The 8-byte cell that says which policy is in force. One store of it switches both hooks on every interface.

/// How packets are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// By the policy.
    Normal = 0,
    /// Only the failsafe passes.
    Panic = 1,
    /// Everything passes, counted.
    Pause = 2,
}

impl Mode {
    /// The mode of this number; unknown ones are panic.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Normal,
            2 => Self::Pause,
            _ => Self::Panic,
        }
    }
}

/// The cell, unpacked. Packed: slot 4 bits, fallback 4, mode 4, confirm flag 1, 19 spare, deadline 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The slot in force until the deadline.
    pub slot: u8,
    /// The slot in force from the deadline on, in normal mode.
    pub fallback: u8,
    /// The mode until the deadline.
    pub mode: Mode,
    /// When the fallback takes over, in ticks; `None` means never.
    pub deadline_ticks: Option<u32>,
}

const HAS_DEADLINE: u64 = 1 << 12;

/// Whether `now` has reached `deadline`, on a clock of 32 bits that wraps.
#[inline(always)]
#[must_use]
pub const fn reached(now_ticks: u32, deadline_ticks: u32) -> bool {
    now_ticks.wrapping_sub(deadline_ticks) < 1 << 31
}

impl Cell {
    /// The value to store.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let head = (self.slot & 0xf) as u64 | ((self.fallback & 0xf) as u64) << 4 | (self.mode as u64) << 8;
        match self.deadline_ticks {
            Some(deadline) => head | HAS_DEADLINE | (deadline as u64) << 32,
            None => head,
        }
    }

    /// The cell that `packed` stands for; an unknown mode is read as panic.
    #[must_use]
    pub const fn unpack(packed: u64) -> Self {
        Self {
            slot: (packed & 0xf) as u8,
            fallback: (packed >> 4 & 0xf) as u8,
            mode: Mode::from_number((packed >> 8 & 0xf) as u8),
            deadline_ticks: if packed & HAS_DEADLINE == 0 {
                None
            } else {
                Some((packed >> 32) as u32)
            },
        }
    }

    /// Slot and mode at `now_ticks`.
    #[inline(always)]
    #[must_use]
    pub const fn effective(packed: u64, now_ticks: u32) -> (u8, Mode) {
        let cell = Self::unpack(packed);
        match cell.deadline_ticks {
            Some(deadline) if reached(now_ticks, deadline) => (cell.fallback, Mode::Normal),
            _ => (cell.slot, cell.mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        let cell = Cell {
            slot: 2,
            fallback: 1,
            mode: Mode::Pause,
            deadline_ticks: Some(u32::MAX),
        };
        assert_eq!(Cell::unpack(cell.pack()), cell);
        let cell = Cell {
            slot: 0,
            fallback: 3,
            mode: Mode::Normal,
            deadline_ticks: None,
        };
        assert_eq!(Cell::unpack(cell.pack()), cell);
    }

    #[test]
    fn falls_back_at_the_deadline_and_not_before() {
        let packed = Cell {
            slot: 2,
            fallback: 1,
            mode: Mode::Panic,
            deadline_ticks: Some(5),
        }
        .pack();
        assert_eq!(Cell::effective(packed, 4), (2, Mode::Panic));
        assert_eq!(Cell::effective(packed, 5), (1, Mode::Normal));
        assert_eq!(
            Cell::effective(packed, u32::MAX),
            (2, Mode::Panic),
            "the clock wraps"
        );
    }
}
