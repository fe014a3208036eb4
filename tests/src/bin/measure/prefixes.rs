//! Prefixes of many lengths.

use firewall_tests::random::Random;

use crate::remotes::remotes;

const SEED: u64 = 7;

/// So many prefixes, each around another remote end: half of them of 24 bits, a third of 32, the others of 20 to 31.
pub(crate) fn mixed(count: u32) -> Vec<([u8; 4], u8)> {
    let mut random = Random::new(SEED);
    remotes(count)
        .map(|remote| {
            let length = match random.below(100) {
                0..50 => 24,
                50..83 => 32,
                other => 20 + u8::try_from(other % 12).unwrap_or(0),
            };
            (masked(remote.v4(), length), length)
        })
        .collect()
}

/// The first address of the prefix of this length around an address.
fn masked(address: [u8; 4], length: u8) -> [u8; 4] {
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    (u32::from_be_bytes(address) & mask).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_the_remote_ends_and_no_other_bits() {
        assert_eq!(masked([192, 0, 2, 129], 25), [192, 0, 2, 128]);
        assert_eq!(masked([192, 0, 2, 129], 32), [192, 0, 2, 129]);
        assert_eq!(masked([192, 0, 2, 129], 0), [0; 4]);
        for ((prefix, length), remote) in mixed(100).into_iter().zip(remotes(100)) {
            assert!((20..=32).contains(&length));
            assert_eq!(prefix, masked(remote.v4(), length));
        }
    }
}
