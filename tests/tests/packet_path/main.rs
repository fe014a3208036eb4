//! The packet path without a kernel: the very code that the eBPF programs run, over collections, with the clock in
//! the test's hand. Tests are named after the scenario that they show; each has its negative beside it.

mod fragments;
mod icmp;
mod ipv6;
mod lifecycle;
mod malformed;
mod noise;
mod tcp;
mod udp;
