//! The system call bpf(2), as far as aya does not offer it (`linux/bpf.h`).

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

/// The command that loads a program.
pub(crate) const PROG_LOAD: libc::c_int = 5;

/// Program types.
pub(crate) const SCHED_CLS: u32 = 3;
pub(crate) const XDP: u32 = 6;
/// An attach type.
pub(crate) const ATTACH_XDP: u32 = 37;

/// What [`PROG_LOAD`] takes; zero is "not said".
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct LoadAttributes {
    pub(crate) kind: u32,
    pub(crate) count: u32,
    pub(crate) instructions: u64,
    pub(crate) licence: u64,
    pub(crate) log_level: u32,
    pub(crate) log_bytes: u32,
    pub(crate) log: u64,
    pub(crate) kernel: u32,
    pub(crate) flags: u32,
    pub(crate) name: [u8; 16],
    pub(crate) interface: u32,
    pub(crate) attach_type: u32,
    pub(crate) btf: u32,
    pub(crate) function_bytes: u32,
    pub(crate) functions: u64,
    pub(crate) function_count: u32,
    pub(crate) line_bytes: u32,
    pub(crate) lines: u64,
    pub(crate) line_count: u32,
    pub(crate) padding: u32,
}

/// Calls bpf(2) with a command that makes a descriptor.
pub(crate) fn bpf<A>(command: libc::c_int, attributes: &A) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are those of the command, and what they point to lives until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<A>(),
        )
    };
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The command that looks up an element.
const LOOKUP: libc::c_int = 1;

#[repr(C)]
struct LookupAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Reads the value of a key; false where there is none. The value has to be as long as the map's are.
pub(crate) fn lookup(map: RawFd, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let attributes = LookupAttributes {
        map: map.cast_unsigned(),
        padding: 0,
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the attributes are those of the command; the kernel reads a key and writes a value of the map's sizes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP,
            &raw const attributes,
            size_of::<LookupAttributes>(),
        )
    };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(false);
    }
    Err(error)
}
