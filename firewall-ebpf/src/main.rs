//! The XDP and tcx programs of firewall-agent.
//!
//! An entry program on each hook passes packets of live flows and hands everything else to the slot program of the
//! policy in force, by a tail call with a constant index. All decisions are made in `firewall-common`; this crate
//! holds the maps, the adapters, and the two places where a verdict becomes `XDP_*` or `TCX_*`.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "BPF has no calls worth their cost on the packet path; numbers are cut to the width of their field"
)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::needless_pass_by_value,
        reason = "aya's macros hand the context to a program by value"
    )
)]
#![expect(
    unreachable_pub,
    reason = "the programs are found by their section, not by their path"
)]

mod account;
mod admin;
mod bytes;
mod capture;
mod checksum;
mod clock;
mod egress;
mod hook;
mod image;
mod ingress;
mod live;
mod maps;
mod refuse;
mod slot;
mod steps;
mod tables;
mod tail_call;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier would refuse a program that could loop here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
