//! Makes frames in the kernel and sends them out of an interface.

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp},
};
use firewall_tests::netns::NetNs;
use nix::unistd::gettid;

use super::Lane;
use crate::{
    processor::{self, SENDING},
    remotes::{Remote, remotes, sum_without_source},
};

/// Frames that the kernel makes at once.
const BATCH: u32 = 64;

/// Sends one frame from ever new sources.
pub(crate) struct Sender {
    object: Ebpf,
    out: Array<MapData, u32>,
    next: Array<MapData, [u32; 2]>,
    frame: Vec<u8>,
    sent: u32,
    pub(crate) namespace: NetNs,
}

impl Sender {
    /// A sender of this frame (IPv4, without tags or options), from at most so many sources.
    pub(crate) fn new(object: &[u8], frame: Vec<u8>, sources: u32) -> Result<Self> {
        let mut object = EbpfLoader::new()
            .map_max_entries("REMOTES", sources)
            .load(object)
            .context("the bench object")?;
        let program: &mut Xdp = object
            .program_mut("bench_send")
            .context("bench_send")?
            .try_into()?;
        program.load()?;
        let mut map = |name: &'static str| object.take_map(name).context(name);
        let mut table = Array::<_, Remote>::try_from(map("REMOTES")?)?;
        let rest = sum_without_source(&frame);
        for (index, remote) in (0..).zip(remotes(sources)) {
            table.set(index, remote.with_checksum_for(rest), 0)?;
        }
        Ok(Self {
            out: Array::try_from(map("OUT")?)?,
            next: Array::try_from(map("NEXT")?)?,
            object,
            frame,
            sent: 0,
            namespace: NetNs::unnamed()?,
        })
    }

    /// Sends so many frames into a lane, from the first so many sources in turn. What the receiver has no room for is
    /// lost.
    pub(crate) fn send(&mut self, lane: &Lane, frames: u32, sources: u32) -> Result<()> {
        self.next.set(0, [self.sent % sources, sources], 0)?;
        self.sent = self.sent.wrapping_add(frames);
        self.out.set(0, lane.near_index(), 0)?;
        let program: &Xdp = self
            .object
            .program("bench_send")
            .context("bench_send")?
            .try_into()?;
        let frame = &self.frame;
        self.namespace.run(|| -> Result<()> {
            processor::keep(gettid(), SENDING)?;
            let ran = program.test_run(TestRunOptions {
                data_in: Some(frame),
                repeat: frames,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::new()
            })?;
            ensure!(ran.return_value == 0, "sending ended with {}", ran.return_value);
            Ok(())
        })
    }
}
