//! The programs of the bench object: the shim that varies the remote end, and what it goes on in.

use std::{net::IpAddr, time::Duration};

use crate::remotes::{Remote, remotes};
use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, LpmTrie, MapData, ProgramArray, lpm_trie::Key},
    programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions, Xdp},
};
use nix::time::{ClockId, clock_gettime};

/// Room in the LPM trie, which takes memory for what is in it only.
const MOST_PREFIXES: u32 = 1 << 20;
/// Room for what comes out of a program.
const FRAME_BYTES: usize = 2048;

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

/// Where programs are attached that the shim goes on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// XDP, with frames in several buffers.
    Xdp,
    /// XDP, without them.
    PlainXdp,
    /// tc.
    Tc,
}

/// Time that this thread has had a processor for. Neither what other processes had counts, nor what the host gave to
/// other guests (`update_rq_clock_task` of Linux takes off stolen time).
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The same since a time, which becomes now.
fn since(before: &mut Duration) -> Result<Duration> {
    let now = processor_time()?;
    Ok(now.saturating_sub(std::mem::replace(before, now)))
}

/// What was measured in runs of one packet each.
#[derive(Default)]
pub(crate) struct Singles {
    /// Nanoseconds, of each run that had the processor for as long as it took.
    pub(crate) nanoseconds: Vec<f64>,
    /// Number of the others: another process or another guest of the host had the processor for a part of the time,
    /// which the kernel takes by the clock on the wall.
    pub(crate) interrupted: usize,
}

impl Singles {
    /// Takes in what was measured in a run that took so long, in a system call that had a processor for the last time.
    fn add(&mut self, measured: Duration, ran: Duration, processor: Duration) {
        if ran <= processor {
            self.nanoseconds.push(measured.as_secs_f64() * 1e9);
        } else {
            self.interrupted += 1;
        }
    }

    /// Takes in all of another run.
    pub(crate) fn append(&mut self, other: Self) {
        self.nanoseconds.extend(other.nanoseconds);
        self.interrupted += other.interrupted;
    }
}

impl Way {
    /// The shim's program there.
    const fn shim(self) -> &'static str {
        match self {
            Self::Xdp => "bench_shim",
            Self::PlainXdp => "bench_shim_plain",
            Self::Tc => "bench_shim_tc",
        }
    }
}

/// Programs of the bench object that the shim can go on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Does nothing.
    Empty,
    /// The usual design of a flow table.
    Lru,
    /// One line of an array.
    Line,
    /// The usual design of a block list.
    Lpm,
    /// Reads the clock, and returns the longest time between two readings, in nanoseconds.
    Pauses,
}

/// What the shim goes on in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A program of the bench object.
    Own(Own),
    /// Any other.
    Other(&'a ProgramFd),
}

/// The loaded bench object.
pub(crate) struct Shim {
    object: Ebpf,
    next: Array<MapData, [u32; 2]>,
    target: ProgramArray<MapData>,
    target_plain: ProgramArray<MapData>,
    target_tc: ProgramArray<MapData>,
    count: u32,
}

impl Shim {
    /// Loads the object with so many remote ends.
    pub(crate) fn load(object: &[u8], count: u32) -> Result<Self> {
        Self::with_lines(object, count, 1)
    }

    /// Likewise, with so many cache lines, a power of two, to look at one of.
    pub(crate) fn with_lines(object: &[u8], count: u32, lines: u32) -> Result<Self> {
        let lines_mask = lines - 1;
        let mut object = EbpfLoader::new()
            .override_global("LINES_MASK", &lines_mask, true)
            .map_max_entries("LINES", lines)
            .map_max_entries("REMOTES", count)
            .map_max_entries("LRU", count * 2)
            .map_max_entries("PREFIXES", MOST_PREFIXES)
            .load(object)
            .context("the bench object")?;
        for name in [
            "bench_empty",
            "bench_empty_plain",
            "bench_line",
            "bench_lpm",
            "bench_lru",
            "bench_pauses",
            "bench_shim",
            "bench_shim_plain",
        ] {
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
            target_plain: ProgramArray::try_from(map("TARGET_PLAIN")?)?,
            target_tc: ProgramArray::try_from(map("TARGET_TC")?)?,
            object,
            count,
        })
    }

    /// Number of remote ends.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Enters all remote ends into the LRU hash, as clients of a server. Not in the order in which their packets come:
    /// the hash lays its elements down in the order of entry, and would be read from one end to the other.
    pub(crate) fn fill_lru(&mut self, server: IpAddr, port: u16) -> Result<()> {
        let IpAddr::V4(server) = server else { return Ok(()) };
        let mut lru = HashMap::<_, LruKey, u64>::try_from(self.object.map_mut("LRU").context("LRU")?)?;
        let [high, low] = port.to_be_bytes();
        // The program's clock, `bpf_ktime_get_ns`.
        let seen = u64::try_from(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_nanos())?;
        let mut entered: Vec<_> = remotes(self.count).collect();
        entered.sort_by_key(Remote::v4);
        for remote in entered {
            let key = LruKey {
                source: remote.v4(),
                destination: server.octets(),
                ports: [remote.port[0], remote.port[1], high, low],
                protocol: [6, 0, 0, 0],
            };
            lru.insert(key, seen, 0)?;
        }
        Ok(())
    }

    /// Enters prefixes into the LPM trie.
    pub(crate) fn fill_lpm(&mut self, prefixes: &[([u8; 4], u8)]) -> Result<()> {
        let map = self.object.map_mut("PREFIXES").context("PREFIXES")?;
        let mut trie = LpmTrie::<_, [u8; 4], u8>::try_from(map)?;
        for (prefix, length) in prefixes {
            trie.insert(&Key::new(u32::from(*length), *prefix), 1, 0)?;
        }
        Ok(())
    }

    /// Runs so many packets, each of another remote end, from the first on; returns the last one's return code and
    /// nanoseconds a packet.
    pub(crate) fn run(
        &mut self,
        way: Way,
        target: Target<'_>,
        frame: &[u8],
        packets: u32,
    ) -> Result<(u32, f64)> {
        self.next.set(0, [0, self.count], 0)?;
        let descriptor = match target {
            Target::Other(program) => program.try_clone()?,
            Target::Own(own) => self.own(own, way)?,
        };
        let mut out = vec![0; FRAME_BYTES];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            repeat: packets,
            ..TestRunOptions::new()
        };
        let targets = match way {
            Way::Xdp => &mut self.target,
            Way::PlainXdp => &mut self.target_plain,
            Way::Tc => &mut self.target_tc,
        };
        targets.set(0, &descriptor, 0)?;
        let name = way.shim();
        let shim = self.object.program(name).context(name)?;
        let ran = match way {
            Way::Xdp | Way::PlainXdp => <&Xdp>::try_from(shim)?.test_run(options)?,
            Way::Tc => <&SchedClassifier>::try_from(shim)?.test_run(options)?,
        };
        Ok((ran.return_value, ran.duration.as_secs_f64() * 1e9))
    }

    /// One packet of each remote end, each run alone.
    pub(crate) fn run_each(&mut self, way: Way, target: Target<'_>, frame: &[u8]) -> Result<Singles> {
        // The first run says where to go on; the shim counts on by itself. Its time is not taken.
        self.run(way, target, frame, 1)?;
        let mut taken = Singles::default();
        let mut before = processor_time()?;
        for _ in 1..self.count {
            let (_, ran) = self.run_next(way, frame)?;
            taken.add(ran, ran, since(&mut before)?);
        }
        Ok(taken)
    }

    /// The longest times for which the machine kept a program that does nothing but read the clock from it, one for each
    /// of its runs, which together have taken at least so long.
    pub(crate) fn pauses(&mut self, frame: &[u8], together: Duration) -> Result<Singles> {
        self.run(Way::Xdp, Target::Own(Own::Pauses), frame, 1)?;
        let mut pauses = Singles::default();
        let mut spent = Duration::ZERO;
        let mut before = processor_time()?;
        while spent < together {
            let (longest, ran) = self.run_next(Way::Xdp, frame)?;
            pauses.add(Duration::from_nanos(longest.into()), ran, since(&mut before)?);
            spent += ran;
        }
        Ok(pauses)
    }

    /// Runs one more packet as the last time; the program's return code, and what it took by the clock on the wall.
    fn run_next(&self, way: Way, frame: &[u8]) -> Result<(u32, Duration)> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::new()
        };
        let name = way.shim();
        let shim = self.object.program(name).context(name)?;
        let ran = match way {
            Way::Xdp | Way::PlainXdp => <&Xdp>::try_from(shim)?.test_run(options)?,
            Way::Tc => <&SchedClassifier>::try_from(shim)?.test_run(options)?,
        };
        Ok((ran.return_value, ran.duration))
    }

    fn own(&self, own: Own, way: Way) -> Result<ProgramFd> {
        let name = match (own, way) {
            (Own::Empty, Way::Xdp) => "bench_empty",
            (Own::Empty, Way::PlainXdp) => "bench_empty_plain",
            (Own::Empty, Way::Tc) => "bench_empty_tc",
            (Own::Lru, _) => "bench_lru",
            (Own::Line, _) => "bench_line",
            (Own::Lpm, _) => "bench_lpm",
            (Own::Pauses, _) => "bench_pauses",
        };
        let program = self.object.program(name).context(name)?;
        Ok(program.fd()?.try_clone()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_counts_that_had_the_processor_all_the_time() {
        let mut singles = Singles::default();
        let (short, long) = (Duration::from_nanos(900), Duration::from_micros(433));
        singles.add(short, short, Duration::from_micros(2));
        singles.add(long, long, Duration::from_micros(30));
        assert_eq!(singles.interrupted, 1);
        assert!(matches!(singles.nanoseconds[..], [one] if (one - 900.0).abs() < 0.1));
    }
}
