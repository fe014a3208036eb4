//! Interfaces: how they are attached to, and that they come and go.

use std::time::{Duration, Instant};

use firewall_agent::dataplane::{
    AttachMode, AttachRequest, Dataplane, DataplaneError, KernelDataplane, Link, ModeReason, Reconciled,
    Repair, Wanted, XdpMode, reconcile,
};
use firewall_tests::netns::{NetNs, output};

use crate::{
    flood::Flood,
    policies::{allow_all, enforce, out_only},
    wire::{LOCAL_V4, PEER_V4, Wire, attach},
};

#[test]
fn modes_are_chosen_by_driver_and_loopback_is_refused() {
    let wire = Wire::shared();
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
    let wire = Wire::shared();
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
    let wire = Wire::shared();
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
    let wire = Wire::shared();
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
fn s68_an_interface_that_moves_away_and_back_is_filtered_again() {
    let wire = Wire::shared();
    let elsewhere = NetNs::unnamed().unwrap();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(!wire.connects_in(LOCAL_V4) && wire.connects_out(PEER_V4));
    wire.host
        .ip(&format!("link set eth0 netns {}", elsewhere.name()))
        .unwrap();
    let reconciled = wire
        .host
        .run(|| reconcile(&mut dataplane, &mut Ethernet))
        .unwrap();
    assert_eq!(reconciled.gone.len(), 1);
    assert_eq!(reconciled.failed.len(), 0);
    assert!(dataplane.interfaces().is_empty());
    elsewhere
        .ip(&format!("link set eth0 netns {}", wire.host.name()))
        .unwrap();
    let reconciled = wire
        .host
        .run(|| reconcile(&mut dataplane, &mut Ethernet))
        .unwrap();
    assert_eq!(attached(&reconciled), ["eth0"]);
    wire.host.address("eth0", &format!("{LOCAL_V4}/24")).unwrap();
    let flood = Flood::begin(&wire);
    wire.host.ip("link set eth0 up").unwrap();
    assert!(wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4));
    flood.nothing_has_arrived();
}

#[test]
fn local_addresses_follow_the_interfaces() {
    let wire = Wire::shared();
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
