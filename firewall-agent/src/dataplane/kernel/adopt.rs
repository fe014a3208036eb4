//! Opening a dataplane: what is pinned is adopted and mended, or everything is made anew.

use bytemuck::Zeroable;
use firewall_common::{
    abi::{ABI_VERSION, SLOTS, names},
    capture::Viewer,
    control::Control,
    interface::InterfaceRecord,
};

use super::{
    KernelSettings,
    clock::KernelClock,
    interfaces::Numbers,
    maps::{Maps, map},
    pins::{LinkKind, Pins},
    programs::{PINNED, Programs},
    session::{Session, list_links, options, random_seed},
    slots::{Slots, has_programs, settings as slot_settings},
    state::{InterfaceState, State, StateFile, object_identity},
};
use std::os::fd::AsFd;

use crate::{
    OBJECT,
    dataplane::{
        AdoptedSlot, Adoption, AttachedInterface, DataplaneError, Link, ModeReason, Repair, XdpMode,
    },
};

/// Opens the dataplane under the settings' pin directory. Where there was none, a failure leaves none behind.
pub(super) fn adopt_or_create(settings: &KernelSettings) -> Result<(Session, Adoption), DataplaneError> {
    let pins = Pins::new(&settings.pin_directory);
    let is_new = !settings.pin_directory.exists();
    let opened = open(settings, pins.clone());
    if opened.is_err() && is_new {
        // The first error is the one to report.
        let _ = pins.remove_all();
    }
    opened
}

fn open(settings: &KernelSettings, pins: Pins) -> Result<(Session, Adoption), DataplaneError> {
    pins.create()?;
    let file = StateFile::new(&settings.state_directory);
    let state = file.load();
    let replaced_abi = pins.other_versions()?.first().copied();
    if let Some((maps, slots)) = adoptable(&pins) {
        return adopt(settings, pins, file, state.unwrap_or_default(), maps, slots);
    }
    // A set of this version that cannot be used goes the way of another version's: its links filter on until they
    // are given the new programs.
    let broken = pins.remove_set(ABI_VERSION)? > 0;
    pins.create()?;
    let session = create(settings, pins, file, state)?;
    let adoption = Adoption {
        replaced_abi: replaced_abi.or_else(|| broken.then_some(ABI_VERSION)),
        ..Adoption::default()
    };
    Ok((session, adoption))
}

/// The pinned maps and images, if they are complete and of this version.
fn adoptable(pins: &Pins) -> Option<(Maps, Slots)> {
    let has_programs = PINNED.iter().all(|name| pins.path(name).exists());
    let maps = has_programs.then(|| Maps::open(pins).ok()).flatten()?;
    let control = maps.control.read();
    if control.abi_version != ABI_VERSION {
        return None;
    }
    let slots = Slots::open(pins, &control).ok()?;
    Some((maps, slots))
}

fn create(
    settings: &KernelSettings,
    pins: Pins,
    file: StateFile,
    former: Option<State>,
) -> Result<Session, DataplaneError> {
    let options = options(settings);
    let programs = Programs::load(&options, &pins)?;
    let maps = Maps::open(&pins)?;
    let clock = if settings.clock_from_cell {
        KernelClock::set_by_hand()
    } else {
        KernelClock::measure(programs.admin.as_fd())?
    };
    // The version comes with the rest, last of all: a set without it is not adopted.
    maps.control.initialise(&Control {
        seed: random_seed()?,
        abi_version: ABI_VERSION,
        clock_shift: clock.scale().shift,
        ..Control::zeroed().with_flow_tables(maps.sizes.flow_buckets, maps.sizes.half_flow_buckets)
    });
    let mut state = State {
        object: object_identity(OBJECT),
        jiffies_per_second: clock.scale().jiffies_per_second,
        ..State::default()
    };
    // Interfaces that a former version is attached to keep what there is to restore.
    if let Some(former) = former {
        state.interfaces = former.interfaces;
        let links = super::links::links().unwrap_or_default();
        let linked = pins.linked(LinkKind::Xdp)?;
        state
            .interfaces
            .retain(|index, _| linked.contains(index) && links.iter().any(|link| link.index == *index));
    }
    let session = Session {
        slots: Slots::default(),
        lists: None,
        bans: None,
        numbers: Numbers::default(),
        attached: Vec::new(),
        pins,
        options,
        file,
        state,
        maps,
        programs,
        clock,
    };
    session.save();
    Ok(session)
}

fn adopt(
    settings: &KernelSettings,
    pins: Pins,
    file: StateFile,
    state: State,
    maps: Maps,
    slots: Slots,
) -> Result<(Session, Adoption), DataplaneError> {
    let mut options = options(settings);
    // The tables keep the sizes that they have.
    options.sizes = maps.sizes;
    let same_build = state.object == object_identity(OBJECT);
    let programs = if same_build {
        Programs::open(&pins)?
    } else {
        Programs::load(&options, &pins)?
    };
    let clock = KernelClock::known(programs.admin.as_fd(), state.jiffies_per_second)?;
    let mut session = Session {
        slots,
        lists: None,
        bans: None,
        numbers: Numbers::default(),
        attached: Vec::new(),
        pins,
        options,
        file,
        state,
        maps,
        programs,
        clock,
    };
    // Whoever had captured has gone with the former agent.
    for viewer in [Viewer::Capture, Viewer::Shadow] {
        session.end_capture(viewer)?;
    }
    session.state.abi_version = ABI_VERSION;
    session.state.jiffies_per_second = clock.scale().jiffies_per_second;
    let mut adoption = Adoption {
        adopted: true,
        replaced_abi: session.pins.other_versions()?.first().copied(),
        ..Adoption::default()
    };
    if !same_build {
        adoption.repairs.push(Repair::ProgramsReplaced);
    }
    adopt_slots(&mut session, &mut adoption, same_build)?;
    adopt_interfaces(&mut session, &mut adoption)?;
    // Only now are the slots' programs of this build, too.
    session.state.object = object_identity(OBJECT);
    session.save();
    adoption.interfaces.clone_from(&session.attached);
    Ok((session, adoption))
}

fn adopt_slots(
    session: &mut Session,
    adoption: &mut Adoption,
    same_build: bool,
) -> Result<(), DataplaneError> {
    let control = session.control();
    for slot in (0u8..).take(SLOTS) {
        let Some(status) = session.slots.status(&control, slot)? else {
            session.state.forget_slot(slot);
            continue;
        };
        let blocks = session.slots.read_back(&control, slot)?;
        let has_programs = has_programs(&session.maps, slot)?;
        if !has_programs || !same_build {
            session
                .slots
                .reload_programs(session.loading(), &session.maps, slot)?;
        }
        if !has_programs {
            adoption.repairs.push(Repair::SlotPrograms { slot });
        }
        debug_assert_eq!(status.epoch, slot_settings(&control, slot).epoch);
        let intact = session.is_intact(slot, &blocks) && session.maps.compact.agrees(slot, &blocks)?;
        adoption.slots.push(AdoptedSlot { status, intact });
    }
    Ok(())
}

fn adopt_interfaces(session: &mut Session, adoption: &mut Adoption) -> Result<(), DataplaneError> {
    let links = list_links()?;
    let mut indices: Vec<u32> = session.state.interfaces.keys().copied().collect();
    for kind in LinkKind::ALL {
        indices.extend(session.pins.linked(kind)?);
    }
    indices.sort_unstable();
    indices.dedup();
    for index in indices {
        let noted = noted(session, index)?;
        if let Some(link) = links.iter().find(|link| link.index == index) {
            adopt_interface(session, adoption, link, noted)?;
            continue;
        }
        session.forget(index)?;
        adoption.repairs.push(Repair::Forgotten {
            interface: noted.map_or_else(|| format!("index {index}"), |noted| noted.name),
        });
    }
    Ok(())
}

/// What is known of an interface: from the state file, else from the interface table.
fn noted(session: &Session, index: u32) -> Result<Option<InterfaceState>, DataplaneError> {
    if let Some(noted) = session.state.interfaces.get(&index) {
        return Ok(Some(noted.clone()));
    }
    let record = session.maps.interfaces.find(index)?;
    Ok(record.map(|record| InterfaceState {
        name: String::new(),
        slot: record.slot,
        mode: XdpMode::Native,
        reason: ModeReason::Adopted,
        vlan_tags_visible: false,
        restore_vlan_offload: false,
        remove_clsact: false,
    }))
}

fn adopt_interface(
    session: &mut Session,
    adoption: &mut Adoption,
    link: &Link,
    noted: Option<InterfaceState>,
) -> Result<(), DataplaneError> {
    let (Some(mut noted), Some(link_type)) = (noted, link.link_type()) else {
        // A link whose number is not known is of no use; it is attached anew if the policy wants it.
        return session.forget(link.index);
    };
    noted.name.clone_from(&link.name);
    if let Some(mode) = link.xdp_mode {
        noted.mode = mode;
    }
    session.numbers.keep(link.index, noted.slot);
    let record = InterfaceRecord {
        index: link.index,
        slot: noted.slot,
        link_type: link_type as u8,
        reserved: 0,
    };
    let interface = link.name.clone();
    if session.maps.interfaces.register(record, &link.name)? {
        adoption.repairs.push(Repair::Registered {
            interface: interface.clone(),
        });
    }
    match session.mend(link, &mut noted) {
        Ok(mended) => {
            if mended && !adoption.repairs.contains(&Repair::ProgramsReplaced) {
                adoption.repairs.push(Repair::Reattached { interface });
            }
            session.attached.push(AttachedInterface {
                index: link.index,
                name: link.name.clone(),
                slot: noted.slot,
                link_type,
                mode: noted.mode,
                reason: noted.reason.clone(),
                vlan_tags_visible: noted.vlan_tags_visible,
                vlan_offload_disabled: noted.restore_vlan_offload,
            });
            session.state.interfaces.insert(link.index, noted);
        }
        Err(error) => adoption.failures.push((interface, error)),
    }
    Ok(())
}

/// Room for entries in the table of local addresses, for the report on usage.
pub(super) fn local_address_count(session: &Session) -> Result<u64, DataplaneError> {
    let keys = session.maps.local_addresses.keys();
    let keys = keys.collect::<Result<Vec<_>, _>>();
    keys.map(|keys| keys.len() as u64)
        .map_err(map("read", names::LOCAL_ADDRESSES))
}
