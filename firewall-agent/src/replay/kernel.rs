//! The programs of the kernel side, put to captured packets by `BPF_PROG_TEST_RUN`.

use std::net::IpAddr;

use firewall_common::{
    cell::{Cell, Mode},
    counters::{DEFAULT_COUNTERS, Hook},
    flow::BUCKET_WAYS,
    interface::LinkType,
    verdict::Decision,
};

use crate::{
    dataplane::{
        Dataplane, DataplaneError, KernelDataplane, KernelSettings, LOOPBACK_INDEX, Rehearsal, Rehearsing,
        SlotImage,
        isolation::{self, IsolationError},
    },
    engine::{SEED, Sizes},
    settings::TableSettings,
    trial::Subject,
};

/// A table that is made for three quarters of its places has as many buckets as the engine in memory.
const WAYS: u32 = 7;
const _: () = assert!(WAYS as usize == BUCKET_WAYS);

/// Why the programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelEngineError {
    /// There is no place for them.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The kernel does not take them, or not the policy.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
}

/// A frame that the kernel runs no program on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotRun;

/// A policy in the programs of the kernel side.
#[derive(Debug)]
pub struct KernelEngine {
    dataplane: KernelDataplane,
    ingress: Rehearsal,
    egress: Rehearsal,
    interface_slot: u8,
    link: LinkType,
    now_ticks: u32,
}

impl KernelEngine {
    /// Loads the programs for a policy, for a thread that is isolated (see [`Self::isolate`]). Where nothing is to be
    /// remembered, they write nothing. `place` tells engines of one thread apart.
    pub fn start(
        subject: &Subject,
        sizes: Sizes,
        local: &[IpAddr],
        is_stateless: bool,
        place: u8,
    ) -> Result<Self, KernelEngineError> {
        let listed = subject.policy.listed();
        let flows = sizes.buckets * WAYS / 4 * 3;
        let rules = u32::try_from(subject.policy.rules.len()).unwrap_or(u32::MAX);
        let mut dataplane = KernelDataplane::new(KernelSettings {
            pin_directory: format!("{}{place}", isolation::PINS).into(),
            state_directory: format!("{}{place}", isolation::STATE).into(),
            tables: TableSettings {
                flows,
                half_open_flows: flows,
                rule_counters: rules.saturating_add(DEFAULT_COUNTERS.into()),
                bans: 1,
                list_blocks: if listed.is_empty() { 1 } else { sizes.list_blocks },
            },
            clock_from_cell: true,
            rehearsing: if is_stateless {
                Rehearsing::Dry
            } else {
                Rehearsing::Told
            },
        });
        dataplane.adopt_or_create()?;
        dataplane.set_seed(SEED)?;
        dataplane.add_local_addresses(local)?;
        let image = SlotImage {
            blocks: subject.engine.image(),
            timers: subject.policy.settings.timers,
        };
        let slot = dataplane.load_generation(&image, &[])?.slot;
        dataplane.load_lists(slot, &listed)?;
        dataplane.switch(Cell {
            slot,
            fallback: slot,
            mode: Mode::Normal,
            deadline_ticks: None,
        })?;
        let link = LinkType::Ethernet;
        dataplane.let_loopback_be(subject.interface_slot(), link)?;
        Ok(Self {
            ingress: dataplane.rehearsal(Hook::Ingress)?,
            egress: dataplane.rehearsal(Hook::Egress)?,
            dataplane,
            interface_slot: subject.interface_slot(),
            link,
            now_ticks: 0,
        })
    }

    /// Moves the calling thread for good to where the programs meet neither pins nor interfaces of the host.
    pub fn isolate() -> Result<(), KernelEngineError> {
        isolation::enter_mounts()?;
        Ok(isolation::enter_network()?)
    }

    /// What the programs decide on a frame.
    pub fn judge(
        &mut self,
        frame: &[u8],
        link: LinkType,
        hook: Hook,
        now_ticks: u32,
    ) -> Result<Result<Decision, NotRun>, DataplaneError> {
        if link != self.link {
            self.dataplane.let_loopback_be(self.interface_slot, link)?;
            self.link = link;
        }
        if now_ticks != self.now_ticks {
            self.dataplane.set_clock(now_ticks)?;
            self.now_ticks = now_ticks;
        }
        let program = match hook {
            Hook::Ingress => &self.ingress,
            Hook::Egress => &self.egress,
        };
        match program.run(frame, LOOPBACK_INDEX, None) {
            Ok(ran) => ran.decision.map(Ok).ok_or_else(|| DataplaneError::Syscall {
                action: "hear of a decision",
                source: std::io::Error::other("the programs came to none"),
            }),
            // `bpf_test_init` and `bpf_prog_test_run_skb` in `net/bpf/test_run.c`.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOMEM)) => {
                Ok(Err(NotRun))
            }
            Err(source) => Err(DataplaneError::Syscall {
                action: "run a program on a frame",
                source,
            }),
        }
    }
}
