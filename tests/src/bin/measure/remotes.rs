//! The remote ends that packets are given.

use aya::Pod;

/// A remote end as the bench programs write it into packets.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Remote {
    /// The last eight bytes of its address; IPv4: the last four of these.
    pub(crate) address: [u8; 8],
    /// Its port in network order.
    pub(crate) port: [u8; 2],
    /// Checksum of the IPv4 header with this source, for programs that send.
    pub(crate) checksum: [u8; 2],
    reserved: [u8; 4],
}

// SAFETY: bytes only, without padding.
unsafe impl Pod for Remote {}

impl Remote {
    /// Its IPv4 address.
    pub(crate) const fn v4(&self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d] = self.address;
        [a, b, c, d]
    }

    /// With the checksum of a header of this sum without source and checksum.
    pub(crate) fn with_checksum_for(mut self, rest: u32) -> Self {
        let [a, b, c, d] = self.v4();
        let mut sum = rest + u32::from(u16::from_be_bytes([a, b])) + u32::from(u16::from_be_bytes([c, d]));
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let [.., high, low] = (!sum).to_be_bytes();
        self.checksum = [high, low];
        self
    }
}

/// Remote ends in random order, but the same in each run.
pub(crate) fn remotes(count: u32) -> impl Iterator<Item = Remote> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [a, b, c, d, e, f, g, h] = state.to_be_bytes();
        // The first byte of an IPv4 address: none that may not be a source. The last is even: odd ones are others'.
        let (first, last) = (11 + e % 100, h & !1);
        Remote {
            address: [a, b, c, d, first, f, g, last],
            port: [4 | a & 0x7f, c],
            checksum: [0; 2],
            reserved: [0; 4],
        }
    })
}

/// As many addresses that no remote end has.
pub(crate) fn strangers(count: u32) -> impl Iterator<Item = [u8; 4]> {
    let others = remotes(u32::MAX).skip(usize::try_from(count).unwrap_or(usize::MAX));
    others.zip(0..count).map(|(remote, _)| {
        let [a, b, c, d] = remote.v4();
        [a, b, c, d | 1]
    })
}

/// Sum of the 16-bit words of an IPv4 header without source and checksum, in a frame without tags.
pub(crate) fn sum_without_source(frame: &[u8]) -> u32 {
    let header = &frame[14..34];
    header
        .chunks_exact(2)
        .enumerate()
        .filter(|(word, _)| ![5, 6, 7].contains(word))
        .map(|(_, bytes)| u32::from(u16::from_be_bytes([bytes[0], bytes[1]])))
        .sum()
}

#[cfg(test)]
mod tests {
    use firewall_tests::{
        frames::Packet,
        host::{end, nets},
    };

    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_packet_made_whole() {
        let [v4, _] = nets();
        let rest = sum_without_source(&Packet::udp(end(v4.client, 1), end(v4.server, 2), 4).frame());
        for remote in remotes(100) {
            let whole = Packet::udp(end(remote.v4().into(), 1), end(v4.server, 2), 4).frame();
            assert_eq!(remote.with_checksum_for(rest).checksum, whole[24..26]);
        }
    }

    #[test]
    fn remote_ends_are_the_same_each_time_and_may_be_sources() {
        let first: Vec<_> = remotes(1000).map(|remote| remote.v4()).collect();
        assert!(remotes(1000).map(|remote| remote.v4()).eq(first.iter().copied()));
        assert!(
            first
                .iter()
                .all(|[a, .., d]| (11..=110).contains(a) && d % 2 == 0)
        );
        assert_eq!(strangers(1000).filter(|[.., d]| d % 2 == 1).count(), 1000);
    }
}
