//! System calls that aya does not wrap, or not so that their error can be told apart. All `unsafe` calls are here.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    thread,
    time::Duration,
};

use bytemuck::{Pod, Zeroable};

/// Commands of bpf(2) (linux/bpf.h).
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    MapLookup = 1,
    MapUpdate = 2,
    ObjectPin = 6,
    ObjectGet = 7,
    TestRun = 10,
    GetInfo = 15,
    MapLookupBatch = 24,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

const BPF_XDP: u32 = 37;
const BPF_TCX_EGRESS: u32 = 47;

/// How XDP attaches (`linux/if_link.h`).
pub(super) mod xdp_flags {
    /// Generic.
    pub(crate) const SKB_MODE: u32 = 1 << 1;
    /// Native.
    pub(crate) const DRIVER_MODE: u32 = 1 << 2;
}

/// Calls bpf(2) with the attributes of one command; the kernel takes shorter attributes as padded with zeroes.
fn bpf<A: Pod>(command: Command, attributes: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are plain data of the given length; pointers inside are valid for the command, which is
    // for the functions below to see to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            std::ptr::from_mut(attributes),
            size_of::<A>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    // A borrowed descriptor is never negative.
    fd.as_raw_fd().cast_unsigned()
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

fn address_mut<T>(slice: &mut [T]) -> u64 {
    slice.as_mut_ptr() as u64
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ObjectAttributes {
    pathname: u64,
    fd: u32,
    flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Pins an object.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attributes = ObjectAttributes {
        pathname: address(path.as_bytes_with_nul()),
        fd: number(fd),
        flags: 0,
    };
    bpf(Command::ObjectPin, &mut attributes).map(drop)
}

/// Opens a pinned object.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = ObjectAttributes {
        pathname: address(path.as_bytes_with_nul()),
        fd: 0,
        flags: 0,
    };
    bpf(Command::ObjectGet, &mut attributes).and_then(descriptor)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct TestRunAttributes {
    program: u32,
    returned: u32,
    bytes_in: u32,
    bytes_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// Runs a program once on a packet; returns its code and leaves in `packet` what it has made of it.
///
/// Without a repetition the kernel does not change its XDP dispatcher, which would take milliseconds
/// (`net/bpf/test_run.c`, `bpf_prog_test_run_xdp`).
pub(super) fn test_run(program: BorrowedFd<'_>, packet: &mut [u8]) -> io::Result<u32> {
    let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
    let input = packet.to_vec();
    let mut attributes = TestRunAttributes {
        program: number(program),
        returned: 0,
        bytes_in: length,
        bytes_out: length,
        data_in: address(&input),
        data_out: address_mut(packet),
        repeat: 1,
        duration: 0,
    };
    bpf(Command::TestRun, &mut attributes)?;
    Ok(attributes.returned)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct TestRunInAttributes {
    run: TestRunAttributes,
    context_bytes_in: u32,
    context_bytes_out: u32,
    context_in: u64,
    context_out: u64,
}

/// Runs a program once on a frame, in the context that these words are the start of; returns its code. With `out`, that
/// is cut to what the program has made of the frame.
pub(super) fn test_run_in(
    program: BorrowedFd<'_>,
    frame: &[u8],
    context: &[u32],
    mut out: Option<&mut Vec<u8>>,
) -> io::Result<u32> {
    let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let (bytes_out, data_out) = match &mut out {
        Some(out) => (length(out.len())?, address_mut(out.as_mut_slice())),
        None => (0, 0),
    };
    let mut attributes = TestRunInAttributes {
        run: TestRunAttributes {
            program: number(program),
            returned: 0,
            bytes_in: length(frame.len())?,
            bytes_out,
            data_in: address(frame),
            data_out,
            repeat: 1,
            duration: 0,
        },
        context_bytes_in: length(size_of_val(context))?,
        context_bytes_out: 0,
        context_in: address(context),
        context_out: 0,
    };
    bpf(Command::TestRun, &mut attributes)?;
    if let Some(out) = out {
        out.truncate(attributes.run.bytes_out as usize);
    }
    Ok(attributes.run.returned)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LinkCreateAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches an XDP program by a link.
pub(super) fn link_xdp(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreateAttributes {
        program: number(program),
        target: interface,
        attach_type: BPF_XDP,
        flags,
    };
    bpf(Command::LinkCreate, &mut attributes).and_then(descriptor)
}

/// Attaches a program at tcx egress by a link, behind all that are there. Since kernel 6.6.
pub(super) fn link_tcx_egress(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreateAttributes {
        program: number(program),
        target: interface,
        attach_type: BPF_TCX_EGRESS,
        flags: 0,
    };
    bpf(Command::LinkCreate, &mut attributes).and_then(descriptor)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LinkUpdateAttributes {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts another program into a link, atomically.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = LinkUpdateAttributes {
        link: number(link),
        program: number(program),
        flags: 0,
        old_program: 0,
    };
    bpf(Command::LinkUpdate, &mut attributes).map(drop)
}

/// Detaches a link at once, however many pins and descriptors there are of it.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = number(link);
    bpf(Command::LinkDetach, &mut attributes).map(drop)
}

/// What a link says of itself (`struct bpf_link_info`, the part that XDP and tcx links fill in).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LinkInfo {
    /// `BPF_LINK_TYPE_*`.
    pub(super) kind: u32,
    /// Its identifier.
    pub(super) id: u32,
    /// Its program's identifier.
    pub(super) program: u32,
    padding: u32,
    /// The interface's index; zero where the link has been detached.
    pub(super) interface: u32,
    attach_type: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct InfoAttributes {
    fd: u32,
    length: u32,
    info: u64,
}

const LINK_INFO_BYTES: u32 = 24;
const _: () = assert!(size_of::<LinkInfo>() == LINK_INFO_BYTES as usize);

/// Information on a link.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = [LinkInfo::default()];
    let mut attributes = InfoAttributes {
        fd: number(link),
        length: LINK_INFO_BYTES,
        info: address_mut(&mut info),
    };
    bpf(Command::GetInfo, &mut attributes)?;
    let [info] = info;
    Ok(info)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The identifier of the program at a place of a program array.
pub(super) fn program_at(array: BorrowedFd<'_>, index: u32) -> io::Result<Option<u32>> {
    let (key, mut id) = ([index], [0u32]);
    let mut attributes = ElementAttributes {
        map: number(array),
        padding: 0,
        key: address(&key),
        value: address_mut(&mut id),
        flags: 0,
    };
    match bpf(Command::MapLookup, &mut attributes) {
        Ok(_) => Ok(id.first().copied()),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a program into a place of a program array.
pub(super) fn set_program(array: BorrowedFd<'_>, index: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let (key, value) = ([index], [number(program)]);
    let mut attributes = ElementAttributes {
        map: number(array),
        padding: 0,
        key: address(&key),
        value: address(&value),
        flags: 0,
    };
    bpf(Command::MapUpdate, &mut attributes).map(drop)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Sizes of a map's elements in a batch: a per-CPU value counts once for each possible CPU, rounded up to 8 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct ElementSizes {
    pub(super) key: usize,
    pub(super) value: usize,
}

/// Reads up to `count` elements in one go; `cursor` is where to go on, and empty at the start and past the end.
/// Returns keys and values as bytes. Array maps give their elements in order.
pub(super) fn lookup_batch(
    map: BorrowedFd<'_>,
    sizes: ElementSizes,
    count: u32,
    cursor: &mut Vec<u8>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut keys = vec![0u8; sizes.key * count as usize];
    let mut values = vec![0u8; sizes.value * count as usize];
    // The kernel writes a key or, for hashes, a bucket number of four bytes.
    let mut next = vec![0u8; sizes.key.max(4)];
    let mut attributes = BatchAttributes {
        in_batch: if cursor.is_empty() { 0 } else { address(cursor) },
        out_batch: address_mut(&mut next),
        keys: address_mut(&mut keys),
        values: address_mut(&mut values),
        count,
        map: number(map),
        element_flags: 0,
        flags: 0,
    };
    match bpf(Command::MapLookupBatch, &mut attributes) {
        Ok(_) => *cursor = next,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => cursor.clear(),
        Err(error) => return Err(error),
    }
    let seen = attributes.count.min(count) as usize;
    keys.truncate(sizes.key * seen);
    values.truncate(sizes.value * seen);
    Ok((keys, values))
}

/// `MEMBARRIER_CMD_GLOBAL` of linux/membarrier.h.
const MEMBARRIER_GLOBAL: libc::c_int = 1;

/// Waits until every program run that has begun before is over: an RCU grace period.
///
/// `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu()` (kernel/sched/membarrier.c, `SYSCALL_DEFINE3(membarrier, …)`), and
/// XDP and tc run their programs inside RCU read-side sections. On a single CPU the kernel skips it: there, programs
/// run with bottom halves off and so to their end before this process gets the CPU. Where CPUs run without a tick
/// (`nohz_full`) the kernel refuses; then a time is waited that is some thousand times what a packet takes.
pub(super) fn grace_period() -> io::Result<()> {
    const INSTEAD: Duration = Duration::from_millis(500);
    // SAFETY: this command has no memory arguments.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) {
        thread::sleep(INSTEAD);
        return Ok(());
    }
    Err(error)
}

/// Has the C library hold little memory that nobody uses. To be called before there is a second thread.
///
/// By itself it keeps a heap for each thread that had to wait for another's, and once a large piece was freed it takes
/// pieces of that size from these heaps, where what lies behind them keeps them from being given back (`mallopt(3)`).
pub(crate) fn hold_little_memory() {
    /// Pieces from this size on, in bytes, are mapped alone, and given back when they are freed.
    #[cfg(target_env = "gnu")]
    const MAPPED_ALONE: libc::c_int = 1 << 18;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) may be called as long as no other thread allocates.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_ALONE);
    }
}

/// Gives memory that was freed back to the kernel: the C library keeps most of it for itself.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time, by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
