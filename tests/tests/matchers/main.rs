//! Every matcher of the policy language at both hooks, by `BPF_PROG_TEST_RUN`: a policy of one rule goes the whole way
//! from text to the kernel's tables, frames that it is for and frames just beside them are run by the real programs.
//!
//! A frame that the rule is for gets the rule's verdict, each of the three in turn, and raises its counter; one beside
//! gets the default's and raises that. The bench asserts that exactly one packet of the frame's length was counted, at
//! the right interface and hook, and nothing else anywhere. Needs root.

mod address;
mod direction;
mod exception;
mod forward;
mod icmp;
mod interface;
mod matcher;
mod multicast;
mod order;
mod port;
mod probe;
mod protocol;
mod service;
mod source_port;
mod vlan;
