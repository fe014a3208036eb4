//! Two hosts on one wire.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use firewall_agent::{
    dataplane::{
        Adoption, AttachMode, AttachRequest, AttachedInterface, Dataplane, DataplaneError, KernelDataplane,
        KernelSettings, Link, Rehearsing,
    },
    settings::TableSettings,
};
use firewall_tests::{
    bpffs::Bpffs,
    mounts::{Mounts, PINS, STATE},
    netns::{NetNs, output},
};
use tempfile::TempDir;

pub(crate) const LOCAL_V4: &str = "192.0.2.1";
pub(crate) const PEER_V4: &str = "192.0.2.2";
pub(crate) const LOCAL_V6: &str = "2001:db8::1";
pub(crate) const PEER_V6: &str = "2001:db8::2";
/// How long a connection is tried for. On a busy machine the first ARP request of a new wire may be lost; the next one
/// goes out a second later (RFC 1122 2.3.2.1).
const ATTEMPT: Duration = Duration::from_millis(1300);

/// The mounts in which shared programs are pinned.
static SHARED: OnceLock<Mutex<Mounts>> = OnceLock::new();

/// Two hosts on one wire; the firewall is to run on `host`.
pub(crate) struct Wire {
    pub(crate) host: NetNs,
    pub(crate) peer: NetNs,
    pins: PathBuf,
    state: PathBuf,
    /// What only this wire has.
    own: Option<(Bpffs, TempDir)>,
    /// The turn at what wires share.
    _turn: Option<MutexGuard<'static, Mounts>>,
}

impl Wire {
    /// With nothing loaded.
    pub(crate) fn new() -> Self {
        let (bpffs, state) = (Bpffs::mount().unwrap(), tempfile::tempdir().unwrap());
        let mut wire = Self::joined(None);
        wire.pins = bpffs.path().join("agent");
        state.path().clone_into(&mut wire.state);
        wire.own = Some((bpffs, state));
        wire
    }

    /// With what the last such wire has left: programs in some slots, and counters that have counted. No interface is
    /// attached, and there are no flows. For the calling thread only.
    pub(crate) fn shared() -> Self {
        let mounts = SHARED.get_or_init(|| Mutex::new(Mounts::new()));
        let mounts = mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.enter();
        Self::joined(Some(mounts))
    }

    fn joined(turn: Option<MutexGuard<'static, Mounts>>) -> Self {
        let (host, peer) = (NetNs::unnamed().unwrap(), NetNs::unnamed().unwrap());
        host.join("eth0", &peer, "eth0").unwrap();
        for (namespace, addresses) in [
            (&host, [format!("{LOCAL_V4}/24"), format!("{LOCAL_V6}/64")]),
            (&peer, [format!("{PEER_V4}/24"), format!("{PEER_V6}/64")]),
        ] {
            for address in addresses {
                namespace.address("eth0", &address).unwrap();
            }
        }
        Self {
            host,
            peer,
            pins: PINS.into(),
            state: STATE.into(),
            own: None,
            _turn: turn,
        }
    }

    pub(crate) fn settings(&self) -> KernelSettings {
        KernelSettings {
            pin_directory: self.pins.clone(),
            state_directory: self.state.clone(),
            tables: TableSettings {
                flows: 4096,
                half_open_flows: 4096,
                rule_counters: 256,
                bans: 64,
                list_blocks: 4096,
            },
            clock_from_cell: false,
            rehearsing: Rehearsing::No,
        }
    }

    /// A dataplane as a starting agent has it, opened.
    pub(crate) fn open(&self) -> (KernelDataplane, Adoption) {
        let mut dataplane = KernelDataplane::new(self.settings());
        let adoption = self.host.run(|| dataplane.adopt_or_create()).unwrap();
        (dataplane, adoption)
    }

    pub(crate) fn link(&self, dataplane: &KernelDataplane, name: &str) -> Link {
        let links = self.host.run(|| dataplane.links()).unwrap();
        links.into_iter().find(|link| link.name == name).unwrap()
    }

    pub(crate) fn attach(&self, dataplane: &mut KernelDataplane, mode: AttachMode) {
        let link = self.link(dataplane, "eth0");
        self.host.run(|| attach(dataplane, &link, mode)).unwrap();
    }

    /// Pinned links whose name starts like this.
    pub(crate) fn pinned_links(&self, prefix: &str) -> Vec<PathBuf> {
        fs::read_dir(self.settings().pin_directory.join("links"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
            .collect()
    }

    pub(crate) fn has_clsact(&self) -> bool {
        let qdiscs = output(self.host.command("tc").args(["qdisc", "show", "dev", "eth0"]));
        qdiscs.unwrap().contains("clsact")
    }

    /// Whether the host can open a connection to the peer.
    pub(crate) fn connects_out(&self, address: &str) -> bool {
        let listener = self.peer.run(|| TcpListener::bind((address, 4242))).unwrap();
        let target = listener.local_addr().unwrap();
        self.host
            .run(|| TcpStream::connect_timeout(&target, ATTEMPT))
            .is_ok()
    }

    /// Whether the peer can open a connection to the host.
    pub(crate) fn connects_in(&self, address: &str) -> bool {
        let listener = self.host.run(|| TcpListener::bind((address, 4243))).unwrap();
        let target = listener.local_addr().unwrap();
        self.peer
            .run(|| TcpStream::connect_timeout(&target, ATTEMPT))
            .is_ok()
    }
}

/// Leaves the next wire a set without interfaces and flows.
impl Drop for Wire {
    fn drop(&mut self) {
        if self.own.is_some() {
            return;
        }
        let mut dataplane = KernelDataplane::new(self.settings());
        self.host.run(|| {
            dataplane.adopt_or_create().unwrap();
            for attached in dataplane.interfaces() {
                dataplane.detach(&attached.name).unwrap();
            }
            dataplane.delete_flows(&mut |_| true).unwrap();
        });
    }
}

pub(crate) fn attach(
    dataplane: &mut KernelDataplane,
    link: &Link,
    mode: AttachMode,
) -> Result<AttachedInterface, DataplaneError> {
    dataplane.attach(&AttachRequest {
        link,
        mode,
        needs_vlan_tags: false,
    })
}
