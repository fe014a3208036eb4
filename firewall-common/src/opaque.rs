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

/// The same reference, of whose target LLVM then knows nothing: it reads anew what it would else keep in registers.
/// Before kernel 6.4 the verifier cannot look back past a call for what it knows of a register, and from then on keeps
/// apart all states that differ in anything.
#[inline(always)]
#[must_use]
pub fn afresh<T>(reference: &T) -> &T {
    #[cfg(target_arch = "bpf")]
    {
        let pointer: *const T;
        // SAFETY: one instruction, which copies a register.
        unsafe {
            core::arch::asm!("{0} = {1}", out(reg) pointer, in(reg) core::ptr::from_ref(reference), options(nostack));
        }
        // SAFETY: it is the reference that was given.
        unsafe { &*pointer }
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        reference
    }
}

/// Writes a word. Writes of one value to places side by side would become a call of `memset`, which goes byte by byte.
#[inline(always)]
pub fn store(place: &mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    {
        // SAFETY: the pointer is a reference's.
        unsafe { core::ptr::write_volatile(place, value) };
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        *place = value;
    }
}
