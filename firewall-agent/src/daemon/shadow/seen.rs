//! Connections that were seen to pass.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{BuildHasher, RandomState},
};

use crate::daemon::judgement::Connection;

/// Most connections that are asked about.
const MOST: usize = 100_000;

/// Most others that are told apart.
const MOST_LEFT_OUT: usize = 400_000;

/// What has been seen in the flow tables.
#[derive(Debug, Default)]
pub(super) struct Seen {
    passed: BTreeSet<Connection>,
    /// Those of them that had ended when they were first seen.
    pub(super) ended: u64,
    /// Flows that were opened during the run.
    pub(super) opened: u64,
    /// Hashes of those that are not asked about, so that each is left out once and for good.
    left_out: HashSet<u64>,
    hasher: RandomState,
    /// Connections until the next one that is asked about.
    skip: u32,
}

/// What is known of a flow beside its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// Whether it lives.
    pub(super) is_live: bool,
    /// Whether it was opened during the run.
    pub(super) is_new: bool,
}

impl Seen {
    /// A connection that is in the tables, of which one in so many is asked about.
    pub(super) fn pass(&mut self, connection: Connection, life: Life, every: u32) {
        if self.passed.contains(&connection) {
            return;
        }
        let hash = self.hasher.hash_one(&connection);
        if self.left_out.contains(&hash) {
            return;
        }
        if self.passed.len() >= MOST || self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            if self.left_out.len() < MOST_LEFT_OUT {
                self.left_out.insert(hash);
                self.opened += u64::from(life.is_new);
            }
            return;
        }
        self.skip = every - 1;
        self.opened += u64::from(life.is_new);
        self.ended += u64::from(!life.is_live);
        self.passed.insert(connection);
    }

    /// Those that are asked about.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.passed.iter()
    }

    pub(super) fn asked(&self) -> u64 {
        self.passed.len() as u64
    }

    pub(super) fn left_out(&self) -> u64 {
        self.left_out.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const LIVE: Life = Life {
        is_live: true,
        is_new: false,
    };

    fn connection(port: u16) -> Connection {
        Connection {
            protocol: 6,
            remote: SocketAddr::new([192, 0, 2, 1].into(), port),
            local: SocketAddr::new([198, 51, 100, 7].into(), 22),
            opened_by_remote: true,
            interface: None,
        }
    }

    #[test]
    fn of_many_every_so_many_is_asked_about() {
        for (every, expected) in [(1, 10), (3, 4), (100, 1)] {
            let mut seen = Seen::default();
            // They stay where they are, and are looked at again and again.
            for _ in 0..3 {
                for port in 0..10 {
                    seen.pass(connection(port), LIVE, every);
                }
            }
            assert_eq!(seen.asked(), expected);
            assert_eq!(seen.left_out(), 10 - expected);
        }
    }

    #[test]
    fn what_was_opened_and_what_has_ended_is_counted_once() {
        let mut seen = Seen::default();
        let new = Life { is_new: true, ..LIVE };
        let over = Life {
            is_live: false,
            is_new: true,
        };
        for _ in 0..2 {
            seen.pass(connection(1), LIVE, 1);
            seen.pass(connection(2), new, 1);
            seen.pass(connection(3), over, 1);
        }
        // One that was seen alive is none that was nearly missed.
        seen.pass(connection(2), over, 1);
        assert_eq!((seen.asked(), seen.opened, seen.ended), (3, 2, 1));
    }
}
