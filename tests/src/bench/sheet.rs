//! Per-CPU counters, read as a whole after every packet: by one system call, and compared before they are taken apart.

use std::{io, marker::PhantomData, os::fd::AsFd, path::Path};

use aya::{maps::MapData, util::nr_cpus};
use bytemuck::{Pod, pod_read_unaligned};
use std::os::fd::{AsRawFd, BorrowedFd};

/// `BPF_MAP_LOOKUP_BATCH` of `linux/bpf.h`.
const LOOKUP_BATCH: libc::c_int = 24;

/// The first entries of a per-CPU array, as they were when they were last read.
#[derive(Debug)]
pub(super) struct Sheet<T> {
    map: MapData,
    count: u32,
    cpus: usize,
    seen: Vec<u8>,
    entry: PhantomData<T>,
}

impl<T: Pod> Sheet<T> {
    pub(super) fn open(pins: &Path, name: &str, count: u32) -> Self {
        let cpus = nr_cpus().expect("a number of CPUs");
        let mut sheet = Self {
            map: MapData::from_pin(pins.join(name)).expect("a pinned map"),
            count,
            cpus,
            seen: vec![0; size_of::<T>() * cpus * count as usize],
            entry: PhantomData,
        };
        sheet.risen();
        sheet
    }

    /// Looks at so many entries from now on.
    pub(super) fn resize(&mut self, count: u32) {
        self.count = count;
        self.seen = vec![0; size_of::<T>() * self.cpus * count as usize];
        self.risen();
    }

    /// Places of entries that have changed since they were last read, and what each word has gained.
    pub(super) fn risen(&mut self) -> Vec<(usize, T)> {
        let mut now = vec![0; self.seen.len()];
        lookup_batch(self.map.fd().as_fd(), self.count, &mut now).expect("counters");
        let entry_bytes = size_of::<T>() * self.cpus;
        let risen = if now == self.seen {
            Vec::new()
        } else {
            let pairs = self
                .seen
                .chunks_exact(entry_bytes)
                .zip(now.chunks_exact(entry_bytes));
            let changed = pairs.enumerate().filter(|(_, (before, now))| before != now);
            changed
                .map(|(place, (before, now))| (place, gain(before, now)))
                .collect()
        };
        self.seen = now;
        risen
    }
}

/// What the words of one entry have gained, summed over CPUs.
fn gain<T: Pod>(before: &[u8], now: &[u8]) -> T {
    let mut sums = vec![0u64; size_of::<T>() / 8];
    let count = sums.len();
    for (place, (before, now)) in before.chunks_exact(8).zip(now.chunks_exact(8)).enumerate() {
        let word = |bytes| pod_read_unaligned::<u64>(bytes);
        sums[place % count] += word(now) - word(before);
    }
    pod_read_unaligned(bytemuck::cast_slice(&sums))
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

/// Reads the first `count` entries of an array map into `values`.
fn lookup_batch(map: BorrowedFd<'_>, count: u32, values: &mut [u8]) -> io::Result<()> {
    let mut keys = vec![0u32; count as usize];
    let mut next = 0u32;
    let mut attributes = Attributes {
        in_batch: 0,
        out_batch: (&raw mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count,
        map: map.as_raw_fd().cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: the pointers are to buffers that have room for `count` keys and values, and live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP_BATCH,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    match io::Error::last_os_error() {
        _ if result >= 0 => Ok(()),
        // The end of the map has been reached.
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        error => Err(error),
    }
}
