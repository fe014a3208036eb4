//! bpfilter's figures. Debian 12 has no package of it; they were measured once on a machine of two processors, in the
//! same way as here, and are scaled by what xdp-filter took there and takes here.

use crate::results::Figure;

/// What stands behind the candidate's figures.
pub(crate) const BPFILTER: &str = "bpfilter";

/// What an empty program took there, in nanoseconds.
const FLOOR: f64 = 29.0;
/// What xdp-filter took there for a packet from one of 10,000 addresses.
const XDP_FILTER: f64 = 93.0;
/// The same over veth, where no floor is subtracted.
const XDP_FILTER_OVER_VETH: f64 = 152.0;

/// A run of its program by itself, for a packet that matches the last rule.
const RULES_V4: [(u16, f64); 5] = [
    (1, 105.0),
    (10, 118.0),
    (100, 151.0),
    (1000, 942.0),
    (5000, 4307.0),
];
const RULES_V6: [(u16, f64); 2] = [(1000, 1683.0), (5000, 7995.0)];
/// A run of its program by itself, for an address of a set.
const SETS: [(u32, f64); 3] = [(10_000, 153.0), (100_000, 183.0), (1_000_000, 464.0)];
/// Frames over veth, dropped by the last rule.
const RULES_OVER_VETH: [(u16, f64); 2] = [(100, 211.0), (1000, 1040.0)];
/// Frames over veth, dropped by a set of addresses.
const SETS_OVER_VETH: [(u32, f64); 2] = [(100_000, 376.0), (1_000_000, 534.0)];
/// Frames over veth, dropped by a set of 100,000 prefixes.
const PREFIXES_OVER_VETH: f64 = 725.0;

/// Net of an empty program, for the last of so many rules; `xdp_filter` is net, too.
pub(crate) fn rules(is_v4: bool, count: u16, xdp_filter: &Figure) -> Option<Figure> {
    let table: &[_] = if is_v4 { &RULES_V4 } else { &RULES_V6 };
    find(table, count).map(|cell| net(cell, xdp_filter))
}

/// Net of an empty program, for an address of a set.
pub(crate) fn set(count: u32, xdp_filter: &Figure) -> Option<Figure> {
    find(&SETS, count).map(|cell| net(cell, xdp_filter))
}

/// Over veth, for the last of so many rules.
pub(crate) fn rules_over_veth(count: u16, xdp_filter: &Figure) -> Option<Figure> {
    find(&RULES_OVER_VETH, count).map(|cell| xdp_filter.scale(XDP_FILTER_OVER_VETH, cell))
}

/// Over veth, for an address of a set.
pub(crate) fn set_over_veth(count: u32, xdp_filter: &Figure) -> Option<Figure> {
    find(&SETS_OVER_VETH, count).map(|cell| xdp_filter.scale(XDP_FILTER_OVER_VETH, cell))
}

/// Over veth, for an address of one of 100,000 prefixes.
pub(crate) fn prefixes_over_veth(xdp_filter: &Figure) -> Figure {
    xdp_filter.scale(XDP_FILTER_OVER_VETH, PREFIXES_OVER_VETH)
}

/// Both net of the floor: what an empty program takes differs with the shim, and would not scale.
fn net(cell: f64, xdp_filter: &Figure) -> Figure {
    xdp_filter.scale(XDP_FILTER - FLOOR, cell - FLOOR)
}

fn find<N: Copy + PartialEq>(table: &[(N, f64)], count: N) -> Option<f64> {
    table
        .iter()
        .find(|(size, _)| *size == count)
        .map(|(_, cell)| *cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_xdp_filter_takes_what_it_took_the_figures_are_those_of_the_table() {
        let same = Figure::of(vec![XDP_FILTER - FLOOR]);
        let of_ten = rules(true, 10, &same).unwrap();
        assert!((of_ten.median - (118.0 - FLOOR)).abs() < 1e-9);
        let twice = Figure::of(vec![2.0 * XDP_FILTER_OVER_VETH]);
        assert!((set_over_veth(100_000, &twice).unwrap().median - 752.0).abs() < 1e-9);
    }

    #[test]
    fn what_the_table_does_not_have_is_not_made_up() {
        let figure = Figure::of(vec![1.0]);
        assert_eq!(rules(true, 10_000, &figure), None);
        assert_eq!(rules(false, 10, &figure), None);
        assert_eq!(set(5, &figure), None);
    }
}
