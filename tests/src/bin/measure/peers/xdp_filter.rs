//! xdp-filter of xdp-tools.
//!
//! It is attached without libxdp's dispatcher, which would add a call, and whose parts the kernel lets into no
//! program array.

use anyhow::{Context, Result};
use aya::{
    maps::{MapData, PerCpuHashMap, PerCpuValues},
    programs::{ProgramFd, ProgramInfo},
};
use firewall_tests::netns::output;

use super::Peer;
use crate::wire::Lane;

/// What stands beside its figures.
pub(crate) const NAME: &str = "xdp-filter";
/// Addresses that it has room for.
pub(crate) const CAPACITY: u32 = 10_000;
/// Where it pins what it loads; a file system of this process alone.
const PINS: &str = "/sys/fs/bpf/xdp-filter";

/// The loaded program. There is one at a time.
pub(crate) struct XdpFilter {
    program: ProgramFd,
}

impl XdpFilter {
    /// Has it look at IPv4 sources and destinations on a lane and drop packets from these sources.
    pub(crate) fn new(lane: &Lane, sources: impl Iterator<Item = [u8; 4]>) -> Result<Self> {
        let interface = lane.interface();
        let arguments = [
            "load",
            interface,
            "--mode",
            "native",
            "--features",
            "ipv4",
            "--policy",
            "allow",
        ];
        let mut load = lane.namespace.command("xdp-filter");
        output(load.args(arguments).env("LIBXDP_SKIP_DISPATCHER", "1")).context("xdp-filter")?;
        fill(lane, sources)?;
        let pin = format!("{PINS}/programs/{interface}/xdpfilt_alw_ip");
        let program = ProgramInfo::from_pin(&pin).with_context(|| pin.clone())?.fd()?;
        Ok(Self { program })
    }

    /// Its program.
    pub(crate) const fn program(&self) -> &ProgramFd {
        &self.program
    }
}

/// Enters the first address by the tool, and the others by what the tool has entered for it: a process for each would
/// take minutes.
fn fill(lane: &Lane, mut sources: impl Iterator<Item = [u8; 4]>) -> Result<()> {
    let first @ [a, b, c, d] = sources.next().context("no sources")?;
    let mut tool = lane.namespace.command("xdp-filter");
    output(tool.args(["ip", &format!("{a}.{b}.{c}.{d}"), "--mode", "src"])).context("xdp-filter")?;
    let map = MapData::from_pin(format!("{PINS}/filter_ipv4")).context("xdp-filter's map")?;
    let mut map = PerCpuHashMap::<_, [u8; 4], u64>::try_from(aya::maps::Map::PerCpuHashMap(map))?;
    let flags = map.get(&first, 0)?.to_vec();
    for source in sources {
        map.insert(source, PerCpuValues::try_from(flags.clone())?, 0)?;
    }
    Ok(())
}

impl Peer for XdpFilter {
    fn dropped(&self, _: &Lane) -> Result<u64> {
        let text = super::script::output("xdp-filter", &["status"])?;
        packets(&text).with_context(|| format!("xdp-filter says {text}"))
    }
}

/// Dropped packets, as its status shows them.
fn packets(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.trim().starts_with("XDP_DROP"))?;
    line.split_whitespace().nth(1)?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_from_its_status() {
        let status = "  XDP_ABORTED      0 pkts       0 KiB\n  XDP_DROP      1,234,567 pkts       9 KiB\n";
        assert_eq!(packets(status), Some(1_234_567));
        assert_eq!(packets("CURRENT XDP-FILTER STATUS:\n"), None);
    }
}
