//! Packet views, flow states, classifier, verdict path and map layouts shared by the eBPF programs and the agent.
//!
//! The same code runs in the kernel and in host tests: it reads packets through [`bytes::PacketBytes`], tables through
//! the traits in [`tables`], and takes the time as an argument.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    clippy::precedence,
    reason = "BPF has no calls worth their cost on the packet path; numbers are cut to the width of their field"
)]

pub mod abi;
pub mod address;
pub mod admin;
pub mod bytes;
pub mod capture;
pub mod cell;
pub mod classify;
pub mod compact;
pub mod control;
pub mod counters;
pub mod event;
pub mod flow;
pub mod fragment;
pub mod headers;
pub mod image;
pub mod interface;
pub mod judge;
pub mod opaque;
pub mod plain;
pub mod prefix_set;
pub mod reason;
pub mod rehearsal;
pub mod tables;
pub mod trie;
pub mod verdict;
pub mod wire;
pub mod word;
