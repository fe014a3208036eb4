//! Random numbers that a seed repeats, here and in every later version.

use std::{
    env,
    ops::RangeInclusive,
    time::{SystemTime, UNIX_EPOCH},
};

/// Sets the seed of a run, to repeat one that failed.
pub const SEED_ENV: &str = "FIREWALL_TEST_SEED";

/// The seed of this run: from the environment, else from the clock. It is printed, so that a failure can be repeated.
#[must_use]
pub fn seed() -> u64 {
    let given = env::var(SEED_ENV)
        .ok()
        .map(|text| text.parse().expect("a decimal seed"));
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| u64::from(now.subsec_nanos()) << 32 ^ now.as_secs())
    });
    println!("{SEED_ENV}={seed}");
    seed
}

/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// 128 random bits.
    pub fn wide(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize has 64 bits");
        usize::try_from(self.bits() % bound).expect("below a usize")
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list.
    ///
    /// # Panics
    /// Where the list is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A number of a range.
    pub fn between(&mut self, range: &RangeInclusive<u128>) -> u128 {
        match (range.end() - range.start()).checked_add(1) {
            Some(size) => range.start() + self.wide() % size,
            None => self.wide(),
        }
    }
}
