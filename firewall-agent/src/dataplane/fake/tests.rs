//! The fake keeps the promises that the daemon's tests rely on.

use std::time::Duration;

use bytemuck::Zeroable;
use firewall_common::{
    abi::ABI_VERSION,
    address::Address,
    cell::{Cell, Mode},
    flow::{FlowKey, Inserted, State},
    image::{Block, ImageHeader, MAGIC},
    wire::protocol,
};

use super::{FakeDataplane, FakeKernel, Operation};
use crate::{
    dataplane::{
        Admission, AttachMode, Dataplane, DataplaneError, FlowTable, Link, LoadedSlot, Reconciled, SlotImage,
        SocketFlow, Wanted, reconcile,
    },
    policy::model::Timers,
};

fn image(mark: u64, blocks: u32) -> Vec<Block> {
    let header = ImageHeader {
        magic: MAGIC,
        abi_version: ABI_VERSION,
        blocks,
        ..ImageHeader::zeroed()
    };
    let mut image = vec![Block([mark; 8]); blocks as usize];
    let bytes = bytemuck::cast_slice_mut::<Block, u8>(&mut image);
    bytes[..size_of::<ImageHeader>()].copy_from_slice(bytemuck::bytes_of(&header));
    image
}

fn load(dataplane: &mut FakeDataplane, mark: u64) -> LoadedSlot {
    let image = SlotImage {
        blocks: &image(mark, 3),
        timers: Timers::default(),
    };
    dataplane.load_generation(&image, &[]).unwrap()
}

const fn cell(slot: u8, fallback: u8) -> Cell {
    Cell {
        slot,
        fallback,
        mode: Mode::Normal,
        deadline_ticks: None,
    }
}

fn open() -> (FakeKernel, FakeDataplane) {
    let kernel = FakeKernel::new();
    let mut dataplane = kernel.dataplane();
    assert!(!dataplane.adopt_or_create().unwrap().adopted);
    (kernel, dataplane)
}

#[test]
fn nothing_works_before_it_is_open() {
    let dataplane = FakeKernel::new().dataplane();
    assert!(matches!(dataplane.cell(), Err(DataplaneError::NotOpen)));
}

#[test]
fn a_slot_in_force_or_a_fallback_is_never_rewritten() {
    let (_, mut dataplane) = open();
    let first = load(&mut dataplane, 1);
    dataplane.switch(cell(first.slot, first.slot)).unwrap();
    let second = load(&mut dataplane, 2);
    dataplane.switch(cell(second.slot, first.slot)).unwrap();
    let third = load(&mut dataplane, 3);
    assert!(![first.slot, second.slot].contains(&third.slot));
    assert!(third.epoch > second.epoch && second.epoch > first.epoch);
    let image = image(4, 3);
    let image = SlotImage {
        blocks: &image,
        timers: Timers::default(),
    };
    let fourth = dataplane.load_generation(&image, &[third.slot]).unwrap();
    assert!(![first.slot, second.slot, third.slot].contains(&fourth.slot));
    assert!(matches!(
        dataplane.load_generation(&image, &[third.slot, fourth.slot]),
        Err(DataplaneError::NoFreeSlot)
    ));
}

#[test]
fn what_is_not_an_image_is_refused() {
    let (_, mut dataplane) = open();
    let mut wrong = image(1, 3);
    wrong[0].0[0] ^= 1;
    for blocks in [&wrong[..], &image(1, 3)[..2], &[]] {
        let image = SlotImage {
            blocks,
            timers: Timers::default(),
        };
        assert!(matches!(
            dataplane.load_generation(&image, &[]),
            Err(DataplaneError::NotAnImage)
        ));
    }
    assert!(matches!(
        dataplane.switch(cell(2, 2)),
        Err(DataplaneError::SlotEmpty { slot: 2 })
    ));
}

#[test]
fn a_restart_adopts_and_sees_a_changed_image() {
    let (kernel, mut dataplane) = open();
    let loaded = load(&mut dataplane, 1);
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    let mut again = kernel.dataplane();
    let adoption = again.adopt_or_create().unwrap();
    assert!(adoption.adopted && adoption.slots[0].intact);
    assert_eq!(adoption.slots[0].status.digest, loaded.digest);
    assert_eq!(again.cell().unwrap().slot, loaded.slot);
    kernel.corrupt(loaded.slot, 2);
    assert!(!kernel.dataplane().adopt_or_create().unwrap().slots[0].intact);
    again.patch_image(loaded.slot, &[(2, Block([9; 8]))]).unwrap();
    assert_eq!(again.read_back(loaded.slot).unwrap()[2], Block([9; 8]));
    assert!(matches!(
        again.patch_image(loaded.slot, &[(3, Block([9; 8]))]),
        Err(DataplaneError::PatchOutside { block: 3, .. })
    ));
    let mended = kernel.dataplane().adopt_or_create().unwrap();
    assert!(mended.slots[0].intact, "a patch is part of what was loaded");
    again.unload().unwrap();
    assert!(!kernel.dataplane().adopt_or_create().unwrap().adopted);
}

#[test]
fn flows_are_seen_expire_and_end() {
    let (kernel, mut dataplane) = open();
    let loaded = load(&mut dataplane, 1);
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    let key = |port| FlowKey {
        remote: Address::from_v4([192, 0, 2, 1]),
        local: Address::from_v4([192, 0, 2, 2]),
        remote_port: port,
        local_port: 443,
        protocol: protocol::TCP,
        family: 4,
        reserved: 0,
    };
    for port in 1000..1010 {
        let table = if port % 2 == 0 {
            FlowTable::Assured
        } else {
            FlowTable::Half
        };
        let state = if port % 2 == 0 {
            State::Established
        } else {
            State::SynSent
        };
        assert_eq!(kernel.insert_flow(table, key(port), state, port), Inserted::Done);
    }
    let count = |dataplane: &FakeDataplane| {
        let mut count = 0;
        dataplane
            .visit_flows(&mut |_| {
                count += 1;
                true
            })
            .unwrap();
        count
    };
    assert_eq!(count(&dataplane), 10);
    assert!(dataplane.delete_flow(&key(1000)).unwrap());
    assert!(!dataplane.delete_flow(&key(1000)).unwrap());
    assert_eq!(
        dataplane
            .delete_flows(&mut |view| view.flow.rule == 1002)
            .unwrap(),
        1
    );
    assert_eq!(count(&dataplane), 8);
    kernel.advance(Duration::from_secs(241));
    assert_eq!(count(&dataplane), 3, "the half-open ones have expired");
}

#[derive(Default)]
struct AllEthernet {
    prepared: Vec<(String, u8)>,
    attached: Vec<String>,
    needs_vlan_tags: bool,
}

impl Wanted for AllEthernet {
    fn mode(&self, name: &str) -> Option<AttachMode> {
        name.starts_with("eth").then_some(AttachMode::Auto)
    }

    fn needs_vlan_tags(&self) -> bool {
        self.needs_vlan_tags
    }

    fn prepare(
        &mut self,
        dataplane: &mut dyn Dataplane,
        link: &Link,
        slot: u8,
    ) -> Result<(), DataplaneError> {
        assert!(dataplane.interfaces().iter().all(|other| other.slot != slot));
        self.prepared.push((link.name.clone(), slot));
        Ok(())
    }

    fn attached(&mut self, dataplane: &mut dyn Dataplane, link: &Link) -> Result<(), DataplaneError> {
        assert!(
            dataplane
                .interfaces()
                .iter()
                .any(|other| other.index == link.index)
        );
        self.attached.push(link.name.clone());
        Ok(())
    }
}

fn names(reconciled: &Reconciled) -> [Vec<&str>; 3] {
    [
        reconciled.attached.iter().map(|it| it.name.as_str()).collect(),
        reconciled.gone.iter().map(|it| it.name.as_str()).collect(),
        reconciled.failed.iter().map(|it| it.interface.as_str()).collect(),
    ]
}

#[test]
fn wanted_interfaces_are_attached_as_they_come_and_forgotten_as_they_go() {
    let (kernel, mut dataplane) = open();
    let mut wanted = AllEthernet::default();
    kernel.add_link(FakeKernel::link(2, "eth0"));
    kernel.add_link(Link {
        lower: Some(2),
        kind: Some("vlan".to_owned()),
        ..FakeKernel::link(3, "eth0.10")
    });
    kernel.add_link(FakeKernel::link(4, "wlan0"));
    let first = reconcile(&mut dataplane, &mut wanted).unwrap();
    assert_eq!(names(&first), [vec!["eth0"], vec![], vec!["eth0.10"]]);
    assert!(matches!(first.failed[0].error, DataplaneError::SamePath { .. }));
    kernel.remove_link("eth0");
    kernel.remove_link("eth0.10");
    kernel.add_link(FakeKernel::link(5, "eth0"));
    let second = reconcile(&mut dataplane, &mut wanted).unwrap();
    assert_eq!(names(&second), [vec!["eth0"], vec!["eth0"], vec![]]);
    assert_eq!(
        names(&reconcile(&mut dataplane, &mut wanted).unwrap()),
        [Vec::<&str>::new(), vec![], vec![]]
    );
    assert_eq!(wanted.prepared, [("eth0".to_owned(), 1), ("eth0".to_owned(), 1)]);
    assert_eq!(wanted.attached, ["eth0", "eth0"]);
    assert!(!dataplane.interfaces()[0].vlan_tags_visible);
    wanted.needs_vlan_tags = true;
    let third = reconcile(&mut dataplane, &mut wanted).unwrap();
    assert!(third.attached.is_empty(), "it is attached already");
    assert!(dataplane.interfaces()[0].vlan_tags_visible);
}

#[tokio::test]
async fn changes_wake_and_failures_are_injected() {
    let (kernel, mut dataplane) = open();
    let mut changes = dataplane.network_changes().unwrap();
    kernel.add_link(FakeKernel::link(2, "eth0"));
    changes.changed().await.unwrap();
    kernel.fail(Operation::Links);
    assert!(matches!(dataplane.links(), Err(DataplaneError::Syscall { .. })));
    kernel.mend(Operation::Links);
    assert_eq!(dataplane.links().unwrap().len(), 2);
}

#[test]
fn open_connections_are_taken_over_where_the_policy_allows() {
    let (kernel, mut dataplane) = open();
    let loaded = load(&mut dataplane, 1);
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    kernel.add_link(FakeKernel::link(2, "eth0"));
    let socket = |port: u16| SocketFlow {
        protocol: protocol::TCP,
        local: ([192, 0, 2, 2], 22).into(),
        remote: ([192, 0, 2, 1], port).into(),
        opened_by_remote: true,
        fins: 0,
        interface: Some("eth0".to_owned()),
    };
    kernel.set_sockets(vec![socket(5000), socket(5001)]);
    let mut judge = |socket: &SocketFlow| (socket.remote.port() == 5000).then_some(Admission::for_good(7));
    let outcome = dataplane.take_over(loaded.slot, None, &mut judge).unwrap();
    assert_eq!((outcome.seen, outcome.entered, outcome.denied), (2, 1, 1));
    let again = dataplane.take_over(loaded.slot, Some(&[2]), &mut judge).unwrap();
    assert_eq!((again.known, again.entered), (1, 0));
    let other = dataplane.take_over(loaded.slot, Some(&[9]), &mut judge).unwrap();
    assert_eq!(other.seen, 0);
    let mut seen = Vec::new();
    dataplane
        .visit_flows(&mut |view| {
            seen.push((view.flow.rule, view.flow.state, view.epoch));
            true
        })
        .unwrap();
    assert_eq!(seen, [(7, State::Established, loaded.epoch)]);
}
