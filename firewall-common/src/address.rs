//! IP addresses as numbers.

use bytemuck::{Pod, Zeroable};

/// IP version of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// RFC 791.
    V4 = 4,
    /// RFC 8200.
    V6 = 6,
}

/// An address in host byte order. An IPv4 address is the lower 32 bits of `low`; the family is told elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Address {
    /// Bits 127 to 64.
    pub high: u64,
    /// Bits 63 to 0.
    pub low: u64,
}

impl Address {
    /// An IPv4 address from its bytes on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self {
            high: 0,
            low: u32::from_be_bytes(octets) as u64,
        }
    }

    /// An IPv6 address from its bytes on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn from_v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self {
            high: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            low: u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    /// From a standard address, with its family.
    #[must_use]
    pub const fn from_ip(address: core::net::IpAddr) -> (Family, Self) {
        match address {
            core::net::IpAddr::V4(v4) => (Family::V4, Self::from_v4(v4.octets())),
            core::net::IpAddr::V6(v6) => (Family::V6, Self::from_v6(v6.octets())),
        }
    }

    /// As a standard address.
    #[must_use]
    pub const fn to_ip(self, family: Family) -> core::net::IpAddr {
        match family {
            Family::V4 => core::net::IpAddr::V4(core::net::Ipv4Addr::from_bits(self.low as u32)),
            Family::V6 => core::net::IpAddr::V6(core::net::Ipv6Addr::from_bits(self.to_u128())),
        }
    }

    /// As one number.
    #[inline(always)]
    #[must_use]
    pub const fn to_u128(self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }

    /// All bits zero: `0.0.0.0` or `::`.
    #[inline(always)]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        self.high | self.low == 0
    }

    /// `224.0.0.0/4` (RFC 5771) or `ff00::/8` (RFC 4291).
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self, family: Family) -> bool {
        match family {
            Family::V4 => self.low >> 28 == 0xe,
            Family::V6 => self.high >> 56 == 0xff,
        }
    }

    /// `127.0.0.0/8` (RFC 1122) or `::1`; for IPv6 also the IPv4-mapped range, which never stands on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn is_loopback(self, family: Family) -> bool {
        match family {
            Family::V4 => self.low >> 24 == 127,
            Family::V6 => self.high == 0 && (self.low == 1 || self.low >> 32 == 0xffff),
        }
    }

    /// `255.255.255.255`; IPv6 has none.
    #[inline(always)]
    #[must_use]
    pub const fn is_limited_broadcast(self, family: Family) -> bool {
        matches!(family, Family::V4) && self.low == 0xffff_ffff
    }

    /// `fe80::/10`; IPv4 link-local addresses are ordinary here.
    #[inline(always)]
    #[must_use]
    pub const fn is_link_local_v6(self) -> bool {
        self.high >> 54 == 0x3fa
    }
}
