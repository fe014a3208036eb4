//! What lies beneath a root entry of IPv4: the lower 16 bits.

use super::{Entry, Kind, PrefixTables, lanes};

const NONE: u8 = Kind::None as u8;
const ALL: u8 = Kind::All as u8;
const POINTS: u8 = Kind::Points as u8;
const TOGGLES: u8 = Kind::Toggles as u8;
const POINT_LEAVES: u8 = Kind::PointLeaves as u8;
const TOGGLE_LEAVES: u8 = Kind::ToggleLeaves as u8;
const BITMAP: u8 = Kind::Bitmap as u8;
const FEW: u8 = Kind::Few as u8;

/// Whether the lower half of an address is a member.
#[inline(always)]
pub(super) fn contains<T: PrefixTables>(tables: &T, entry: Entry, value: u16) -> bool {
    let kind = entry.kind_number();
    match kind {
        NONE => return false,
        ALL => return true,
        FEW => return lanes::any_of_three(entry.0, value),
        BITMAP => return in_bitmap(tables, entry.first(), value),
        _ => {}
    }
    let mut place = entry.first();
    if matches!(kind, POINT_LEAVES | TOGGLE_LEAVES) {
        let Some(index) = tables.block(place) else {
            return false;
        };
        place += 1 + lanes::count_below(index, value);
    }
    let Some(leaf) = tables.block(place) else {
        return false;
    };
    match kind {
        POINTS | POINT_LEAVES => lanes::any_equal(leaf, value),
        TOGGLES | TOGGLE_LEAVES => lanes::odd_below(leaf, value) != entry.begins_inside(),
        _ => false,
    }
}

#[inline(always)]
fn in_bitmap<T: PrefixTables>(tables: &T, first: u32, value: u16) -> bool {
    let Some(block) = tables.block(first + u32::from(value >> 9)) else {
        return false;
    };
    let word = block.0[usize::from(value >> 6 & 7)];
    word >> (value & 63) & 1 != 0
}
