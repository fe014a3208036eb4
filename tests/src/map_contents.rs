//! All that the pinned maps of a dataplane hold, byte by byte.

use std::{
    collections::BTreeMap,
    fs, io,
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
};

use anyhow::{Context, Result};
use aya::{
    maps::{MapData, MapType},
    util::nr_cpus,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// `BPF_MAP_LOOKUP_BATCH` of `linux/bpf.h`.
const LOOKUP_BATCH: libc::c_int = 24;
/// What the names of pinned programs begin with.
const PROGRAM_PREFIX: &str = "fw_";
const PAGE_BYTES: usize = 4096;

/// Keys and values of every pinned map by name, and of ring buffers how much was ever written to them. Program arrays
/// hold no data and are left out.
pub fn map_contents(pins: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut contents = BTreeMap::new();
    for pinned in fs::read_dir(pins)? {
        let path = pinned?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        if name.starts_with(PROGRAM_PREFIX) {
            continue;
        }
        let map = MapData::from_pin(&path)?;
        let bytes = match map.info()?.map_type()? {
            MapType::ProgramArray => continue,
            MapType::RingBuf => written(map.fd().as_fd())?,
            _ => entries(&map).with_context(|| name.clone())?,
        };
        contents.insert(name, bytes);
    }
    Ok(contents)
}

/// The position up to which a ring buffer was written: it stands on the second page of its memory.
fn written(ring: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let page = NonZeroUsize::new(PAGE_BYTES).context("a page")?;
    let offset = libc::off_t::try_from(PAGE_BYTES)?;
    // SAFETY: a new mapping of one page, which is only read, and unmapped at once.
    unsafe {
        let place = mmap(
            None,
            page,
            ProtFlags::PROT_READ,
            MapFlags::MAP_SHARED,
            ring,
            offset,
        )?;
        let position = place.cast::<u64>().read_volatile();
        munmap(place, PAGE_BYTES)?;
        Ok(position.to_ne_bytes().to_vec())
    }
}

/// `union bpf_attr`, the part for batches.
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

fn entries(map: &MapData) -> Result<Vec<u8>> {
    let info = map.info()?;
    let is_per_cpu = matches!(info.map_type()?, MapType::PerCpuArray | MapType::PerCpuHash);
    let value_bytes = if is_per_cpu {
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        usize::try_from(info.value_size())?.next_multiple_of(8) * cpus
    } else {
        usize::try_from(info.value_size())?
    };
    let count = usize::try_from(info.max_entries())?;
    let mut keys = vec![0u8; usize::try_from(info.key_size())? * count];
    let mut values = vec![0u8; value_bytes * count];
    let mut next = vec![0u8; usize::try_from(info.key_size())?.max(8)];
    let mut attributes = Attributes {
        in_batch: 0,
        out_batch: next.as_mut_ptr() as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: info.max_entries(),
        map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: the pointers are to buffers that have room for all keys and values, and live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP_BATCH,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    let error = io::Error::last_os_error();
    if result < 0 && error.raw_os_error() != Some(libc::ENOENT) {
        return Err(error.into());
    }
    keys.extend(values);
    Ok(keys)
}
