//! What identifies a flow.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, Family},
    counters::Hook,
    headers::Headers,
    wire::{icmp, icmpv6, protocol},
};

/// Both ends of a flow, as this host sees them: the key is the same for packets of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct FlowKey {
    /// The other end: source of what comes in, destination of what goes out.
    pub remote: Address,
    /// This end.
    pub local: Address,
    /// Port of the other end. For ICMP echo, 1 where the other end asks and 0 where this one does, so that two hosts
    /// that ping each other with one identifier have two flows.
    pub remote_port: u16,
    /// Port of this end; ICMP echo identifier.
    pub local_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// Spare, zero.
    pub reserved: u16,
}

const _: () = assert!(size_of::<FlowKey>() == 40);

impl FlowKey {
    /// The flow that a packet belongs to, seen at `hook`.
    #[inline(always)]
    #[must_use]
    pub fn of(headers: &Headers, hook: Hook) -> Self {
        let (mut source_port, mut destination_port) = (headers.source_port, headers.destination_port);
        if matches!(headers.protocol, protocol::ICMP | protocol::ICMPV6) {
            let request = is_echo_request(headers.family, headers.icmp_type());
            let asked_by_remote = request == matches!(hook, Hook::Ingress);
            let identifier = headers.source_port;
            (source_port, destination_port) = match hook {
                Hook::Ingress => (u16::from(asked_by_remote), identifier),
                Hook::Egress => (identifier, u16::from(asked_by_remote)),
            };
        }
        let mut key = Self {
            remote: headers.source,
            local: headers.destination,
            remote_port: source_port,
            local_port: destination_port,
            protocol: headers.protocol,
            family: headers.family,
            reserved: 0,
        };
        if matches!(hook, Hook::Egress) {
            key = key.swapped();
        }
        key
    }

    /// The family of its addresses.
    #[inline(always)]
    #[must_use]
    pub const fn address_family(&self) -> Family {
        if self.family == Family::V4 as u8 {
            Family::V4
        } else {
            Family::V6
        }
    }

    #[inline(always)]
    const fn swapped(self) -> Self {
        Self {
            remote: self.local,
            local: self.remote,
            remote_port: self.local_port,
            local_port: self.remote_port,
            ..self
        }
    }

    /// As five words, the way the table stores it.
    #[inline(always)]
    #[must_use]
    pub fn words(&self) -> &[u64; 5] {
        bytemuck::cast_ref(self)
    }

    /// From the words in the table.
    #[must_use]
    pub fn from_words(words: [u64; 5]) -> Self {
        bytemuck::cast(words)
    }

    /// Hash under a secret seed: multiplications by secret odd numbers, so that nobody outside can choose a bucket.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, seed: &[u64; 4]) -> u64 {
        let mut hash = seed[0];
        if self.family == Family::V6 as u8 {
            hash = mix(hash ^ self.remote.high, seed[1]);
            hash = mix(hash ^ self.local.high, seed[2]);
            hash = mix(hash ^ self.remote.low, seed[3]);
            hash = mix(hash ^ self.local.low, seed[1]);
        } else {
            hash = mix(
                hash ^ (self.remote.low << 32 | self.local.low & 0xffff_ffff),
                seed[1],
            );
        }
        mix(mix(hash ^ self.words()[4], seed[2]), seed[3])
    }
}

#[inline(always)]
const fn mix(value: u64, multiplier: u64) -> u64 {
    let product = value.wrapping_mul(multiplier | 1);
    product ^ product >> 32
}

/// Whether a message of this type asks for an echo.
#[inline(always)]
#[must_use]
const fn is_echo_request(family: u8, kind: u8) -> bool {
    (family == Family::V4 as u8 && kind == icmp::ECHO_REQUEST)
        || (family == Family::V6 as u8 && kind == icmpv6::ECHO_REQUEST)
}
