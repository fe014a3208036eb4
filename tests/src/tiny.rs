//! Programs of a few instructions, for what a neighbour does to frames.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use crate::bpf::{ATTACH_XDP, LoadAttributes, PROG_LOAD, SCHED_CLS, XDP, bpf};

/// A command of bpf(2) (`linux/bpf.h`).
const LINK_CREATE: libc::c_int = 28;

/// An attach type.
const ATTACH_TCX_EGRESS: u32 = 47;
/// In front of all that are attached.
const BEFORE: u32 = 1 << 3;
/// `XDP_FLAGS_DRV_MODE`.
const NATIVE: u32 = 1 << 2;

/// `bpf_skb_vlan_push`.
const VLAN_PUSH: i32 = 18;

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn set(register: u8, immediate: i32) -> Instruction {
    Instruction {
        code: 0xb7,
        registers: register,
        offset: 0,
        immediate,
    }
}

const fn call(helper: i32) -> Instruction {
    Instruction {
        code: 0x85,
        registers: 0,
        offset: 0,
        immediate: helper,
    }
}

const EXIT: Instruction = Instruction {
    code: 0x95,
    registers: 0,
    offset: 0,
    immediate: 0,
};

/// An attached program, detached when the value is dropped.
#[derive(Debug)]
pub struct Attached {
    _link: OwnedFd,
}

/// Passes every frame at native XDP. What an XDP program at the other end of a veth pair sends back is only taken from
/// the ring if this end has one, too (`drivers/net/veth.c`, `veth_xdp_flush`). For a thread in the interface's network
/// namespace.
pub fn pass_all(interface: u32) -> io::Result<Attached> {
    let program = load(XDP, &[set(0, 2), EXIT])?;
    attach(&program, interface, ATTACH_XDP, NATIVE)
}

/// Gives every frame that goes out a VLAN tag, beside the frame, as an offloading driver takes it: in front of all
/// other programs. For a thread in the interface's network namespace.
pub fn tag_all(interface: u32, vlan: u16) -> io::Result<Attached> {
    let instructions = [
        // 0x8100 in network order.
        set(2, 0x0081),
        set(3, i32::from(vlan)),
        call(VLAN_PUSH),
        // TCX_NEXT
        set(0, -1),
        EXIT,
    ];
    let program = load(SCHED_CLS, &instructions)?;
    attach(&program, interface, ATTACH_TCX_EGRESS, BEFORE)
}

fn load(kind: u32, instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let licence = c"GPL";
    bpf(
        PROG_LOAD,
        &LoadAttributes {
            kind,
            count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
            instructions: instructions.as_ptr() as u64,
            licence: licence.as_ptr() as u64,
            ..LoadAttributes::default()
        },
    )
}

#[repr(C)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    revision: u64,
}

fn attach(program: &OwnedFd, interface: u32, attach_type: u32, flags: u32) -> io::Result<Attached> {
    let link = bpf(
        LINK_CREATE,
        &LinkAttributes {
            program: program.as_raw_fd().cast_unsigned(),
            interface,
            attach_type,
            flags,
            relative: 0,
            padding: 0,
            revision: 0,
        },
    )?;
    Ok(Attached { _link: link })
}
