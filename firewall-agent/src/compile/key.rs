//! Numbers that dimensions are keyed by.

use super::{CompileError, pool::Pool, trie};

/// A key type.
pub(super) trait Key: Copy + Ord {
    /// The lowest key.
    const ZERO: Self;

    /// The next key; `None` after the last.
    fn successor(self) -> Option<Self>;

    /// Lays a trie over consecutive intervals, from [`Self::ZERO`] on, by their starts and what each leads to; returns
    /// the reference to its root.
    fn lay(pool: &mut Pool, starts: &[Self], leaves: &[u32]) -> Result<u32, CompileError>;
}

/// A protocol, and a port or an ICMP message: a key of [`firewall_common::image::Dimension::Service`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service(pub(super) u32);

impl Service {
    /// Protocol 255, port 65535.
    const LAST: u32 = 0x00ff_ffff;

    pub(super) fn new(protocol: u8, port: u16) -> Self {
        Self(u32::from(protocol) << 16 | u32::from(port))
    }
}

impl Key for Service {
    const ZERO: Self = Self(0);

    fn successor(self) -> Option<Self> {
        (self.0 < Self::LAST).then(|| Self(self.0 + 1))
    }

    fn lay(pool: &mut Pool, starts: &[Self], leaves: &[u32]) -> Result<u32, CompileError> {
        let starts: Vec<u64> = starts.iter().map(|start| start.0.into()).collect();
        trie::lay(pool, trie::Shape::SERVICE, &starts, leaves)
    }
}

impl Key for u16 {
    const ZERO: Self = 0;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn lay(pool: &mut Pool, starts: &[Self], leaves: &[u32]) -> Result<u32, CompileError> {
        let starts: Vec<u64> = starts.iter().copied().map(u64::from).collect();
        trie::lay(pool, trie::Shape::PORT, &starts, leaves)
    }
}

impl Key for u32 {
    const ZERO: Self = 0;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn lay(pool: &mut Pool, starts: &[Self], leaves: &[u32]) -> Result<u32, CompileError> {
        let starts: Vec<u64> = starts.iter().copied().map(u64::from).collect();
        trie::lay(pool, trie::Shape::IPV4, &starts, leaves)
    }
}

impl Key for u128 {
    const ZERO: Self = 0;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn lay(pool: &mut Pool, starts: &[Self], leaves: &[u32]) -> Result<u32, CompileError> {
        trie::lay_v6(pool, starts, leaves)
    }
}
