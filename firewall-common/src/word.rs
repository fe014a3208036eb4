//! A 64-bit word that the kernel programs on several CPUs and the agent share without locks.
//!
//! In a dry run (see [`crate::rehearsal`]) nothing is written, and every replacement is said to have been made.

#[cfg(target_arch = "bpf")]
use crate::rehearsal::is_dry;

/// How often a replacement is tried while others change the upper half.
const TRIES: u32 = 4;

/// A shared word. Loads and stores of it are single instructions and never torn.
///
/// BPF programs before kernel 6.15 have no acquire and release instructions, only fully ordered read-modify-writes.
/// On x86-64 plain loads and stores have acquire and release order anyway (Intel SDM vol. 3, 9.2.2), which is what
/// the flow table needs; other machines are refused by the agent.
#[repr(transparent)]
#[derive(Debug)]
pub struct Word(core::cell::UnsafeCell<u64>);

// SAFETY: every access goes through single-instruction loads, stores and compare-and-swap.
unsafe impl Sync for Word {}

impl Word {
    /// A word that holds `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Reads the word (acquire).
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u64 {
        #[cfg(target_arch = "bpf")]
        // SAFETY: the pointer comes from a reference.
        unsafe {
            self.0.get().read_volatile()
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: the pointer comes from a reference; all other accesses are atomic, too.
        unsafe {
            core::sync::atomic::AtomicU64::from_ptr(self.0.get()).load(core::sync::atomic::Ordering::Acquire)
        }
    }

    /// Writes the word (release).
    #[inline(always)]
    pub fn store(&self, value: u64) {
        #[cfg(target_arch = "bpf")]
        if is_dry() {
            return;
        }
        #[cfg(target_arch = "bpf")]
        // SAFETY: the pointer comes from a reference; the type says that the word is shared.
        unsafe {
            self.0.get().write_volatile(value);
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: the pointer comes from a reference; all other accesses are atomic, too.
        unsafe {
            core::sync::atomic::AtomicU64::from_ptr(self.0.get())
                .store(value, core::sync::atomic::Ordering::Release);
        }
    }

    /// Writes the lower half only, leaving the upper half as whoever wrote it last left it.
    #[inline(always)]
    pub fn store_low(&self, value: u32) {
        #[cfg(target_arch = "bpf")]
        if is_dry() {
            return;
        }
        #[cfg(target_arch = "bpf")]
        // SAFETY: the pointer comes from a reference; BPF objects here are little-endian.
        unsafe {
            self.0.get().cast::<u32>().write_volatile(value);
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            let mut seen = self.load();
            loop {
                let wanted = (seen & !0xffff_ffff) | u64::from(value);
                match self.compare_exchange(seen, wanted) {
                    Ok(()) => return,
                    Err(other) => seen = other,
                }
            }
        }
    }

    /// Writes the upper half only, leaving the lower half as whoever wrote it last left it.
    #[inline(always)]
    pub fn store_high(&self, value: u32) {
        #[cfg(target_arch = "bpf")]
        if is_dry() {
            return;
        }
        #[cfg(target_arch = "bpf")]
        // SAFETY: the pointer comes from a reference; BPF objects here are little-endian.
        unsafe {
            self.0.get().cast::<u32>().add(1).write_volatile(value);
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            let mut seen = self.load();
            loop {
                let wanted = (seen & 0xffff_ffff) | u64::from(value) << 32;
                match self.compare_exchange(seen, wanted) {
                    Ok(()) => return,
                    Err(other) => seen = other,
                }
            }
        }
    }

    /// Replaces the word by `wanted` as long as its lower half is that of `expected`. False where it is not, or where
    /// others kept changing the upper half.
    #[inline(always)]
    pub fn replace_by_low(&self, expected: u64, wanted: u64) -> bool {
        let mut seen = expected;
        let mut tries = 0;
        while tries < TRIES {
            match self.compare_exchange(seen, wanted) {
                Ok(()) => return true,
                Err(other) if other as u32 != expected as u32 => return false,
                Err(other) => seen = other,
            }
            tries += 1;
        }
        false
    }

    /// Replaces `expected` by `wanted` (fully ordered); otherwise returns what stands there.
    #[inline(always)]
    pub fn compare_exchange(&self, expected: u64, wanted: u64) -> Result<(), u64> {
        #[cfg(target_arch = "bpf")]
        if is_dry() {
            return Ok(());
        }
        #[cfg(target_arch = "bpf")]
        let seen = {
            let mut seen = expected;
            // SAFETY: the pointer comes from a reference; the instruction is the kernel's BPF_CMPXCHG (5.12).
            unsafe {
                core::arch::asm!(
                    "r0 = cmpxchg_64({0} + 0, r0, {1})",
                    in(reg) self.0.get(),
                    in(reg) wanted,
                    inout("r0") seen,
                );
            }
            seen
        };
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: the pointer comes from a reference; all other accesses are atomic, too.
        let seen = unsafe {
            use core::sync::atomic::{AtomicU64, Ordering};
            match AtomicU64::from_ptr(self.0.get()).compare_exchange(
                expected,
                wanted,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(seen) | Err(seen) => seen,
            }
        };
        if seen == expected { Ok(()) } else { Err(seen) }
    }
}
