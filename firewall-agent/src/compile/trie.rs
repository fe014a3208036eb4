//! Lays out tries (see [`firewall_common::image::node`]).
//!
//! A node stands for all keys of one prefix. Where few intervals meet it, it is a list of their starts; where their
//! starts share a longer prefix, a list of three leads past it; else it is a table by the next eight bits.

use std::ops::Range;

use firewall_common::image::{Block, node};

use super::{CompileError, pool::Pool};

/// Intervals from which on the root of an IPv4 trie is a table by sixteen bits, a quarter of a mebibyte.
const WIDE_FROM: usize = 257;

/// What the nodes of a trie look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Bits of a key.
    bits: u32,
    /// Most intervals in a list; zero where there are no lists: few tables by eight bits are small enough.
    listed: usize,
    /// Shift of a list's reference.
    list_shift: u32,
    /// Kind of a table by eight bits.
    table: u32,
}

impl Shape {
    pub(super) const PORT: Self = Self {
        bits: 16,
        listed: 0,
        list_shift: 0,
        table: node::BYTE,
    };
    pub(super) const SERVICE: Self = Self {
        bits: 24,
        ..Self::PORT
    };
    pub(super) const IPV4: Self = Self {
        bits: 32,
        listed: 16,
        ..Self::PORT
    };
    const IPV6_HIGH: Self = Self {
        bits: 64,
        listed: 8,
        ..Self::PORT
    };
    const IPV6_LOW: Self = Self {
        list_shift: 1,
        table: node::LOW_BYTE,
        ..Self::IPV6_HIGH
    };
}

/// Lays a trie over consecutive intervals, which start at 0; returns the reference to its root.
pub(super) fn lay(
    pool: &mut Pool,
    shape: Shape,
    starts: &[u64],
    leaves: &[u32],
) -> Result<u32, CompileError> {
    let mut layer = Layer {
        pool,
        shape,
        starts,
        leaves,
    };
    if shape.bits == 32 && starts.len() >= WIDE_FROM {
        return layer.table(Prefix { from: 0, bits: 0 }, 0..starts.len(), 16);
    }
    layer.node(Prefix { from: 0, bits: 0 }, 0..starts.len())
}

/// As [`lay`], of IPv6 addresses: a trie over the upper halves, in which each half that is divided further leads to a
/// trie over the lower halves.
pub(super) fn lay_v6(pool: &mut Pool, starts: &[u128], leaves: &[u32]) -> Result<u32, CompileError> {
    let half = |number: u128| u64::try_from(number & u128::from(u64::MAX)).expect("64 bits");
    let (mut highs, mut refs) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < starts.len() {
        let high = half(starts[at] >> 64);
        let same = starts[at..].partition_point(|&start| half(start >> 64) == high);
        let mut lows: Vec<u64> = starts[at..at + same].iter().map(|&start| half(start)).collect();
        let mut inside = leaves[at..at + same].to_vec();
        if lows[0] != 0 {
            // What holds before goes on up to the first start.
            lows.insert(0, 0);
            inside.insert(0, leaves[at - 1]);
        }
        highs.push(high);
        refs.push(lay(pool, Shape::IPV6_LOW, &lows, &inside)?);
        at += same;
        let next = starts.get(at).map(|&start| half(start >> 64));
        // The half after a divided one goes on as that ends.
        if lows.len() > 1
            && let Some(after) = high.checked_add(1)
            && next != Some(after)
        {
            highs.push(after);
            refs.push(leaves[at - 1]);
        }
    }
    lay(pool, Shape::IPV6_HIGH, &highs, &refs)
}

/// All keys that share their first `bits` bits with `from`, the lowest of them.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    from: u64,
    bits: u32,
}

struct Layer<'a> {
    pool: &'a mut Pool,
    shape: Shape,
    starts: &'a [u64],
    leaves: &'a [u32],
}

impl Layer<'_> {
    /// The reference to the node of a prefix that these intervals meet.
    fn node(&mut self, prefix: Prefix, intervals: Range<usize>) -> Result<u32, CompileError> {
        if intervals.len() == 1 {
            return Ok(self.leaves[intervals.start]);
        }
        if intervals.len() <= self.shape.listed {
            let starts = &self.starts[intervals.clone()];
            return self.list(starts, &self.leaves[intervals]);
        }
        match self.shared(prefix, &intervals) {
            Some(inner) => self.skip(prefix, inner, intervals),
            None => self.table(prefix, intervals, 8),
        }
    }

    /// The last key of a prefix.
    fn last(&self, prefix: Prefix) -> u64 {
        prefix.from | low_bits(self.shape.bits - prefix.bits)
    }

    /// A prefix that is longer by two tables at least and holds the starts of all these intervals but the first; the
    /// last may start right behind it.
    fn shared(&self, prefix: Prefix, intervals: &Range<usize>) -> Option<Prefix> {
        if self.shape.listed == 0 {
            return None;
        }
        let first = self.starts[intervals.start + 1];
        let last = self.starts[intervals.end - 1] - 1;
        let bits = ((first ^ last).leading_zeros() + self.shape.bits - 64) & !7;
        (bits >= prefix.bits + 16).then(|| Prefix {
            from: first & !low_bits(self.shape.bits - bits),
            bits,
        })
    }

    /// A list of what is before `inner`, in it, and behind it.
    fn skip(&mut self, prefix: Prefix, inner: Prefix, intervals: Range<usize>) -> Result<u32, CompileError> {
        let (mut starts, mut refs) = (Vec::new(), Vec::new());
        if inner.from > prefix.from {
            starts.push(prefix.from);
            refs.push(self.leaves[intervals.start]);
        }
        let end = self.last(inner);
        starts.push(inner.from);
        refs.push(self.node(inner, self.meeting(&intervals, inner.from, end))?);
        if end < self.last(prefix) {
            starts.push(end + 1);
            refs.push(self.leaves[intervals.end - 1]);
        }
        self.list(&starts, &refs)
    }

    /// Those of the intervals that meet a range, whose start is in one of them.
    fn meeting(&self, intervals: &Range<usize>, from: u64, to: u64) -> Range<usize> {
        let starts = &self.starts[intervals.clone()];
        let first = intervals.start + starts.partition_point(|&start| start <= from).max(1) - 1;
        first..self.end_of(first, to)
    }

    /// The first interval behind `first` that starts behind `to`. It is mostly near.
    fn end_of(&self, first: usize, to: u64) -> usize {
        let behind = &self.starts[first + 1..];
        let mut window = 1;
        while behind.get(window - 1).is_some_and(|&start| start <= to) {
            window *= 2;
        }
        let window = &behind[..window.min(behind.len())];
        first + 1 + window.partition_point(|&start| start <= to)
    }

    fn list(&mut self, starts: &[u64], refs: &[u32]) -> Result<u32, CompileError> {
        let last = *starts.last().expect("a list is not empty");
        let keys = starts.iter().copied().chain(std::iter::repeat(last));
        let keys = if self.shape.bits == 64 {
            Block(array(keys))
        } else {
            let narrow = keys.map(|key| u32::try_from(key).expect("at most 32 bits"));
            Block(bytemuck::cast(array::<u32, 16>(narrow)))
        };
        let last = *refs.last().expect("as many as starts");
        let refs = refs.iter().copied().chain(std::iter::repeat(last));
        let refs = Block(bytemuck::cast(array::<u32, 16>(refs)));
        let at = self.pool.intern(&[keys, refs])?;
        Ok(node::new(node::RANK, self.shape.list_shift, at))
    }

    /// A table by the next bits of the key.
    fn table(&mut self, prefix: Prefix, intervals: Range<usize>, by_bits: u32) -> Result<u32, CompileError> {
        let shift = self.shape.bits - prefix.bits - by_bits;
        let mut refs = Vec::with_capacity(1 << by_bits);
        let mut at = intervals.start;
        for number in 0..1u64 << by_bits {
            let part = Prefix {
                from: prefix.from | number << shift,
                bits: prefix.bits + by_bits,
            };
            // The parts go on where the last one ended.
            if self.starts.get(at + 1).is_some_and(|&start| start <= part.from) {
                at += 1;
            }
            let meeting = at..self.end_of(at, self.last(part));
            at = meeting.end - 1;
            refs.push(self.node(part, meeting)?);
        }
        let blocks: Vec<Block> = refs
            .chunks_exact(16)
            .map(|refs| Block(bytemuck::cast(array::<u32, 16>(refs.iter().copied()))))
            .collect();
        let first = self.pool.intern(&blocks)?;
        let kind = if by_bits == 8 {
            self.shape.table
        } else {
            node::WIDE
        };
        Ok(node::new(kind, shift, first))
    }
}

/// The lowest so many bits.
const fn low_bits(bits: u32) -> u64 {
    if bits == 0 { 0 } else { u64::MAX >> (64 - bits) }
}

fn array<T: Default + Copy, const N: usize>(numbers: impl Iterator<Item = T>) -> [T; N] {
    let mut places = [T::default(); N];
    for (place, number) in places.iter_mut().zip(numbers) {
        *place = number;
    }
    places
}

#[cfg(test)]
mod tests {
    use firewall_common::{
        address::{Address, Family},
        tables::SliceImage,
        trie::{find_address, find_number},
    };

    use super::{super::key::Key, *};

    fn pool() -> Pool {
        let mut pool = Pool::new();
        pool.append(&[Block([0; 8])]).expect("there is room");
        pool
    }

    fn address(number: u128) -> Address {
        Address {
            high: u64::try_from(number >> 64).expect("64 bits"),
            low: u64::try_from(number & u128::from(u64::MAX)).expect("64 bits"),
        }
    }

    /// Looks every interval up at both its ends, and the one before it at its last key.
    fn finds_all<K: Key>(
        starts: &[K],
        find: impl Fn(&SliceImage<'_>, u32, K) -> Option<u32>,
        before: impl Fn(K) -> K,
    ) {
        let mut pool = pool();
        let leaves: Vec<u32> = (1000..).take(starts.len()).collect();
        let root = K::lay(&mut pool, starts, &leaves).expect("there is room");
        let blocks = pool.into_blocks();
        let image = SliceImage(&blocks);
        for (place, &start) in starts.iter().enumerate() {
            assert_eq!(
                find(&image, root, start),
                Some(leaves[place]),
                "start {place} of {}",
                starts.len()
            );
            if place > 0 {
                assert_eq!(
                    find(&image, root, before(start)),
                    Some(leaves[place - 1]),
                    "before {place}"
                );
            }
        }
    }

    fn v4(starts: &[u32]) {
        finds_all(
            starts,
            |image, root, key| find_number(image, root, key),
            |key| key - 1,
        );
    }

    fn v6(starts: &[u128]) {
        let find = |image: &SliceImage<'_>, root, key| find_address(image, root, Family::V6, &address(key));
        finds_all(starts, find, |key| key - 1);
    }

    /// So many numbers, each a random multiple of one of several powers of two.
    fn numbers(count: usize, bits: u32) -> Vec<u128> {
        let mut random = 7u128;
        let mut numbers = vec![0];
        for _ in 0..count {
            random = random
                .wrapping_mul(0xda94_2042_e4dd_58b5)
                .wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (random ^ random >> 61).wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645);
            let shift = u32::try_from(random >> 100 & 7).expect("three bits") * bits / 8;
            numbers.push((mixed >> (128 - bits)) >> shift << shift);
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    #[test]
    fn every_interval_is_found_at_its_edges() {
        for count in [0, 1, 2, 7, 8, 9, 15, 16, 17, 100, 255, 256, 300, 5000] {
            let narrow: Vec<u32> = numbers(count, 32)
                .into_iter()
                .map(|number| u32::try_from(number).expect("32 bits"))
                .collect();
            v4(&narrow);
            v6(&numbers(count, 128));
            // All below one prefix.
            let base = 0x2001_0db8u128 << 96;
            let mut near: Vec<u128> = numbers(count, 64)
                .iter()
                .map(|number| base | number << 16)
                .collect();
            near.insert(0, 0);
            v6(&near);
            let mut near: Vec<u32> = (0..u32::try_from(count).expect("small"))
                .map(|n| 0x0a01_0200 + n)
                .collect();
            near.insert(0, 0);
            v4(&near);
        }
    }

    #[test]
    fn the_ends_of_the_key_spaces() {
        v4(&[0, 1, u32::MAX - 1, u32::MAX]);
        v6(&[
            0,
            1,
            u128::from(u64::MAX),
            1 << 64,
            (1 << 64) + 1,
            u128::MAX - 1,
            u128::MAX,
        ]);
        let every: Vec<u128> = (0..64).map(|bit| u128::MAX << (127 - bit)).collect();
        v6(&[vec![0], every].concat());
        let nested: Vec<u128> = (0..128).map(|bit| 1 << bit).collect();
        v6(&[vec![0], nested].concat());
        let ports: Vec<u16> = vec![0, 1, 255, 256, 257, 1024, u16::MAX];
        finds_all(
            &ports,
            |image, root, key| find_number(image, root, key.into()),
            |key| key - 1,
        );
    }

    #[test]
    fn a_key_beside_a_skipped_prefix_is_not_in_it() {
        // Nine intervals and more below one /32, and the space before and behind it.
        let base = 0x2001_0db8u128 << 96;
        let mut starts = vec![0];
        starts.extend((1..40u128).map(|number| base | number << 80));
        starts.push(base + (1 << 96));
        v6(&starts);
    }
}
