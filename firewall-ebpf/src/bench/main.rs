//! What the benchmarks run beside the firewall: a shim that varies the source of a packet and goes on in the program
//! under test, an empty program whose time is subtracted, and the usual design of a flow table to compare with, and the
//! classifier by itself.
#![no_std]
#![no_main]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::needless_pass_by_value,
        reason = "aya's macros hand the context to a program by value"
    )
)]
#![expect(
    clippy::inline_always,
    reason = "BPF has no calls worth their cost on the packet path"
)]
#![expect(
    unreachable_pub,
    reason = "the programs are found by their section, not by their path"
)]

mod classify;
mod floor;
#[path = "../image.rs"]
mod image;
mod line;
mod lpm;
mod lru;
mod maps;
mod pauses;
mod shim;
mod wire;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier would refuse a program that could loop here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
