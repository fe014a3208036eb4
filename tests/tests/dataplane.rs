//! The dataplane against the kernel: loading, switching, attaching, adopting, unloading. Needs root.

use std::{
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use firewall_agent::{
    compile::compile,
    dataplane::{
        AttachMode, AttachRequest, Dataplane, DataplaneError, FlowTable, KernelDataplane, KernelSettings,
        Link, LoadedSlot, ModeReason, Reconciled, Repair, SlotImage, Wanted, XdpMode, image_digest,
        reconcile,
    },
    policy::model::{Action, Defaults, Failsafe, Forwarded, PolicySettings, Timers, ValidPolicy},
    settings::TableSettings,
};
use firewall_common::{
    abi::ABI_VERSION,
    cell::{Cell, Mode},
    counters::{Hook, Outcome},
    flow::State,
    image::Block,
};
use firewall_tests::{
    bpffs::Bpffs,
    netns::{NetNs, output},
    wait::wait_until,
};
use tempfile::TempDir;

const LOCAL_V4: &str = "192.0.2.1";
const PEER_V4: &str = "192.0.2.2";
const LOCAL_V6: &str = "2001:db8::1";
const PEER_V6: &str = "2001:db8::2";

/// Two hosts on one wire; the firewall is to run on `host`.
struct Wire {
    host: NetNs,
    peer: NetNs,
    bpffs: Bpffs,
    state: TempDir,
}

impl Wire {
    fn new() -> Self {
        let host = NetNs::new("fw-dp").unwrap();
        let peer = NetNs::new("fw-dp").unwrap();
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
            bpffs: Bpffs::mount().unwrap(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn settings(&self) -> KernelSettings {
        KernelSettings {
            pin_directory: self.bpffs.path().join("agent"),
            state_directory: self.state.path().to_owned(),
            tables: TableSettings {
                flows: 4096,
                half_open_flows: 4096,
                rule_counters: 256,
                bans: 64,
            },
            clock_from_cell: false,
        }
    }

    /// A dataplane as a starting agent has it, opened.
    fn open(&self) -> (KernelDataplane, firewall_agent::dataplane::Adoption) {
        let mut dataplane = KernelDataplane::new(self.settings());
        let adoption = self.host.run(|| dataplane.adopt_or_create()).unwrap();
        (dataplane, adoption)
    }

    fn link(&self, dataplane: &KernelDataplane, name: &str) -> Link {
        let links = self.host.run(|| dataplane.links()).unwrap();
        links.into_iter().find(|link| link.name == name).unwrap()
    }

    fn attach(&self, dataplane: &mut KernelDataplane, mode: AttachMode) {
        let link = self.link(dataplane, "eth0");
        self.host.run(|| attach(dataplane, &link, mode)).unwrap();
    }

    /// Pinned links whose name starts like this.
    fn pinned_links(&self, prefix: &str) -> Vec<PathBuf> {
        fs::read_dir(self.settings().pin_directory.join("links"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
            .collect()
    }

    fn has_clsact(&self) -> bool {
        let qdiscs = output(self.host.command("tc").args(["qdisc", "show", "dev", "eth0"]));
        qdiscs.unwrap().contains("clsact")
    }

    /// Whether the host can open a connection to the peer.
    fn connects_out(&self, address: &str) -> bool {
        let listener = self.peer.run(|| TcpListener::bind((address, 4242))).unwrap();
        let target = listener.local_addr().unwrap();
        self.host
            .run(|| TcpStream::connect_timeout(&target, Duration::from_millis(300)))
            .is_ok()
    }

    /// Whether the peer can open a connection to the host.
    fn connects_in(&self, address: &str) -> bool {
        let listener = self.host.run(|| TcpListener::bind((address, 4243))).unwrap();
        let target = listener.local_addr().unwrap();
        self.peer
            .run(|| TcpStream::connect_timeout(&target, Duration::from_millis(300)))
            .is_ok()
    }
}

fn attach(
    dataplane: &mut KernelDataplane,
    link: &Link,
    mode: AttachMode,
) -> Result<firewall_agent::dataplane::AttachedInterface, DataplaneError> {
    dataplane.attach(&AttachRequest {
        link,
        mode,
        needs_vlan_tags: false,
    })
}

/// A policy without rules.
fn policy(input: Action, output: Action) -> ValidPolicy {
    ValidPolicy {
        role: "test".into(),
        host: None,
        settings: PolicySettings {
            defaults: Defaults {
                input,
                output,
                forward: Action::Drop,
            },
            timers: Timers::default(),
            interfaces: vec!["eth*".to_owned()],
            forwarded: Forwarded::default(),
            tcp_midflow_pickup: false,
            keep_live_flows: false,
            allow_icmp_redirects: false,
            allow_source_routing: false,
            allowed_ether_types: Vec::new(),
        },
        failsafe: Failsafe::default(),
        rules: Vec::new(),
    }
}

fn blocks(policy: &ValidPolicy) -> Vec<Block> {
    let bound = compile(policy).unwrap().bind(&|_| 0, []).unwrap();
    bound.blocks().to_vec()
}

fn load(dataplane: &mut KernelDataplane, policy: &ValidPolicy) -> LoadedSlot {
    let blocks = blocks(policy);
    let image = SlotImage {
        blocks: &blocks,
        timers: policy.settings.timers,
    };
    let loaded = dataplane.load_generation(&image, &[]).unwrap();
    assert_eq!(loaded.digest, image_digest(&blocks));
    loaded
}

fn enforce(dataplane: &mut KernelDataplane, policy: &ValidPolicy) -> LoadedSlot {
    let loaded = load(dataplane, policy);
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    loaded
}

const fn cell(slot: u8, fallback: u8) -> Cell {
    Cell {
        slot,
        fallback,
        mode: Mode::Normal,
        deadline_ticks: None,
    }
}

fn allow_all() -> ValidPolicy {
    policy(Action::Allow, Action::Allow)
}

fn out_only() -> ValidPolicy {
    policy(Action::Drop, Action::Allow)
}

#[test]
fn a_pin_directory_elsewhere_is_refused() {
    let wire = Wire::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut dataplane = KernelDataplane::new(KernelSettings {
        pin_directory: elsewhere.path().join("agent"),
        ..wire.settings()
    });
    assert!(matches!(
        dataplane.adopt_or_create(),
        Err(DataplaneError::NotBpffs { .. })
    ));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert!(matches!(dataplane.cell(), Err(DataplaneError::NotOpen)));
}

#[test]
fn the_policy_in_force_is_the_one_that_the_cell_names() {
    let wire = Wire::new();
    let (mut dataplane, adoption) = wire.open();
    assert!(!adoption.adopted);
    assert!(
        wire.connects_in(LOCAL_V4) && wire.connects_in(LOCAL_V6),
        "nothing is attached"
    );

    let open = enforce(&mut dataplane, &allow_all());
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(wire.connects_in(LOCAL_V4) && wire.connects_in(LOCAL_V6));
    assert!(wire.connects_out(PEER_V4) && wire.connects_out(PEER_V6));

    let shut = load(&mut dataplane, &out_only());
    assert!(!shut.programs_loaded || shut.slot != open.slot);
    assert!(wire.connects_in(LOCAL_V4), "loading puts nothing in force");
    dataplane.switch(cell(shut.slot, open.slot)).unwrap();
    assert!(!wire.connects_in(LOCAL_V4) && !wire.connects_in(LOCAL_V6));
    assert!(wire.connects_out(PEER_V4) && wire.connects_out(PEER_V6));

    dataplane.switch(cell(open.slot, shut.slot)).unwrap();
    assert!(wire.connects_in(LOCAL_V4));
}

#[test]
fn a_deadline_passes_without_the_agent() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let shut = enforce(&mut dataplane, &out_only());
    let open = load(&mut dataplane, &allow_all());
    wire.attach(&mut dataplane, AttachMode::Native);
    let clock = dataplane.clock().unwrap();
    let deadline = clock.deadline(Duration::from_secs(2));
    let start = Instant::now();
    dataplane
        .switch(Cell {
            slot: open.slot,
            fallback: shut.slot,
            mode: Mode::Normal,
            deadline_ticks: Some(deadline),
        })
        .unwrap();
    assert!(wire.connects_in(LOCAL_V4));
    drop(dataplane);
    assert!(wait_until(Duration::from_secs(5), || !wire.connects_in(LOCAL_V4)));
    let taken = start.elapsed();
    assert!(
        taken > Duration::from_millis(1900) && taken < Duration::from_millis(3500),
        "{taken:?}"
    );
}

#[test]
fn slots_in_force_are_not_rewritten_and_others_are() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let first = enforce(&mut dataplane, &allow_all());
    let second = load(&mut dataplane, &out_only());
    dataplane.switch(cell(second.slot, first.slot)).unwrap();
    let third = load(&mut dataplane, &allow_all());
    let blocks = blocks(&allow_all());
    let image = SlotImage {
        blocks: &blocks,
        timers: Timers::default(),
    };
    let fourth = dataplane.load_generation(&image, &[third.slot]).unwrap();
    let mut slots = [first.slot, second.slot, third.slot, fourth.slot];
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
    assert!(matches!(
        dataplane.load_generation(&image, &[third.slot, fourth.slot]),
        Err(DataplaneError::NoFreeSlot)
    ));
    let again = dataplane.load_generation(&image, &[]).unwrap();
    assert!(!again.programs_loaded, "the image fits the slot's map");
    assert!(again.epoch > fourth.epoch);
    let statuses = dataplane.slots().unwrap();
    assert_eq!(statuses.len(), 4);
    assert!(
        statuses
            .iter()
            .any(|status| status.slot == first.slot && status.digest == first.digest)
    );
}

#[test]
fn what_is_not_an_image_changes_nothing() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let loaded = enforce(&mut dataplane, &allow_all());
    let mut wrong = blocks(&allow_all());
    wrong[0].0[0] ^= 1;
    let image = SlotImage {
        blocks: &wrong,
        timers: Timers::default(),
    };
    assert!(matches!(
        dataplane.load_generation(&image, &[]),
        Err(DataplaneError::NotAnImage)
    ));
    assert_eq!(dataplane.slots().unwrap().len(), 1);
    let empty = (0..4).find(|slot| *slot != loaded.slot).unwrap();
    assert!(matches!(
        dataplane.switch(cell(empty, loaded.slot)),
        Err(DataplaneError::SlotEmpty { .. })
    ));
    assert_eq!(dataplane.cell().unwrap(), cell(loaded.slot, loaded.slot));
}

#[test]
fn a_large_image_gets_a_larger_map() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let mut large = blocks(&allow_all());
    large.resize(5000, Block([7; 8]));
    let header: &mut firewall_common::image::ImageHeader = {
        let bytes = bytemuck::cast_slice_mut::<Block, u8>(&mut large);
        bytemuck::from_bytes_mut(&mut bytes[..size_of::<firewall_common::image::ImageHeader>()])
    };
    header.blocks = 5000;
    let image = SlotImage {
        blocks: &large,
        timers: Timers::default(),
    };
    let loaded = dataplane.load_generation(&image, &[]).unwrap();
    let status = &dataplane.slots().unwrap()[0];
    assert_eq!((status.blocks, status.capacity), (5000, 8192));
    assert_eq!(dataplane.read_back(loaded.slot).unwrap(), large);
    dataplane
        .patch_image(loaded.slot, &[(4999, Block([9; 8])), (4000, Block([8; 8]))])
        .unwrap();
    let patched = dataplane.read_back(loaded.slot).unwrap();
    assert_eq!((patched[4999], patched[4000]), (Block([9; 8]), Block([8; 8])));
    assert!(matches!(
        dataplane.patch_image(loaded.slot, &[(5000, Block([9; 8]))]),
        Err(DataplaneError::PatchOutside { .. })
    ));
    drop(dataplane);
    let (_, adoption) = wire.open();
    assert!(adoption.slots[0].intact, "a patch is part of what was loaded");
}

#[test]
fn a_slot_made_ready_ahead_is_loaded_without_the_verifier() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let needed = u32::try_from(blocks(&allow_all()).len()).unwrap();
    let mut spare = dataplane.spare_slot(needed).unwrap().unwrap();
    spare.verify().unwrap();
    dataplane.install(spare).unwrap();
    assert!(dataplane.spare_slot(needed).unwrap().is_none());
    let first = load(&mut dataplane, &allow_all());
    assert!(!first.programs_loaded);
    dataplane.switch(cell(first.slot, first.slot)).unwrap();
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(wire.connects_in(LOCAL_V4) && wire.connects_in(LOCAL_V6));

    // One that is given out and never installed leaves the slot to the next load.
    let spare = dataplane.spare_slot(needed).unwrap();
    drop(spare.unwrap());
    let second = load(&mut dataplane, &out_only());
    assert!(second.programs_loaded && second.slot != first.slot);
    dataplane.switch(cell(second.slot, second.slot)).unwrap();
    assert!(!wire.connects_in(LOCAL_V4) && wire.connects_out(PEER_V4));
}

#[test]
fn a_restart_adopts_and_nothing_stops_meanwhile() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let loaded = enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4));
    let before = dataplane.counters(16).unwrap();
    let dropped = before.interface(1, Hook::Ingress, Outcome::Dropped);
    assert!(dropped.packets > 0);
    drop(dataplane);
    assert!(
        wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4),
        "no agent, same verdicts"
    );

    let (dataplane, adoption) = wire.open();
    assert!(adoption.adopted && adoption.repairs.is_empty(), "{adoption:?}");
    assert_eq!(adoption.slots.len(), 1);
    assert!(adoption.slots[0].intact);
    assert_eq!(adoption.slots[0].status.epoch, loaded.epoch);
    assert_eq!(adoption.interfaces.len(), 1);
    assert_eq!(adoption.interfaces[0].mode, XdpMode::Native);
    assert_eq!(dataplane.cell().unwrap().slot, loaded.slot);
    let after = dataplane.counters(16).unwrap();
    assert!(after.interface(1, Hook::Ingress, Outcome::Dropped).packets >= dropped.packets);
}

#[test]
fn drift_is_found_and_mended() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let loaded = enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    drop(dataplane);
    let link = wire.pinned_links("xdp_").remove(0);
    fs::remove_file(&link).unwrap();
    let is_off = || !wire.host.ip("link show eth0").unwrap().contains("xdp");
    assert!(
        wait_until(Duration::from_secs(5), is_off),
        "without its pin the link is gone"
    );
    let (mut dataplane, adoption) = wire.open();
    assert_eq!(
        adoption.repairs,
        [Repair::Reattached {
            interface: "eth0".to_owned()
        }]
    );
    assert!(!wire.connects_in(LOCAL_V4));
    // A word of the image is changed behind the agent's back.
    let mut block = dataplane.read_back(loaded.slot).unwrap()[3];
    block.0[5] ^= 1;
    let state = wire.state.path().join("dataplane.json");
    let recorded = fs::read(&state).unwrap();
    dataplane.patch_image(loaded.slot, &[(3, block)]).unwrap();
    fs::write(&state, recorded).unwrap();
    drop(dataplane);
    let (_, adoption) = wire.open();
    assert!(!adoption.slots[0].intact);
}

#[test]
fn a_lost_state_file_costs_nothing_but_the_proof() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Generic);
    drop(dataplane);
    fs::remove_file(wire.state.path().join("dataplane.json")).unwrap();
    let (_, adoption) = wire.open();
    assert!(adoption.adopted && !adoption.slots[0].intact);
    assert_eq!(adoption.interfaces.len(), 1);
    assert_eq!(adoption.interfaces[0].mode, XdpMode::Generic);
    assert!(!wire.connects_in(LOCAL_V4));
}

#[test]
fn unloading_leaves_nothing_behind() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let unloaded = wire.host.run(|| dataplane.unload()).unwrap();
    assert_eq!(unloaded.interfaces, ["eth0"]);
    assert!(unloaded.pins > 20);
    assert!(wire.connects_in(LOCAL_V4), "at once");
    assert!(!wire.settings().pin_directory.exists());
    assert_eq!(fs::read_dir(wire.state.path()).unwrap().count(), 0);
    let link = wire.host.ip("-d link show eth0").unwrap();
    assert!(!link.contains("xdp"), "{link}");
    assert!(!wire.has_clsact(), "before 6.6 it was added for the filter");
    let again = wire.host.run(|| dataplane.unload()).unwrap();
    assert_eq!(again, firewall_agent::dataplane::Unloaded::default());
    assert!(!wire.open().1.adopted);
}

#[test]
fn a_qdisc_of_somebody_else_stays() {
    let wire = Wire::new();
    output(
        wire.host
            .command("tc")
            .args(["qdisc", "add", "dev", "eth0", "clsact"]),
    )
    .unwrap();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &policy(Action::Allow, Action::Drop));
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(!wire.connects_out(PEER_V4));
    wire.host.run(|| dataplane.unload()).unwrap();
    assert!(wire.connects_out(PEER_V4));
    assert!(wire.has_clsact());
}

#[test]
fn modes_are_chosen_by_driver_and_loopback_is_refused() {
    let wire = Wire::new();
    wire.host.ip("link add br0 type bridge").unwrap();
    wire.host.ip("tuntap add tun0 mode tun").unwrap();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &allow_all());
    let mut auto = |name: &str| {
        let link = wire.link(&dataplane, name);
        wire.host.run(|| attach(&mut dataplane, &link, AttachMode::Auto))
    };
    let veth = auto("eth0").unwrap();
    assert_eq!(veth.mode, XdpMode::Generic);
    assert!(veth.reason.to_string().contains("veth"), "{}", veth.reason);
    let tun = auto("tun0").unwrap();
    assert_eq!(tun.link_type, firewall_common::interface::LinkType::RawIp);
    let bridge = auto("br0").unwrap();
    assert_eq!(bridge.mode, XdpMode::Generic);
    assert!(
        matches!(bridge.reason, ModeReason::NativeRefused { .. }),
        "{}",
        bridge.reason
    );
    assert!(matches!(auto("lo"), Err(DataplaneError::Loopback { .. })));
    assert_eq!(dataplane.interfaces().len(), 3);
    assert!(dataplane.interfaces().iter().all(|attached| attached.slot > 0));
    assert!(wire.host.run(|| dataplane.detach("tun0")).unwrap());
    assert!(!wire.host.run(|| dataplane.detach("tun0")).unwrap());
    assert_eq!(dataplane.interfaces().len(), 2);
}

#[test]
fn vlan_tags_are_shown_and_hidden_again() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &allow_all());
    let offload = || {
        let features = output(wire.host.command("ethtool").args(["-k", "eth0"]));
        features.is_ok_and(|text| text.contains("rx-vlan-offload: on"))
    };
    assert!(offload());
    let link = wire.link(&dataplane, "eth0");
    let attached = wire.host.run(|| {
        dataplane.attach(&AttachRequest {
            link: &link,
            mode: AttachMode::Generic,
            needs_vlan_tags: true,
        })
    });
    assert!(attached.unwrap().vlan_offload_disabled);
    assert!(!offload());
    drop(dataplane);
    let (mut dataplane, adoption) = wire.open();
    assert!(adoption.interfaces[0].vlan_offload_disabled);
    let unloaded = wire.host.run(|| dataplane.unload()).unwrap();
    assert_eq!(unloaded.restored.len(), 1);
    assert!(offload());
}

#[test]
fn another_program_at_xdp_is_not_pushed_away() {
    let wire = Wire::new();
    let other = Wire::new();
    let (mut first, _) = wire.open();
    enforce(&mut first, &allow_all());
    wire.attach(&mut first, AttachMode::Generic);
    let mut second = KernelDataplane::new(other.settings());
    wire.host.run(|| second.adopt_or_create()).unwrap();
    let link = wire.link(&second, "eth0");
    let refused = wire.host.run(|| attach(&mut second, &link, AttachMode::Auto));
    assert!(
        matches!(refused, Err(DataplaneError::XdpBusy { .. })),
        "{refused:?}"
    );
    assert!(second.interfaces().is_empty());
    let unloaded = wire.host.run(|| second.unload()).unwrap();
    assert!(unloaded.interfaces.is_empty(), "nothing of the first is touched");
    let (_, adoption) = wire.open();
    assert!(adoption.repairs.is_empty());
}

struct Ethernet;

impl Wanted for Ethernet {
    fn mode(&self, name: &str) -> Option<AttachMode> {
        name.starts_with("eth").then_some(AttachMode::Native)
    }

    fn needs_vlan_tags(&self) -> bool {
        false
    }

    fn prepare(&mut self, _: &mut dyn Dataplane, _: &Link, _: u8) -> Result<(), DataplaneError> {
        Ok(())
    }
}

fn attached(reconciled: &Reconciled) -> Vec<&str> {
    reconciled.attached.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn interfaces_are_attached_as_they_come() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut changes = dataplane.network_changes().unwrap();
            let first = reconcile(&mut dataplane, &mut Ethernet).unwrap();
            assert_eq!(attached(&first), ["eth0"]);
            wire.host.join("eth1", &wire.peer, "eth1").unwrap();
            let made = Instant::now();
            let mut all = Vec::new();
            while all.is_empty() {
                tokio::time::timeout(Duration::from_secs(2), changes.changed())
                    .await
                    .unwrap()
                    .unwrap();
                all.extend(reconcile(&mut dataplane, &mut Ethernet).unwrap().attached);
            }
            assert_eq!(all[0].name, "eth1");
            assert!(
                made.elapsed() < Duration::from_millis(100),
                "{:?}",
                made.elapsed()
            );
            wire.host.ip("link delete eth1").unwrap();
            let mut gone = Vec::new();
            while gone.is_empty() {
                tokio::time::timeout(Duration::from_secs(2), changes.changed())
                    .await
                    .unwrap()
                    .unwrap();
                gone.extend(reconcile(&mut dataplane, &mut Ethernet).unwrap().gone);
            }
            assert_eq!(gone[0].name, "eth1");
        });
    });
    assert_eq!(wire.pinned_links("xdp_").len(), 1);
    assert_eq!(dataplane.interfaces().len(), 1);
}

#[test]
fn an_interface_that_went_while_the_agent_was_dead_is_forgotten() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    drop(dataplane);
    wire.host.ip("link delete eth0").unwrap();
    let (dataplane, adoption) = wire.open();
    assert_eq!(
        adoption.repairs,
        [Repair::Forgotten {
            interface: "eth0".to_owned()
        }]
    );
    assert!(dataplane.interfaces().is_empty());
    assert_eq!(wire.pinned_links("").len(), 0);
}

#[test]
fn open_connections_survive_the_first_enforcement() {
    let wire = Wire::new();
    let ports = [(LOCAL_V4, 2200), (LOCAL_V6, 2201)];
    let mut kept = Vec::new();
    for (address, port) in ports {
        let listener = wire.host.run(|| TcpListener::bind((address, port))).unwrap();
        let client = wire.peer.run(|| TcpStream::connect((address, port))).unwrap();
        let (server, _) = listener.accept().unwrap();
        kept.push((listener, client, server));
    }
    let out = wire.peer.run(|| TcpListener::bind((PEER_V4, 3306))).unwrap();
    let query = wire.host.run(|| TcpStream::connect((PEER_V4, 3306))).unwrap();
    let udp = wire.host.run(|| UdpSocket::bind((LOCAL_V4, 0))).unwrap();
    udp.connect((PEER_V4, 53)).unwrap();

    let (mut dataplane, _) = wire.open();
    let nothing = policy(Action::Drop, Action::Drop);
    let loaded = load(&mut dataplane, &nothing);
    let mut seen = Vec::new();
    let outcome = wire.host.run(|| {
        dataplane.take_over(loaded.slot, None, &mut |socket| {
            seen.push((socket.protocol, socket.local.port(), socket.opened_by_remote));
            assert_eq!(socket.interface.as_deref(), Some("eth0"));
            // The second is one that the policy does not allow.
            (socket.local.port() != 2201).then_some(5)
        })
    });
    let outcome = outcome.unwrap();
    assert!(seen.contains(&(6, 2200, true)) && seen.contains(&(6, 2201, true)));
    assert!(seen.contains(&(6, query.local_addr().unwrap().port(), false)));
    assert!(seen.contains(&(17, udp.local_addr().unwrap().port(), false)));
    assert_eq!((outcome.seen, outcome.entered, outcome.denied), (4, 3, 1));
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    wire.attach(&mut dataplane, AttachMode::Native);
    let again = wire.host.run(|| {
        dataplane.take_over(loaded.slot, None, &mut |socket| {
            (socket.local.port() != 2201).then_some(5)
        })
    });
    assert_eq!(again.unwrap().known, 3);

    assert!(exchange(&kept[0].1, &kept[0].2), "the allowed one lives");
    assert!(!exchange(&kept[1].1, &kept[1].2), "the other one does not");
    let (server, _) = out.accept().unwrap();
    assert!(exchange(&query, &server));
    assert!(!wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4));
    let mut states = Vec::new();
    dataplane
        .visit_flows(&mut |view| {
            assert_eq!(view.table, FlowTable::Assured);
            states.push((view.flow.state, view.flow.rule));
            true
        })
        .unwrap();
    assert!(states.contains(&(State::Established, 5)), "{states:?}");
}

/// Whether bytes pass both ways.
fn exchange(client: &TcpStream, server: &TcpStream) -> bool {
    use std::io::{Read, Write};
    let mut ok = true;
    for (mut from, mut to) in [(client, server), (server, client)] {
        to.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        ok &= from.write_all(b"x").is_ok() && to.read_exact(&mut [0]).is_ok();
    }
    ok
}

#[test]
fn flows_are_listed_and_deleted() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let listener = wire.peer.run(|| TcpListener::bind((PEER_V4, 3306))).unwrap();
    let client = wire.host.run(|| TcpStream::connect((PEER_V4, 3306))).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert!(exchange(&client, &server));
    let mut keys = Vec::new();
    dataplane
        .visit_flows(&mut |view| {
            if view.key.remote_port == 3306 {
                assert_eq!(view.flow.state, State::Established);
                assert!(view.age < Duration::from_secs(5) && view.idle < Duration::from_secs(5));
                keys.push(view.key);
            }
            true
        })
        .unwrap();
    assert_eq!(keys.len(), 1);
    let usage = dataplane.map_usage().unwrap();
    assert!(
        usage
            .iter()
            .any(|map| map.map == "FLOWS" && map.entries >= 1 && map.capacity >= 4096)
    );
    assert!(
        usage
            .iter()
            .any(|map| map.map.starts_with("IMAGE_") && map.entries > 0)
    );
    enforce(&mut dataplane, &policy(Action::Drop, Action::Drop));
    assert!(dataplane.delete_flow(&keys[0]).unwrap());
    assert!(!dataplane.delete_flow(&keys[0]).unwrap());
    assert!(!exchange(&client, &server), "the flow was what let it through");
}

#[test]
fn local_addresses_follow_the_interfaces() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    let before = wire.host.run(|| dataplane.sync_local_addresses()).unwrap();
    wire.host.address("eth0", "198.51.100.7/24").unwrap();
    let after = wire.host.run(|| dataplane.sync_local_addresses()).unwrap();
    assert_eq!(after, before + 2, "the address and its broadcast address");
    wire.host.ip("address delete 198.51.100.7/24 dev eth0").unwrap();
    assert_eq!(
        wire.host.run(|| dataplane.sync_local_addresses()).unwrap(),
        before
    );
}

#[test]
fn drops_are_told_as_events() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut events = dataplane.events().unwrap();
        let mut seen = Vec::new();
        assert!(!wire.connects_in(LOCAL_V4));
        let waiting = async {
            while !seen
                .iter()
                .any(|event: &firewall_common::event::Event| event.destination_port == 4243)
            {
                events.read(&mut seen, 64).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap();
    });
}

#[test]
fn a_set_of_another_version_is_replaced_without_a_gap() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    drop(dataplane);
    let pins = wire.settings().pin_directory;
    let other = ABI_VERSION + 1;
    rename_set(&pins, ABI_VERSION, other);
    let (mut dataplane, adoption) = wire.open();
    assert!(!adoption.adopted);
    assert_eq!(adoption.replaced_abi, Some(other));
    assert!(!wire.connects_in(LOCAL_V4), "the former set filters on");
    enforce(&mut dataplane, &out_only());
    assert!(pins.join(format!("v{other}")).exists());
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(!wire.connects_in(LOCAL_V4) && wire.connects_out(PEER_V4));
    assert!(
        !pins.join(format!("v{other}")).exists(),
        "nobody uses it any more"
    );
    let counters = dataplane.counters(0).unwrap();
    assert!(counters.interface(1, Hook::Ingress, Outcome::Dropped).packets > 0);
}

/// Moves a set of pins to the name of another version.
fn rename_set(pins: &Path, from: u32, to: u32) {
    fs::rename(pins.join(format!("v{from}")), pins.join(format!("v{to}"))).unwrap();
}

#[test]
fn programs_of_another_build_are_replaced_in_place() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(wire.connects_out(PEER_V4));
    let counted = dataplane.counters(0).unwrap();
    drop(dataplane);
    let path = wire.state.path().join("dataplane.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["object"] = "another".into();
    fs::write(&path, state.to_string()).unwrap();
    let (dataplane, adoption) = wire.open();
    assert_eq!(adoption.repairs, [Repair::ProgramsReplaced]);
    assert!(adoption.slots[0].intact);
    assert!(wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4));
    let passed = |counters: &firewall_agent::dataplane::CounterSnapshot| {
        counters.interface(1, Hook::Egress, Outcome::Passed).packets
    };
    assert!(
        passed(&dataplane.counters(0).unwrap()) > passed(&counted),
        "counters go on"
    );
    drop(dataplane);
    assert!(wire.open().1.repairs.is_empty());
}

#[test]
fn the_clock_can_be_set_for_tests() {
    let wire = Wire::new();
    let mut dataplane = KernelDataplane::new(KernelSettings {
        clock_from_cell: true,
        ..wire.settings()
    });
    wire.host.run(|| dataplane.adopt_or_create()).unwrap();
    dataplane.set_clock(u32::MAX - 10).unwrap();
    let shut = enforce(&mut dataplane, &out_only());
    let open = load(&mut dataplane, &allow_all());
    wire.attach(&mut dataplane, AttachMode::Native);
    let clock = dataplane.clock().unwrap();
    assert_eq!(clock.now_ticks, u32::MAX - 10);
    let deadline = clock.deadline(Duration::from_hours(1));
    dataplane
        .switch(Cell {
            deadline_ticks: Some(deadline),
            ..cell(open.slot, shut.slot)
        })
        .unwrap();
    dataplane.set_clock(deadline.wrapping_sub(1)).unwrap();
    assert!(wire.connects_in(LOCAL_V4));
    let count = |dataplane: &KernelDataplane| {
        let mut count = 0;
        dataplane
            .visit_flows(&mut |_| {
                count += 1;
                true
            })
            .unwrap();
        count
    };
    assert!(count(&dataplane) > 0);
    dataplane.set_clock(deadline).unwrap();
    assert!(!wire.connects_in(LOCAL_V4));
    let established = clock.scale.ticks(Timers::default().tcp_established_seconds);
    dataplane
        .set_clock(deadline.wrapping_add(established + 2))
        .unwrap();
    assert_eq!(count(&dataplane), 0, "they have expired");
}
