//! The programs of the bench object: the shim that varies the remote end, and what it goes on in.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData, ProgramArray},
    programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions, Xdp},
};
use firewall_common::counters::Hook;

/// Room for what comes out of a program.
const FRAME_BYTES: usize = 2048;

/// A remote end as the shim writes it into packets.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Remote {
    /// The last eight bytes of its address; IPv4: the last four of these.
    pub(crate) address: [u8; 8],
    /// Its port in network order.
    pub(crate) port: [u8; 2],
    reserved: [u8; 6],
}

// SAFETY: bytes only, without padding.
unsafe impl Pod for Remote {}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct LruKey {
    source: [u8; 4],
    destination: [u8; 4],
    ports: [u8; 4],
    protocol: [u8; 4],
}

// SAFETY: bytes only, without padding.
unsafe impl Pod for LruKey {}

/// Programs of the bench object that the shim can go on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Does nothing.
    Empty,
    /// The usual design.
    Lru,
}

/// What the shim goes on in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A program of the bench object.
    Own(Own),
    /// A program of the firewall.
    Firewall(&'a ProgramFd),
}

/// The loaded bench object.
pub(crate) struct Shim {
    object: Ebpf,
    next: Array<MapData, [u32; 2]>,
    target: ProgramArray<MapData>,
    target_tc: ProgramArray<MapData>,
    count: u32,
}

/// Remote ends in random order, but the same in each run.
fn remotes(count: u32) -> impl Iterator<Item = Remote> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [a, b, c, d, e, f, g, h] = state.to_be_bytes();
        // The first byte of an IPv4 address: none that may not be a source.
        let first = 11 + e % 100;
        Remote {
            address: [a, b, c, d, first, f, g, h],
            port: [4 | a & 0x7f, c],
            reserved: [0; 6],
        }
    })
}

impl Shim {
    /// Loads the object with so many remote ends, a power of two.
    pub(crate) fn load(object: &[u8], count: u32) -> Result<Self> {
        ensure!(count.is_power_of_two(), "{count} remote ends");
        let mut object = EbpfLoader::new()
            .map_max_entries("REMOTES", count)
            .map_max_entries("LRU", count * 2)
            .load(object)
            .context("the bench object")?;
        for name in ["bench_empty", "bench_lru", "bench_shim"] {
            let program: &mut Xdp = object.program_mut(name).context(name)?.try_into()?;
            program.load()?;
        }
        for name in ["bench_empty_tc", "bench_shim_tc"] {
            let program: &mut SchedClassifier = object.program_mut(name).context(name)?.try_into()?;
            program.load()?;
        }
        let mut map = |name: &'static str| object.take_map(name).context(name);
        let mut table = Array::<_, Remote>::try_from(map("REMOTES")?)?;
        for (index, remote) in (0..).zip(remotes(count)) {
            table.set(index, remote, 0)?;
        }
        Ok(Self {
            next: Array::try_from(map("NEXT")?)?,
            target: ProgramArray::try_from(map("TARGET")?)?,
            target_tc: ProgramArray::try_from(map("TARGET_TC")?)?,
            object,
            count,
        })
    }

    /// Number of remote ends.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Enters all remote ends into the LRU hash, as clients of a server.
    pub(crate) fn fill_lru(&mut self, server: IpAddr, port: u16) -> Result<()> {
        let IpAddr::V4(server) = server else { return Ok(()) };
        let mut lru = HashMap::<_, LruKey, u64>::try_from(self.object.map_mut("LRU").context("LRU")?)?;
        let [high, low] = port.to_be_bytes();
        for remote in remotes(self.count) {
            let [_, _, _, _, a, b, c, d] = remote.address;
            let key = LruKey {
                source: [a, b, c, d],
                destination: server.octets(),
                ports: [remote.port[0], remote.port[1], high, low],
                protocol: [6, 0, 0, 0],
            };
            lru.insert(key, 1, 0)?;
        }
        Ok(())
    }

    /// Runs so many packets, each of another remote end, from the first on; returns the last one's return code and
    /// nanoseconds a packet.
    pub(crate) fn run(
        &mut self,
        hook: Hook,
        target: Target<'_>,
        frame: &[u8],
        packets: u32,
    ) -> Result<(u32, f64)> {
        self.next.set(0, [0, self.count - 1], 0)?;
        let descriptor = match target {
            Target::Firewall(program) => program.try_clone()?,
            Target::Own(own) => self.own(own, hook)?,
        };
        let mut out = vec![0; FRAME_BYTES];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            repeat: packets,
            ..TestRunOptions::new()
        };
        let ran = match hook {
            Hook::Ingress => {
                self.target.set(0, &descriptor, 0)?;
                let shim: &Xdp = self
                    .object
                    .program("bench_shim")
                    .context("bench_shim")?
                    .try_into()?;
                shim.test_run(options)?
            }
            Hook::Egress => {
                self.target_tc.set(0, &descriptor, 0)?;
                let shim = self.object.program("bench_shim_tc").context("bench_shim_tc")?;
                let shim: &SchedClassifier = shim.try_into()?;
                shim.test_run(options)?
            }
        };
        Ok((ran.return_value, ran.duration.as_secs_f64() * 1e9))
    }

    fn own(&self, own: Own, hook: Hook) -> Result<ProgramFd> {
        let name = match (own, hook) {
            (Own::Empty, Hook::Ingress) => "bench_empty",
            (Own::Empty, Hook::Egress) => "bench_empty_tc",
            (Own::Lru, _) => "bench_lru",
        };
        let program = self.object.program(name).context(name)?;
        Ok(program.fd()?.try_clone()?)
    }
}
