//! The least that a receiver can do: read the headers, count, drop.

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::PerCpuArray,
    programs::{Xdp, XdpMode},
};

use super::Peer;
use crate::wire::Lane;

/// The attached program.
pub(crate) struct Trivial(Ebpf);

impl Trivial {
    /// Loads and attaches it.
    pub(crate) fn new(object: &[u8], lane: &Lane) -> Result<Self> {
        let mut object = EbpfLoader::new().load(object).context("the bench object")?;
        lane.namespace.run(|| -> Result<()> {
            let program: &mut Xdp = object
                .program_mut("bench_drop")
                .context("bench_drop")?
                .try_into()?;
            program.load()?;
            program.attach(lane.interface(), XdpMode::Driver)?;
            Ok(())
        })?;
        Ok(Self(object))
    }
}

impl Peer for Trivial {
    fn dropped(&self, _: &Lane) -> Result<u64> {
        let map = PerCpuArray::<_, u64>::try_from(self.0.map("DROPPED").context("DROPPED")?)?;
        Ok(map.get(&0, 0)?.iter().sum())
    }
}
