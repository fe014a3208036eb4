//! Finds rules that never decide, because earlier rules take all their packets.
//!
//! Whether one earlier rule takes all packets of a later one is decided exactly, as long as each kind of packet of the
//! later rule (protocol and family) is taken whole by one kind of the earlier. Whether several earlier rules do so
//! together is decided exactly where at most [`MAX_CANDIDATES`] earlier rules can overlap the later one and the rest
//! never falls into more than [`MAX_REST`] parts; beyond that nothing is reported. Interface patterns are compared by
//! [`Piece::covers_interfaces_of`]. A rule that is reported never decides; one that is not reported may still not.

mod interval;
mod piece;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use self::{
    interval::IntervalIndex,
    piece::{Cutter, FIELDS, Piece, Plane},
};
use super::model::Rule;

/// With more earlier rules than this that may overlap, a union is not looked for.
const MAX_CANDIDATES: usize = 256;
/// With more parts left over than this, a union is not looked for.
const MAX_REST: usize = 128;

/// So many ranges of a field are looked at for a sample packet that few rules take.
const MAX_EDGES: usize = 8;

/// Why a rule never decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cover {
    /// An earlier rule matches exactly the same packets.
    Same(usize),
    /// An earlier rule matches these packets and more.
    One(usize),
    /// Several earlier rules together match these packets.
    Several(Vec<usize>),
}

/// The rules that never decide, each with the reason, by index.
pub(super) fn covered(rules: &[Rule]) -> BTreeMap<usize, Cover> {
    let mut search = Search::new(rules);
    let mut covers = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let cover = search.cover_of(index);
        // What this rule takes the other one takes too: no need to look at this one later. A rule that ends leaves its
        // packets to others.
        if !matches!(cover, Some(Cover::Same(_) | Cover::One(_))) && rule.term.is_none() {
            search.switch_on(index);
        }
        covers.extend(cover.map(|cover| (index, cover)));
    }
    covers
}

/// All rules in pieces.
struct Search<'a> {
    planes: BTreeMap<Plane, Indexed<'a>>,
    /// For each rule, the planes and indices of its pieces.
    cut: Vec<Vec<(Plane, usize)>>,
}

impl<'a> Search<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let cutter = Cutter::new();
        let mut planes: BTreeMap<Plane, Vec<Piece<'a>>> = BTreeMap::new();
        let mut cut = vec![Vec::new(); rules.len()];
        for (index, rule) in rules.iter().enumerate() {
            for (plane, piece) in cutter.pieces(index, rule) {
                let pieces = planes.entry(plane).or_default();
                cut[index].push((plane, pieces.len()));
                pieces.push(piece);
            }
        }
        let planes = planes
            .into_iter()
            .map(|(plane, pieces)| (plane, Indexed::new(pieces)))
            .collect();
        Self { planes, cut }
    }

    /// Lets the rule take packets of those that follow.
    fn switch_on(&mut self, rule: usize) {
        for (plane, at) in &self.cut[rule] {
            if let Some(indexed) = self.planes.get_mut(plane) {
                indexed.fields.iter_mut().for_each(|field| field.switch_on(*at));
            }
        }
    }

    /// Why the rule never decides, given the rules that are switched on.
    fn cover_of(&self, rule: usize) -> Option<Cover> {
        let (plane, first) = self.cut[rule].first()?;
        let takers = self.planes[plane].taking_sample(*first);
        if takers.is_empty() {
            return None;
        }
        let whole: Vec<usize> = takers
            .into_iter()
            .filter(|taker| self.covers(*taker, rule))
            .collect();
        if let Some(same) = whole.iter().find(|taker| self.covers(rule, **taker)) {
            return Some(Cover::Same(*same));
        }
        match whole.first() {
            Some(one) => Some(Cover::One(*one)),
            None => self.union_cover(rule),
        }
    }

    /// Whether each piece of the one rule is taken by a piece of the other.
    fn covers(&self, whole: usize, part: usize) -> bool {
        self.cut[part].iter().all(|(plane, at)| {
            let pieces = &self.planes[plane].pieces;
            self.cut[whole]
                .iter()
                .any(|(other, taker)| other == plane && pieces[*taker].covers(&pieces[*at]))
        })
    }

    fn union_cover(&self, rule: usize) -> Option<Cover> {
        let mut several = BTreeSet::new();
        for (plane, at) in &self.cut[rule] {
            several.extend(self.planes[plane].union_cover(*at)?);
        }
        Some(Cover::Several(several.into_iter().collect()))
    }
}

/// The pieces of one plane in the order of their rules, with an index for each field.
#[derive(Debug)]
struct Indexed<'a> {
    pieces: Vec<Piece<'a>>,
    fields: [IntervalIndex; FIELDS],
}

impl<'a> Indexed<'a> {
    fn new(pieces: Vec<Piece<'a>>) -> Self {
        let fields =
            std::array::from_fn(|field| IntervalIndex::new(pieces.iter().map(|piece| piece.field(field))));
        Self { pieces, fields }
    }

    /// A packet of the piece that few other pieces take: of each field the edge that lies in the fewest intervals.
    fn sample(&self, piece: &Piece<'_>) -> [u128; FIELDS] {
        std::array::from_fn(|field| {
            let edges = piece
                .field(field)
                .iter()
                .take(MAX_EDGES)
                .flat_map(|range| [*range.start(), *range.end()]);
            edges
                .min_by_key(|edge| self.fields[field].count(&(*edge..=*edge)))
                .unwrap_or_default()
        })
    }

    /// The field in which the fewest intervals overlap the given bounds.
    fn narrowest(&self, bounds: &[RangeInclusive<u128>; FIELDS]) -> usize {
        (0..FIELDS)
            .min_by_key(|field| self.fields[*field].count(&bounds[*field]))
            .unwrap_or(0)
    }

    /// The rules that take a sample packet of this piece, wherever this one holds; in their order.
    fn taking_sample(&self, at: usize) -> BTreeSet<usize> {
        let piece = &self.pieces[at];
        let sample = self.sample(piece);
        let bounds = sample.map(|value| value..=value);
        let field = self.narrowest(&bounds);
        self.fields[field]
            .overlapping(&bounds[field])
            .map(|candidate| &self.pieces[candidate])
            .filter(|earlier| earlier.contains(&sample) && earlier.covers_interfaces_of(piece))
            .map(|earlier| earlier.rule)
            .collect()
    }

    /// The rules that together take the whole piece, if they are found to do so.
    fn union_cover(&self, at: usize) -> Option<BTreeSet<usize>> {
        let piece = &self.pieces[at];
        let bounds = std::array::from_fn(|field| piece.bounds(field));
        let field = self.narrowest(&bounds);
        let mut candidates: Vec<_> = self.fields[field]
            .overlapping(&bounds[field])
            .take(MAX_CANDIDATES + 1)
            .collect();
        if candidates.len() > MAX_CANDIDATES {
            return None;
        }
        candidates.sort_unstable();
        candidates.dedup();
        let mut rest = vec![piece.clone()];
        let mut takers = BTreeSet::new();
        for earlier in candidates.into_iter().map(|candidate| &self.pieces[candidate]) {
            if !earlier.covers_interfaces_of(piece) {
                continue;
            }
            if subtract(&mut rest, earlier) {
                takers.insert(earlier.rule);
            }
            if rest.is_empty() {
                return Some(takers);
            }
            if rest.len() > MAX_REST {
                return None;
            }
        }
        None
    }
}

/// Takes the packets of `earlier` out of `rest`; false if none was in it.
fn subtract<'a>(rest: &mut Vec<Piece<'a>>, earlier: &Piece<'a>) -> bool {
    let mut taken = false;
    let mut left = Vec::with_capacity(rest.len());
    for piece in rest.drain(..) {
        match piece.without(earlier) {
            Some(parts) => {
                taken = true;
                left.extend(parts);
            }
            None => left.push(piece),
        }
    }
    *rest = left;
    taken
}

#[cfg(test)]
mod tests;
