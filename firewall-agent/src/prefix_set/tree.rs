//! The tree beneath a root entry of IPv6. A change copies the nodes from the top to the leaf.

use firewall_common::{
    image::Block,
    prefix_set::{Entry, Kind, MAX_DEPTH, Node},
};

use super::{
    Memory, Prefix,
    arena::{Arena, Full, Group},
};

/// Children of an inner node.
const CHILDREN: usize = 8;

/// How full leaves are made.
#[derive(Debug, Clone, Copy)]
struct Filling {
    narrow: usize,
    wide: usize,
}

const FULL: Filling = Filling { narrow: 7, wide: 3 };
/// Leaves that have overflowed are halved, so that the next few changes fit.
const HALVED: Filling = Filling { narrow: 4, wide: 2 };

/// Which half of the address tells children apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Upper,
    /// Below a node of this half all upper halves are the same.
    Lower,
}

impl Half {
    const fn of(self, address: u128) -> u64 {
        match self {
            Self::Upper => (address >> 64) as u64,
            Self::Lower => address as u64,
        }
    }

    const fn node(self) -> Node {
        match self {
            Self::Upper => Node::Upper,
            Self::Lower => Node::Lower,
        }
    }
}

/// A node that no parent leads to yet. It holds its children.
#[derive(Debug, Clone, Copy)]
struct Loose {
    first: u128,
    block: Block,
}

/// Writes disjoint prefixes, in order, of more than 16 bits and below one root entry.
pub(super) fn write<M: Memory>(arena: &mut Arena<M>, prefixes: &[Prefix]) -> Result<Entry, Full> {
    let nodes = leaves(arena, prefixes, FULL)?;
    top(arena, nodes)
}

/// The prefixes of an entry, in order.
pub(super) fn read<M: Memory>(memory: &M, entry: Entry) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    if is_tree(entry) {
        read_node(memory, &memory.block(entry.first()), MAX_DEPTH, &mut prefixes);
    }
    prefixes
}

/// The prefix of an entry that covers `wanted`.
pub(super) fn covering<M: Memory>(memory: &M, entry: Entry, wanted: &Prefix) -> Option<Prefix> {
    if !is_tree(entry) {
        return None;
    }
    let mut block = memory.block(entry.first());
    for _ in 0..MAX_DEPTH {
        let Some(inner) = Inner::of(&block) else {
            return leaf(&block).into_iter().find(|prefix| prefix.covers(wanted));
        };
        block = memory.block(inner.children.first + inner.place(&block, wanted.first()));
    }
    None
}

/// A new entry where `inside` stands in the place of all that `place` covers. No prefix may cover `place` itself.
pub(super) fn replaced<M: Memory>(
    arena: &mut Arena<M>,
    entry: Entry,
    place: &Prefix,
    inside: &[Prefix],
) -> Result<Entry, Full> {
    if !is_tree(entry) {
        return write(arena, inside);
    }
    let node = borrowed(arena, arena.memory.block(entry.first()));
    let change = Change { place, inside };
    let nodes = changed(arena, node, Half::Upper, &change)?;
    let changed = top(arena, nodes)?;
    if is_tree(changed) && height(&arena.memory.block(changed.first())) < MAX_DEPTH {
        return Ok(changed);
    }
    // Many changes have made it uneven.
    let prefixes = read(&arena.memory, changed);
    release(arena, changed);
    write(arena, &prefixes)
}

/// One less leads to an entry's blocks.
pub(super) fn release<M: Memory>(arena: &mut Arena<M>, entry: Entry) {
    if let Some(group) = group(entry) {
        let_go(arena, group);
    }
}

/// The group of the top node.
pub(super) fn group(entry: Entry) -> Option<Group> {
    is_tree(entry).then(|| Group {
        first: entry.first(),
        count: entry.count(),
    })
}

/// Counts the holders of all groups below an entry into `groups`. False where it is damaged.
pub(super) fn count<M: Memory>(
    arena: &mut Arena<M>,
    group: Group,
    groups: &mut Vec<Group>,
    depth: u32,
) -> bool {
    let Some(is_first) = arena.count(group) else {
        return false;
    };
    if !is_first {
        return true;
    }
    groups.push(group);
    (0..u32::from(group.count)).all(|place| {
        let block = arena.memory.block(group.first + place);
        match (Node::of(&block), Inner::of(&block)) {
            (None, _) => false,
            (_, None) => true,
            (_, Some(inner)) => depth > 0 && count(arena, inner.children, groups, depth - 1),
        }
    })
}

const fn is_tree(entry: Entry) -> bool {
    entry.kind_number() == Kind::Tree as u8
}

/// What an inner node says.
#[derive(Debug, Clone, Copy)]
struct Inner {
    half: Half,
    children: Group,
}

impl Inner {
    fn of(block: &Block) -> Option<Self> {
        let half = match Node::of(block)? {
            Node::Upper => Half::Upper,
            Node::Lower => Half::Lower,
            Node::Narrow | Node::Wide => return None,
        };
        let header = block.0[0];
        Some(Self {
            half,
            children: Group {
                first: (header >> 32) as u32,
                count: (header >> 8) as u16 & 0xff,
            },
        })
    }

    /// Number of the child that an address belongs to.
    fn place(&self, block: &Block, address: u128) -> u32 {
        let half = self.half.of(address);
        let below = block.0[1..].iter().filter(|bound| **bound < half);
        below.count() as u32
    }
}

/// Nodes below this one, itself included.
fn height(block: &Block) -> u32 {
    match Inner::of(block) {
        Some(_) => (block.0[0] >> 16) as u32 & 0xff,
        None => 1,
    }
}

fn read_node<M: Memory>(memory: &M, block: &Block, depth: u32, prefixes: &mut Vec<Prefix>) {
    let Some(inner) = Inner::of(block) else {
        prefixes.extend(leaf(block));
        return;
    };
    if depth == 0 {
        return;
    }
    for place in 0..u32::from(inner.children.count) {
        read_node(
            memory,
            &memory.block(inner.children.first + place),
            depth - 1,
            prefixes,
        );
    }
}

/// The prefixes of a leaf, in order.
fn leaf(block: &Block) -> Vec<Prefix> {
    let [header, words @ ..] = &block.0;
    let byte = |place: usize| (header >> (8 * place)) as u8;
    let mut prefixes: Vec<Prefix> = match Node::of(block) {
        Some(Node::Narrow) => (1..)
            .zip(words)
            .map(|(place, high)| Prefix::new(u128::from(*high) << 64, 64_u8.saturating_sub(byte(place))))
            .collect(),
        Some(Node::Wide) => (1..)
            .zip(words.chunks_exact(2))
            .map(|(place, key)| {
                let address = u128::from(key[0]) << 64 | u128::from(key[1]);
                let (upper, lower) = (byte(place), byte(place + 3));
                Prefix::new(address, 128_u8.saturating_sub(upper).saturating_sub(lower))
            })
            .collect(),
        _ => Vec::new(),
    };
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// A leaf of prefixes that fit it.
fn leaf_of(prefixes: &[Prefix]) -> Block {
    let mut block = Block([0; 8]);
    let Some(first) = prefixes.first() else {
        return block;
    };
    if is_narrow(prefixes) {
        block.0[0] = Node::Narrow as u64;
        for place in 1..=FULL.narrow {
            let prefix = prefixes.get(place - 1).unwrap_or(first);
            block.0[0] |= u64::from(64 - prefix.length) << (8 * place);
            block.0[place] = prefix.high;
        }
    } else {
        block.0[0] = Node::Wide as u64;
        for place in 1..=FULL.wide {
            let prefix = prefixes.get(place - 1).unwrap_or(first);
            let lower = (128 - prefix.length).min(64);
            block.0[0] |= u64::from(128 - prefix.length - lower) << (8 * place);
            block.0[0] |= u64::from(lower) << (8 * (place + 3));
            block.0[2 * place - 1] = prefix.high;
            block.0[2 * place] = prefix.low;
        }
    }
    block
}

fn is_narrow(prefixes: &[Prefix]) -> bool {
    prefixes.iter().all(|prefix| prefix.length <= 64)
}

fn fits(prefixes: &[Prefix], filling: Filling) -> bool {
    prefixes.len() <= filling.wide || (prefixes.len() <= filling.narrow && is_narrow(prefixes))
}

fn loose_leaf(prefixes: &[Prefix]) -> Option<Loose> {
    let first = prefixes.first()?.first();
    Some(Loose {
        first,
        block: leaf_of(prefixes),
    })
}

/// Prefixes as leaves that upper halves tell apart; those that share one are more than a leaf holds only below a node
/// of lower halves.
fn leaves<M: Memory>(
    arena: &mut Arena<M>,
    prefixes: &[Prefix],
    filling: Filling,
) -> Result<Vec<Loose>, Full> {
    let mut nodes = Vec::new();
    let mut leaf_from = 0;
    let mut at = 0;
    while at < prefixes.len() {
        let run = prefixes[at..]
            .iter()
            .take_while(|prefix| prefix.high == prefixes[at].high)
            .count();
        if run > FULL.wide {
            nodes.extend(loose_leaf(&prefixes[leaf_from..at]));
            let lower = lower_leaves(&prefixes[at..at + run], filling);
            nodes.extend(one(arena, lower, Half::Lower)?);
            leaf_from = at + run;
        } else if !fits(&prefixes[leaf_from..at + run], filling) {
            nodes.extend(loose_leaf(&prefixes[leaf_from..at]));
            leaf_from = at;
        }
        at += run;
    }
    nodes.extend(loose_leaf(&prefixes[leaf_from..]));
    Ok(nodes)
}

fn lower_leaves(prefixes: &[Prefix], filling: Filling) -> Vec<Loose> {
    prefixes.chunks(filling.wide).filter_map(loose_leaf).collect()
}

/// The entry of the tree that these nodes make up.
fn top<M: Memory>(arena: &mut Arena<M>, nodes: Vec<Loose>) -> Result<Entry, Full> {
    match one(arena, nodes, Half::Upper)? {
        None => Ok(Entry::NONE),
        Some(node) => {
            let group = arena.take(&[node.block])?;
            Ok(Entry::new(Kind::Tree, false, group.count, group.first))
        }
    }
}

/// One node above these.
fn one<M: Memory>(arena: &mut Arena<M>, mut nodes: Vec<Loose>, half: Half) -> Result<Option<Loose>, Full> {
    while nodes.len() > 1 {
        nodes = parents(arena, &nodes, half)?;
    }
    Ok(nodes.pop())
}

/// Nodes above these, as evenly filled as it goes.
fn parents<M: Memory>(arena: &mut Arena<M>, nodes: &[Loose], half: Half) -> Result<Vec<Loose>, Full> {
    let count = nodes.len().div_ceil(CHILDREN);
    (0..count)
        .map(|number| {
            parent(
                arena,
                &nodes[nodes.len() * number / count..nodes.len() * (number + 1) / count],
                half,
            )
        })
        .collect()
}

fn parent<M: Memory>(arena: &mut Arena<M>, children: &[Loose], half: Half) -> Result<Loose, Full> {
    if let [only] = children {
        return Ok(*only);
    }
    let blocks: Vec<Block> = children.iter().map(|child| child.block).collect();
    let group = arena.take(&blocks)?;
    let height = blocks.iter().map(height).max().unwrap_or(0) + 1;
    let header = half.node() as u64
        | u64::from(group.count) << 8
        | u64::from(height) << 16
        | u64::from(group.first) << 32;
    let mut block = Block([u64::MAX; 8]);
    block.0[0] = header;
    for (place, child) in children.iter().enumerate().skip(1) {
        // Another child begins before it, so that there is an address below.
        block.0[place] = half.of(child.first) - 1;
    }
    Ok(Loose {
        first: children[0].first,
        block,
    })
}

/// What is to change.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    place: &'a Prefix,
    inside: &'a [Prefix],
}

impl Change<'_> {
    fn apply(&self, prefixes: &[Prefix]) -> Vec<Prefix> {
        let kept = prefixes.iter().filter(|prefix| !self.place.covers(prefix));
        let mut result: Vec<Prefix> = kept.chain(self.inside).copied().collect();
        result.sort_unstable();
        result
    }
}

/// The nodes that take the place of one; those of different upper halves stay apart. `within` is the half that tells
/// this node from its neighbours.
fn changed<M: Memory>(
    arena: &mut Arena<M>,
    node: Loose,
    within: Half,
    change: &Change<'_>,
) -> Result<Vec<Loose>, Full> {
    let Some(inner) = Inner::of(&node.block) else {
        return changed_leaf(arena, &node.block, within, change);
    };
    if inner.half == Half::Lower && within == Half::Upper {
        return changed_lower(arena, node, inner, change);
    }
    changed_inner(arena, &node.block, inner, change)
}

fn changed_leaf<M: Memory>(
    arena: &mut Arena<M>,
    block: &Block,
    within: Half,
    change: &Change<'_>,
) -> Result<Vec<Loose>, Full> {
    let prefixes = change.apply(&leaf(block));
    let filling = if fits(&prefixes, FULL) { FULL } else { HALVED };
    match within {
        Half::Upper => leaves(arena, &prefixes, filling),
        Half::Lower => Ok(lower_leaves(&prefixes, filling)),
    }
}

/// The topmost node of lower halves; what has another upper half comes beside it.
fn changed_lower<M: Memory>(
    arena: &mut Arena<M>,
    node: Loose,
    inner: Inner,
    change: &Change<'_>,
) -> Result<Vec<Loose>, Full> {
    let of_node = Prefix::new(first_of(arena, &node.block), 64);
    if change.place.covers(&of_node) {
        let_go(arena, inner.children);
        return leaves(arena, change.inside, FULL);
    }
    if of_node.covers(change.place) {
        let nodes = changed_inner(arena, &node.block, inner, change)?;
        return Ok(one(arena, nodes, Half::Lower)?.into_iter().collect());
    }
    let mut nodes = leaves(arena, change.inside, FULL)?;
    let before = nodes
        .iter()
        .take_while(|other| other.first < of_node.first())
        .count();
    nodes.insert(
        before,
        Loose {
            first: of_node.first(),
            ..node
        },
    );
    Ok(nodes)
}

fn changed_inner<M: Memory>(
    arena: &mut Arena<M>,
    block: &Block,
    inner: Inner,
    change: &Change<'_>,
) -> Result<Vec<Loose>, Full> {
    let mut children = open(arena, inner.children);
    let from = inner.place(block, change.place.first()) as usize;
    let to = inner.place(block, change.place.last()) as usize;
    let new = if from == to {
        changed(arena, children[from], inner.half, change)?
    } else {
        let mut prefixes = Vec::new();
        for child in &children[from..=to] {
            read_node(&arena.memory, &child.block, MAX_DEPTH, &mut prefixes);
            drop_node(arena, &child.block);
        }
        let prefixes = change.apply(&prefixes);
        match inner.half {
            Half::Upper => leaves(arena, &prefixes, FULL)?,
            Half::Lower => lower_leaves(&prefixes, FULL),
        }
    };
    children.splice(from..=to, new);
    parents(arena, &children, inner.half)
}

/// Takes over the nodes of a group, in the place of one of its holders.
fn open<M: Memory>(arena: &mut Arena<M>, group: Group) -> Vec<Loose> {
    let nodes = (0..u32::from(group.count)).map(|place| arena.memory.block(group.first + place));
    let nodes: Vec<Block> = nodes.collect();
    let nodes = nodes.into_iter().map(|block| borrowed(arena, block)).collect();
    let_go(arena, group);
    nodes
}

/// A node of which another copy stays where it is: its children have one more holder.
fn borrowed<M: Memory>(arena: &mut Arena<M>, block: Block) -> Loose {
    if let Some(inner) = Inner::of(&block) {
        arena.hold(inner.children.first);
    }
    Loose {
        first: first_of(arena, &block),
        block,
    }
}

fn drop_node<M: Memory>(arena: &mut Arena<M>, block: &Block) {
    if let Some(inner) = Inner::of(block) {
        let_go(arena, inner.children);
    }
}

fn let_go<M: Memory>(arena: &mut Arena<M>, group: Group) {
    if arena.let_go(group) {
        for place in 0..u32::from(group.count) {
            let block = arena.memory.block(group.first + place);
            drop_node(arena, &block);
        }
    }
}

/// The first address below a node.
fn first_of<M: Memory>(arena: &Arena<M>, block: &Block) -> u128 {
    let mut block = *block;
    for _ in 0..MAX_DEPTH {
        let Some(inner) = Inner::of(&block) else { break };
        block = arena.memory.block(inner.children.first);
    }
    leaf(&block).first().map_or(0, Prefix::first)
}
