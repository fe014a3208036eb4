//! Pins: what a starting agent finds, and what an unloading one leaves.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    time::Duration,
};

use firewall_agent::{
    dataplane::{
        AdoptedSlot, AttachMode, Dataplane, DataplaneError, KernelDataplane, KernelSettings, Repair, XdpMode,
    },
    policy::model::Action,
};
use firewall_common::{
    abi::ABI_VERSION,
    counters::{Hook, Outcome},
};
use firewall_tests::{netns::output, wait::wait_until};

use crate::{
    flood::Flood,
    policies::{enforce, out_only, policy},
    wire::{LOCAL_V4, PEER_V4, Wire},
};

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
fn a_pin_directory_that_others_may_write_to_is_refused() {
    let wire = Wire::new();
    let pins = wire.settings().pin_directory;
    fs::create_dir(&pins).unwrap();
    for (owner, mode) in [(65_534, 0o755), (0, 0o775), (0, 0o707)] {
        chown(&pins, Some(owner), None).unwrap();
        fs::set_permissions(&pins, fs::Permissions::from_mode(mode)).unwrap();
        let mut dataplane = KernelDataplane::new(wire.settings());
        assert!(
            matches!(
                dataplane.adopt_or_create(),
                Err(DataplaneError::PinsExposed { owner: found, .. }) if found == owner
            ),
            "{owner} {mode:o}"
        );
        assert_eq!(fs::read_dir(&pins).unwrap().count(), 0, "{owner} {mode:o}");
    }
    chown(&pins, Some(0), None).unwrap();
    fs::set_permissions(&pins, fs::Permissions::from_mode(0o755)).unwrap();
    let mut dataplane = KernelDataplane::new(wire.settings());
    dataplane.adopt_or_create().unwrap();
}

#[test]
fn a_restart_adopts_and_nothing_stops_meanwhile() {
    let wire = Wire::shared();
    let (mut dataplane, _) = wire.open();
    let loaded = enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let dropped = |dataplane: &KernelDataplane| {
        let counters = dataplane.counters(16).unwrap();
        counters.interface(1, Hook::Ingress, Outcome::Dropped).packets
    };
    let at_first = dropped(&dataplane);
    assert!(wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4));
    let before = dropped(&dataplane);
    assert!(before > at_first);
    drop(dataplane);
    assert!(
        wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4),
        "no agent, same verdicts"
    );

    let (dataplane, adoption) = wire.open();
    assert!(adoption.adopted && adoption.repairs.is_empty(), "{adoption:?}");
    let is_loaded = |slot: &&AdoptedSlot| slot.status.slot == loaded.slot;
    let slot = adoption.slots.iter().find(is_loaded).unwrap();
    assert!(slot.intact && slot.status.epoch == loaded.epoch);
    assert_eq!(adoption.interfaces.len(), 1);
    assert_eq!(adoption.interfaces[0].mode, XdpMode::Native);
    assert_eq!(dataplane.cell().unwrap().slot, loaded.slot);
    assert!(
        dropped(&dataplane) > before,
        "it was counted without an agent, too"
    );
}

#[test]
fn drift_is_found_and_mended() {
    let wire = Wire::shared();
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
    let state = wire.settings().state_directory.join("dataplane.json");
    let recorded = fs::read(&state).unwrap();
    dataplane.patch_image(loaded.slot, &[(3, block)]).unwrap();
    fs::write(&state, recorded).unwrap();
    drop(dataplane);
    let (_, adoption) = wire.open();
    let is_loaded = |slot: &&AdoptedSlot| slot.status.slot == loaded.slot;
    assert!(!adoption.slots.iter().find(is_loaded).unwrap().intact);
}

#[test]
fn a_lost_state_file_costs_nothing_but_the_proof() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Generic);
    drop(dataplane);
    fs::remove_file(wire.settings().state_directory.join("dataplane.json")).unwrap();
    let (_, adoption) = wire.open();
    assert!(adoption.adopted && !adoption.slots[0].intact);
    assert_eq!(adoption.interfaces.len(), 1);
    assert_eq!(adoption.interfaces[0].mode, XdpMode::Generic);
    assert!(!wire.connects_in(LOCAL_V4));
}

#[test]
fn unloading_leaves_nothing_behind() {
    let wire = Wire::new();
    let (mut dataplane, adoption) = wire.open();
    assert!(!adoption.adopted, "there was nothing");
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let unloaded = wire.host.run(|| dataplane.unload()).unwrap();
    assert_eq!(unloaded.interfaces, ["eth0"]);
    assert!(unloaded.pins > 20);
    assert!(wire.connects_in(LOCAL_V4), "at once");
    assert!(!wire.settings().pin_directory.exists());
    assert_eq!(fs::read_dir(wire.settings().state_directory).unwrap().count(), 0);
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
fn a_set_of_another_version_is_replaced_without_a_gap() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    drop(dataplane);
    let flood = Flood::begin(&wire);
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
    flood.nothing_has_arrived();
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
    let flood = Flood::begin(&wire);
    drop(dataplane);
    let path = wire.settings().state_directory.join("dataplane.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["object"] = "another".into();
    fs::write(&path, state.to_string()).unwrap();
    let (dataplane, adoption) = wire.open();
    flood.nothing_has_arrived();
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
