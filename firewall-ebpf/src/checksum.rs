//! The Internet checksum (RFC 1071) of replies.

use firewall_common::{bytes::PacketBytes, opaque::incremented};

/// A running sum of 16-bit words in network order.
#[derive(Clone, Copy)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const ZERO: Self = Self(0);

    /// Adds an even number of bytes.
    #[inline(always)]
    pub(crate) fn add<const N: usize>(mut self, bytes: &[u8; N]) -> Self {
        const { assert!(N.is_multiple_of(2)) };
        let mut at = 0;
        while at < N {
            self.0 += u64::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            at += 2;
        }
        self
    }

    /// Adds so many words of four bytes of a packet.
    #[inline(always)]
    pub(crate) fn add_packet<B: PacketBytes>(self, bytes: &B, offset: usize, words: u64) -> Option<Self> {
        let mut sum = self;
        // Not unrolled: the words would all be kept on the stack.
        let mut word = 0;
        while word < words {
            let value = bytes.load::<4>(offset + word as usize * 4)?;
            sum = sum.add_number(u32::from_be_bytes(value));
            word = incremented(word);
        }
        Some(sum)
    }

    /// Adds a number that stands for itself, as in a pseudo header.
    #[inline(always)]
    pub(crate) const fn add_number(self, number: u32) -> Self {
        Self(self.0 + (number >> 16) as u64 + (number & 0xffff) as u64)
    }

    /// The checksum as it stands in a header.
    #[inline(always)]
    pub(crate) const fn finish(self) -> [u8; 2] {
        let mut sum = self.0;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        (!(sum as u16)).to_be_bytes()
    }
}
