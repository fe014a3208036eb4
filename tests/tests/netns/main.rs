//! Scenarios that need a stack: real sockets in namespaces, over veth pairs with the programs attached natively. The
//! programs are loaded once; each test puts its policy in force. Needs root.

mod firewall;
mod fragments;
mod icmp;
mod lifecycle;
mod link;
mod neighbours;
mod path;
mod raw;
mod sockets;
mod tcp;
mod udp;
mod vlan;
mod world;
