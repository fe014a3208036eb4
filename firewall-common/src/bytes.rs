//! Bounded access to a packet's bytes.

/// A packet, from its link-level header on.
pub trait PacketBytes {
    /// `N` bytes at `offset`, to be read in place, or `None` where the packet ends before.
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>>;

    /// Reads `N` bytes at `offset`, or `None` where the packet ends before.
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        Some(*self.window(offset)?.0)
    }

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
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        self.get(offset..)?.first_chunk::<N>().map(Window)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.len()
    }
}

/// Bytes of a packet that are known to be there. Its fields are numbers in network order at fixed places; a place
/// outside the window does not compile.
///
/// On BPF each is read by one instruction: for bytes of no alignment the compiler would read them one by one.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a, const N: usize>(pub &'a [u8; N]);

macro_rules! field {
    ($(#[$documentation:meta])* $name:ident, $type:ty, $instruction:literal) => {
        $(#[$documentation])*
        #[inline(always)]
        #[must_use]
        pub fn $name<const AT: usize>(&self) -> $type {
            const { assert!(AT + size_of::<$type>() <= N) };
            #[cfg(target_arch = "bpf")]
            {
                let value: u64;
                // SAFETY: reads bytes that lie inside the array, as was just asserted; the kernel's verifier allows
                // reads of any alignment from a packet on machines that can do them.
                unsafe {
                    core::arch::asm!(
                        $instruction,
                        value = out(reg) value,
                        start = in(reg) self.0.as_ptr(),
                        at = const AT,
                        options(pure, readonly, nostack)
                    );
                }
                (value as $type).to_be()
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let mut bytes = [0; size_of::<$type>()];
                bytes.copy_from_slice(&self.0[AT..AT + size_of::<$type>()]);
                <$type>::from_be_bytes(bytes)
            }
        }
    };
}

impl<const N: usize> Window<'_, N> {
    field!(
        /// The byte at `AT`.
        u8, u8, "{value} = *(u8 *)({start} + {at})"
    );
    field!(
        /// The two bytes at `AT`.
        be16, u16, "{value} = *(u16 *)({start} + {at})"
    );
    field!(
        /// The four bytes at `AT`.
        be32, u32, "{value} = *(u32 *)({start} + {at})"
    );
    field!(
        /// The eight bytes at `AT`.
        be64, u64, "{value} = *(u64 *)({start} + {at})"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_network_order() {
        let bytes: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let window = bytes.window::<9>(1).expect("inside");
        assert_eq!(window.u8::<8>(), 9);
        assert_eq!(window.be16::<0>(), 0x0102);
        assert_eq!(window.be32::<5>(), 0x0607_0809);
        assert_eq!(window.be64::<1>(), 0x0203_0405_0607_0809);
    }

    #[test]
    fn a_window_ends_with_the_packet() {
        let bytes: &[u8] = &[0; 10];
        assert!(bytes.window::<4>(6).is_some());
        assert!(bytes.window::<4>(7).is_none());
        assert!(bytes.load::<1>(10).is_none());
    }
}
