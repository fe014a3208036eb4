//! Numbers that interval trees are keyed by.

use firewall_common::{image::Block, interval::TreeKey};

/// A key type, with what the compiler needs of it beside the look-up.
pub(super) trait Key: TreeKey + Ord {
    /// The lowest key.
    const ZERO: Self;

    /// The next key; `None` after the last.
    fn successor(self) -> Option<Self>;

    /// Puts up to [`TreeKey::PER_BLOCK`] keys into a block; the last is repeated in the places left.
    fn block(keys: &[Self]) -> Block;
}

macro_rules! key {
    ($type:ty) => {
        impl Key for $type {
            const ZERO: Self = 0;

            fn successor(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn block(keys: &[Self]) -> Block {
                const SIZE: usize = size_of::<$type>();
                let mut bytes = [0u8; 64];
                let last = keys.last().copied().unwrap_or_default();
                let padded = keys.iter().copied().chain(std::iter::repeat(last));
                for (place, key) in bytes.chunks_exact_mut(SIZE).zip(padded) {
                    place.copy_from_slice(&key.to_le_bytes());
                }
                Block(bytemuck::cast(bytes))
            }
        }
    };
}

key!(u16);
key!(u32);
key!(u128);
