//! The lower 16 bits of IPv4 addresses, in the form that takes the fewest blocks.

use firewall_common::{
    image::Block,
    prefix_set::{BITMAP_BLOCKS, Entry, Kind, LANES, MAX_LEAVES},
};

use super::{
    Memory,
    arena::{Arena, Full, Group},
};

/// A range of lower halves, first and last.
pub(super) type Range = (u16, u16);

const WHOLE: Range = (0, u16::MAX);
/// Most numbers in leaves.
const MOST: usize = LANES * MAX_LEAVES;

/// Writes ranges (in order, merged) and returns the entry that leads to them.
pub(super) fn write<M: Memory>(arena: &mut Arena<M>, ranges: &[Range]) -> Result<Entry, Full> {
    match ranges {
        [] => return Ok(Entry::NONE),
        [WHOLE] => return Ok(Entry::ALL),
        _ => {}
    }
    let toggles = toggles(ranges);
    let addresses: usize = ranges
        .iter()
        .map(|(first, last)| usize::from(last - first) + 1)
        .sum();
    if addresses <= 3 {
        let mut points = ranges.iter().flat_map(|(first, last)| *first..=*last);
        let first = points.next().unwrap_or_default();
        return Ok(Entry::few([
            first,
            points.next().unwrap_or(first),
            points.next().unwrap_or(first),
        ]));
    }
    let begins_inside = ranges.first().is_some_and(|range| range.0 == 0);
    let (kind, blocks) = if addresses <= MOST && blocks_for(addresses) <= blocks_for(toggles.len()) {
        let points: Vec<u16> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
        let kind = if points.len() > LANES {
            Kind::PointLeaves
        } else {
            Kind::Points
        };
        // A point belongs to the leaf after as many bounds as are below it.
        (kind, in_leaves(&points, |first_of_leaf| first_of_leaf - 1, None))
    } else if toggles.len() <= MOST {
        let kind = if toggles.len() > LANES {
            Kind::ToggleLeaves
        } else {
            Kind::Toggles
        };
        (
            kind,
            in_leaves(&toggles, |first_of_leaf| first_of_leaf, Some(u16::MAX)),
        )
    } else {
        (Kind::Bitmap, bitmap(ranges))
    };
    let group = arena.take(&blocks)?;
    Ok(Entry::new(kind, begins_inside, group.count, group.first))
}

/// Blocks for so many numbers; more than any other form where they do not fit leaves.
const fn blocks_for(numbers: usize) -> usize {
    if numbers <= LANES {
        1
    } else if numbers <= MOST {
        1 + numbers.div_ceil(LANES)
    } else {
        usize::MAX
    }
}

/// The last address before each change of membership.
fn toggles(ranges: &[Range]) -> Vec<u16> {
    let mut toggles = Vec::with_capacity(ranges.len() * 2);
    for (first, last) in ranges {
        toggles.extend(first.checked_sub(1));
        toggles.extend((*last < u16::MAX).then_some(*last));
    }
    toggles
}

/// Sorted numbers as blocks, below an index of each leaf's bound where they are more than one. Unused places are
/// `filling`, or repeat the leaf's first number.
fn in_leaves(numbers: &[u16], bound: fn(u16) -> u16, filling: Option<u16>) -> Vec<Block> {
    let leaf = |numbers: &[u16]| block_of(numbers, filling.or(numbers.first().copied()).unwrap_or(u16::MAX));
    if numbers.len() <= LANES {
        return vec![leaf(numbers)];
    }
    let bounds: Vec<u16> = numbers
        .iter()
        .step_by(LANES)
        .skip(1)
        .map(|first| bound(*first))
        .collect();
    let mut blocks = vec![block_of(&bounds, u16::MAX)];
    blocks.extend(numbers.chunks(LANES).map(leaf));
    blocks
}

fn block_of(numbers: &[u16], filling: u16) -> Block {
    let mut block = Block([0; 8]);
    for place in 0..LANES {
        let number = numbers.get(place).copied().unwrap_or(filling);
        block.0[place / 4] |= u64::from(number) << (place % 4 * 16);
    }
    block
}

fn bitmap(ranges: &[Range]) -> Vec<Block> {
    let mut blocks = vec![Block([0; 8]); BITMAP_BLOCKS as usize];
    for (first, last) in ranges {
        for word in first >> 6..=last >> 6 {
            let from = if word == first >> 6 { first & 63 } else { 0 };
            let to = if word == last >> 6 { last & 63 } else { 63 };
            let bits = u64::MAX >> (63 - (to - from)) << from;
            blocks[usize::from(word >> 3)].0[usize::from(word & 7)] |= bits;
        }
    }
    blocks
}

/// The group that an entry leads to.
pub(super) fn group(entry: Entry) -> Option<Group> {
    let kind = Kind::from_number(entry.kind_number())?;
    (!matches!(kind, Kind::None | Kind::All | Kind::Few)).then(|| Group {
        first: entry.first(),
        count: entry.count(),
    })
}

/// The ranges that an entry stands for, in order, merged.
pub(super) fn read<M: Memory>(memory: &M, entry: Entry) -> Vec<Range> {
    let leaves = |skipped: u32| {
        let blocks = skipped..u32::from(entry.count());
        blocks.map(move |place| memory.block(entry.first() + place))
    };
    let numbers = |skipped| leaves(skipped).flat_map(numbers_of).collect();
    match Kind::from_number(entry.kind_number()) {
        Some(Kind::All) => vec![WHOLE],
        Some(Kind::Few) => of_points(entry.addresses().to_vec()),
        Some(Kind::Points) => of_points(numbers(0)),
        Some(Kind::PointLeaves) => of_points(numbers(1)),
        Some(Kind::Toggles) => of_toggles(numbers(0), entry.begins_inside() != 0),
        Some(Kind::ToggleLeaves) => of_toggles(numbers(1), entry.begins_inside() != 0),
        Some(Kind::Bitmap) => of_bitmap(leaves(0)),
        Some(Kind::None | Kind::Tree) | None => Vec::new(),
    }
}

fn numbers_of(block: Block) -> impl Iterator<Item = u16> {
    (0..LANES).map(move |place| (block.0[place / 4] >> (place % 4 * 16)) as u16)
}

fn of_points(mut points: Vec<u16>) -> Vec<Range> {
    points.sort_unstable();
    let mut ranges = Vec::new();
    for point in points {
        push(&mut ranges, (point, point));
    }
    ranges
}

fn of_toggles(mut toggles: Vec<u16>, begins_inside: bool) -> Vec<Range> {
    toggles.sort_unstable();
    let mut ranges = Vec::new();
    let mut from = begins_inside.then_some(0);
    for toggle in toggles.into_iter().filter(|toggle| *toggle < u16::MAX) {
        match from.take() {
            Some(first) => push(&mut ranges, (first, toggle)),
            None => from = Some(toggle + 1),
        }
    }
    if let Some(first) = from {
        push(&mut ranges, (first, u16::MAX));
    }
    ranges
}

fn of_bitmap(blocks: impl Iterator<Item = Block>) -> Vec<Range> {
    let mut ranges = Vec::new();
    for (place, word) in (0_u32..).zip(blocks.flat_map(|block| block.0)) {
        let mut rest = word;
        while rest != 0 {
            let from = rest.trailing_zeros();
            let span = (rest >> from).trailing_ones();
            let first = place * 64 + from;
            push(&mut ranges, (first as u16, (first + span - 1) as u16));
            rest &= u64::MAX.checked_shl(from + span).unwrap_or(0);
        }
    }
    ranges
}

/// Appends a range that begins no earlier than the last one.
pub(super) fn push(ranges: &mut Vec<Range>, next: Range) {
    match ranges.last_mut() {
        Some(last) if next.0 <= last.1.saturating_add(1) => last.1 = last.1.max(next.1),
        _ => ranges.push(next),
    }
}

/// `ranges` with everything between `first` and `last` replaced by `inside`.
pub(super) fn replaced(ranges: &[Range], (first, last): Range, inside: &[Range]) -> Vec<Range> {
    let mut result = Vec::with_capacity(ranges.len() + inside.len() + 1);
    let before = ranges.iter().filter(|range| range.0 < first);
    for range in before {
        push(&mut result, (range.0, range.1.min(first - 1)));
    }
    for range in inside {
        push(&mut result, *range);
    }
    for range in ranges.iter().filter(|range| range.1 > last) {
        push(&mut result, (range.0.max(last + 1), range.1));
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prefix_set::HeapMemory;

    fn there_and_back(ranges: &[Range]) -> (Entry, Vec<Range>) {
        let mut arena = Arena::new(HeapMemory::new(256));
        let entry = write(&mut arena, ranges).expect("there is room");
        (entry, read(&arena.memory, entry))
    }

    fn kind_of(ranges: &[Range]) -> Option<Kind> {
        let (entry, back) = there_and_back(ranges);
        assert_eq!(back, ranges);
        Kind::from_number(entry.kind_number())
    }

    #[test]
    fn each_shape_takes_the_smallest_form() {
        let apart = |count: u16, span: u16| -> Vec<Range> {
            (0..count)
                .map(|place| (place * 16 + 1, place * 16 + span))
                .collect()
        };
        assert_eq!(kind_of(&[]), Some(Kind::None));
        assert_eq!(kind_of(&[WHOLE]), Some(Kind::All));
        assert_eq!(kind_of(&apart(3, 1)), Some(Kind::Few));
        assert_eq!(kind_of(&[(0, 0), (65_534, u16::MAX)]), Some(Kind::Few));
        assert_eq!(kind_of(&apart(4, 1)), Some(Kind::Points));
        assert_eq!(kind_of(&apart(32, 1)), Some(Kind::Points));
        assert_eq!(kind_of(&apart(16, 9)), Some(Kind::Toggles));
        assert_eq!(kind_of(&[(0, 9_999), (20_000, u16::MAX)]), Some(Kind::Toggles));
        assert_eq!(kind_of(&apart(1024, 1)), Some(Kind::PointLeaves));
        assert_eq!(kind_of(&apart(512, 9)), Some(Kind::ToggleLeaves));
        assert_eq!(kind_of(&apart(1025, 1)), Some(Kind::Bitmap));
        assert_eq!(kind_of(&apart(4096, 15)), Some(Kind::Bitmap));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(cuts in proptest::collection::btree_set(any::<u16>(), 0..3000)) {
            let cuts: Vec<u16> = cuts.into_iter().collect();
            let mut ranges = Vec::new();
            for pair in cuts.chunks_exact(2) {
                push(&mut ranges, (pair[0], pair[1]));
            }
            prop_assert_eq!(there_and_back(&ranges).1, ranges);
        }
    }
}
