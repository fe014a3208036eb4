//! Policies in slots: loading, switching, falling back.

use std::time::{Duration, Instant};

use firewall_agent::{
    dataplane::{AttachMode, Dataplane, DataplaneError, KernelDataplane, KernelSettings, SlotImage},
    policy::model::Timers,
};
use firewall_common::{
    cell::{Cell, Mode},
    image::Block,
};
use firewall_tests::wait::wait_until;

use crate::{
    policies::{allow_all, blocks, cell, enforce, load, out_only},
    wire::{LOCAL_V4, LOCAL_V6, PEER_V4, PEER_V6, Wire},
};

#[test]
fn the_policy_in_force_is_the_one_that_the_cell_names() {
    let wire = Wire::shared();
    let (mut dataplane, _) = wire.open();
    assert!(
        wire.connects_in(LOCAL_V4) && wire.connects_in(LOCAL_V6),
        "nothing is attached"
    );

    let open = enforce(&mut dataplane, &allow_all());
    wire.attach(&mut dataplane, AttachMode::Native);
    assert!(wire.connects_in(LOCAL_V4) && wire.connects_in(LOCAL_V6));
    assert!(wire.connects_out(PEER_V4) && wire.connects_out(PEER_V6));

    let shut = load(&mut dataplane, &out_only());
    assert_ne!(shut.slot, open.slot);
    assert!(wire.connects_in(LOCAL_V4), "loading puts nothing in force");
    dataplane.switch(cell(shut.slot, open.slot)).unwrap();
    assert!(!wire.connects_in(LOCAL_V4) && !wire.connects_in(LOCAL_V6));
    assert!(wire.connects_out(PEER_V4) && wire.connects_out(PEER_V6));

    dataplane.switch(cell(open.slot, shut.slot)).unwrap();
    assert!(wire.connects_in(LOCAL_V4));
}

#[test]
fn a_deadline_passes_without_the_agent() {
    let wire = Wire::shared();
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
    let wire = Wire::shared();
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
