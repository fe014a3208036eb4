//! Arithmetic that the optimiser knows nothing about.
//!
//! LLVM drops a mask that it can prove redundant, although the verifier needs it, and turns arithmetic back into
//! branches. Each function here is one real instruction: an empty one would leave two line records at one place,
//! which the kernel refuses.

/// `value & MASK`, kept even where it changes nothing.
#[inline(always)]
#[must_use]
pub fn masked<const MASK: u32>(value: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value as u64;
        // SAFETY: one instruction on one register.
        unsafe {
            core::arch::asm!("{0} &= {mask}", inout(reg) value, mask = const MASK, options(nomem, nostack));
        }
        value as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value & MASK as usize
    }
}

/// `value + 1`, of a value that LLVM then knows nothing about.
#[inline(always)]
#[must_use]
pub fn incremented(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: one instruction on one register.
        unsafe { core::arch::asm!("{0} += 1", inout(reg) value, options(nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value + 1
    }
}

/// Reads a word again, of which the verifier then knows nothing: where it knows the outcome of a later branch from an
/// earlier one, it keeps the two ways apart from there on.
#[inline(always)]
#[must_use]
pub fn reloaded(word: &u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        // SAFETY: the pointer is a reference's.
        unsafe { core::ptr::read_volatile(word) }
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        *word
    }
}
