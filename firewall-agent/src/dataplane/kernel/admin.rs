//! Commands that `fw_admin` runs in the kernel (see [`firewall_common::admin`]).

use std::os::fd::BorrowedFd;

use bytemuck::{Zeroable, bytes_of, pod_read_unaligned};
use firewall_common::{
    admin::{Operation, REQUEST_BYTES, Request, Response, code},
    flow::{Flow, NewFlow},
};

use super::sys;
use crate::dataplane::DataplaneError;

/// Runs one command; returns its code and what stands in the packet afterwards.
fn run(admin: BorrowedFd<'_>, request: &Request) -> Result<(u32, [u8; REQUEST_BYTES]), DataplaneError> {
    let mut packet = [0; REQUEST_BYTES];
    packet.copy_from_slice(bytes_of(request));
    let code = sys::test_run(admin, &mut packet).map_err(|source| DataplaneError::Syscall {
        action: "run a command in the kernel",
        source,
    })?;
    Ok((code, packet))
}

/// The kernel's clocks at one moment.
pub(super) fn read_clock(admin: BorrowedFd<'_>) -> Result<Response, DataplaneError> {
    let request = Request {
        operation: Operation::ReadClock as u32,
        ..Request::zeroed()
    };
    match run(admin, &request)? {
        (code::DONE, answer) => Ok(pod_read_unaligned(&answer[..size_of::<Response>()])),
        (code, _) => Err(unexpected(code)),
    }
}

/// Enters an assured flow; false where the table is full.
pub(super) fn insert_flow(admin: BorrowedFd<'_>, flow: &NewFlow, slot: u8) -> Result<bool, DataplaneError> {
    let entry = Flow::unpack(flow.flow);
    let request = Request {
        operation: Operation::InsertFlow as u32,
        epoch: flow.epoch,
        key: flow.key,
        state: entry.state as u8,
        flags: entry.flags,
        rule: entry.rule,
        expires_ticks: flow.expires_ticks,
        slot: slot.into(),
        reserved: 0,
    };
    match run(admin, &request)?.0 {
        code::DONE => Ok(true),
        code::FULL => Ok(false),
        code => Err(unexpected(code)),
    }
}

fn unexpected(code: u32) -> DataplaneError {
    DataplaneError::Syscall {
        action: "run a command in the kernel",
        source: std::io::Error::other(format!("it returned {code}")),
    }
}
