//! Bounded access to a packet's bytes.

/// A packet, from its link-level header on.
pub trait PacketBytes {
    /// Reads `N` bytes at `offset`, or `None` where the packet ends before.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Bytes that can be read, or the whole length where that costs nothing to know.
    fn length(&self) -> usize;

    /// Length of the whole packet, the parts outside the linear buffer included. May cost a call; asked only where
    /// [`Self::length`] seems too short.
    fn full_length(&self) -> usize {
        self.length()
    }
}

impl PacketBytes for &[u8] {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk::<N>().copied()
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.len()
    }
}
