//! Tail calls with constant indices, which the JIT turns into direct jumps.

use aya_ebpf::{EbpfContext, maps::ProgramArray};
use firewall_common::abi::{
    ASK_INDEX, BEFORE_RULES_INDEX, CAPTURE_INDEX, ENTER_INDEX, EXTENSIONS_INDEX, FIRST_INDEX, PARSE_INDEX,
    REJECT_INDEX, RULES_INDEX, SETTLE_INDEX,
};

/// One call site for each index: LLVM would merge ordinary calls into one with an index in a register.
macro_rules! tail_call {
    ($context:expr, $array:expr, $index:expr) => {{
        #[cfg(target_arch = "bpf")]
        // SAFETY: `bpf_tail_call` (helper 12) takes the program's context, a program array and an index; it returns
        // only where it fails, and clobbers the caller-saved registers.
        unsafe {
            core::arch::asm!(
                "r3 = {index}",
                "call 12",
                index = const $index,
                inout("r1") $context => _,
                inout("r2") $array => _,
                lateout("r0") _,
                lateout("r3") _,
                lateout("r4") _,
                lateout("r5") _,
            );
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            let _ = ($context, $array, $index);
        }
    }};
}

/// Goes on in the program of `slot`. Returns only where there is none.
#[inline(always)]
pub(crate) fn slot<C: EbpfContext>(context: &C, programs: &'static ProgramArray, slot: u8) {
    let (context, programs) = (context.as_ptr(), &raw const *programs);
    match slot {
        0 => tail_call!(context, programs, 0),
        1 => tail_call!(context, programs, 1),
        2 => tail_call!(context, programs, 2),
        3 => tail_call!(context, programs, 3),
        _ => {}
    }
}

/// Goes on in the program of `slot` for plain packets. Returns only where there is none.
#[inline(always)]
pub(crate) fn first<C: EbpfContext>(context: &C, programs: &'static ProgramArray, slot: u8) {
    let (context, programs) = (context.as_ptr(), &raw const *programs);
    match slot {
        0 => tail_call!(context, programs, FIRST_INDEX),
        1 => tail_call!(context, programs, FIRST_INDEX + 1),
        2 => tail_call!(context, programs, FIRST_INDEX + 2),
        3 => tail_call!(context, programs, FIRST_INDEX + 3),
        _ => {}
    }
}

/// Goes on in the parser. Returns only where there is none.
#[inline(always)]
pub(crate) fn parse<C: EbpfContext>(context: &C, programs: &'static ProgramArray) {
    tail_call!(context.as_ptr(), &raw const *programs, PARSE_INDEX);
}

/// Goes on in the second program of `slot`. Returns only where there is none.
#[inline(always)]
pub(crate) fn before_rules<C: EbpfContext>(context: &C, programs: &'static ProgramArray, slot: u8) {
    let (context, programs) = (context.as_ptr(), &raw const *programs);
    match slot {
        0 => tail_call!(context, programs, BEFORE_RULES_INDEX),
        1 => tail_call!(context, programs, BEFORE_RULES_INDEX + 1),
        2 => tail_call!(context, programs, BEFORE_RULES_INDEX + 2),
        3 => tail_call!(context, programs, BEFORE_RULES_INDEX + 3),
        _ => {}
    }
}

/// Goes on in the third program of `slot`. Returns only where there is none.
#[inline(always)]
pub(crate) fn ask<C: EbpfContext>(context: &C, programs: &'static ProgramArray, slot: u8) {
    let (context, programs) = (context.as_ptr(), &raw const *programs);
    match slot {
        0 => tail_call!(context, programs, ASK_INDEX),
        1 => tail_call!(context, programs, ASK_INDEX + 1),
        2 => tail_call!(context, programs, ASK_INDEX + 2),
        3 => tail_call!(context, programs, ASK_INDEX + 3),
        _ => {}
    }
}

/// Goes on in the fourth program of `slot`. Returns only where there is none.
#[inline(always)]
pub(crate) fn rules<C: EbpfContext>(context: &C, programs: &'static ProgramArray, slot: u8) {
    let (context, programs) = (context.as_ptr(), &raw const *programs);
    match slot {
        0 => tail_call!(context, programs, RULES_INDEX),
        1 => tail_call!(context, programs, RULES_INDEX + 1),
        2 => tail_call!(context, programs, RULES_INDEX + 2),
        3 => tail_call!(context, programs, RULES_INDEX + 3),
        _ => {}
    }
}

/// Goes on in the program that draws the conclusions for the flow. Returns only where there is none.
#[inline(always)]
pub(crate) fn settle<C: EbpfContext>(context: &C, programs: &'static ProgramArray) {
    tail_call!(context.as_ptr(), &raw const *programs, SETTLE_INDEX);
}

/// Goes on in the program that enters flows. Returns only where there is none.
#[inline(always)]
pub(crate) fn enter<C: EbpfContext>(context: &C, programs: &'static ProgramArray) {
    tail_call!(context.as_ptr(), &raw const *programs, ENTER_INDEX);
}

/// Goes on in the reply builder. Returns only where there is none.
#[inline(always)]
pub(crate) fn refuse<C: EbpfContext>(context: &C, programs: &'static ProgramArray) {
    tail_call!(context.as_ptr(), &raw const *programs, REJECT_INDEX);
}

/// Goes on in the program that walks IPv6 extension headers. Returns only where there is none.
#[inline(always)]
pub(crate) fn extensions<C: EbpfContext>(context: &C, programs: &'static ProgramArray) {
    tail_call!(context.as_ptr(), &raw const *programs, EXTENSIONS_INDEX);
}

/// Goes on in the program that captures dropped packets. Returns only where there is none.
#[inline(always)]
pub(crate) fn capture<C: EbpfContext>(context: &C, programs: &'static ProgramArray) {
    tail_call!(context.as_ptr(), &raw const *programs, CAPTURE_INDEX);
}
