//! An open dataplane.

use std::{collections::BTreeSet, io, net::IpAddr, os::fd::AsFd};

use firewall_common::{control::Control, interface::InterfaceRecord};

use super::{
    KernelSettings,
    addresses::local_addresses,
    attach::{Attacher, detach, detach_clsact},
    bans::BanTables,
    clock::KernelClock,
    ethtool,
    interfaces::Numbers,
    links,
    lists::Lists,
    maps::{AddressKey, Maps, map},
    object::LoadOptions,
    pins::{LinkKind, Pins, file},
    programs::Programs,
    slots::{Loading, Slots},
    spare::SpareSlot,
    state::{InterfaceState, State, StateFile},
    sys,
};
use crate::dataplane::{
    AttachRequest, AttachedInterface, ClockReading, DataplaneError, Link, LoadedSlot, ModeReason, SlotImage,
    XdpMode, image_digest,
};
use firewall_common::{abi::names, address::Address, image::Block};

/// Everything that is open while a dataplane is.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) pins: Pins,
    pub(super) options: LoadOptions,
    pub(super) file: StateFile,
    pub(super) state: State,
    pub(super) maps: Maps,
    pub(super) programs: Programs,
    pub(super) clock: KernelClock,
    pub(super) slots: Slots,
    pub(super) lists: Lists,
    /// Opened when they are first written.
    pub(super) bans: Option<BanTables>,
    pub(super) numbers: Numbers,
    pub(super) attached: Vec<AttachedInterface>,
}

impl Session {
    pub(super) fn control(&self) -> Control {
        self.maps.control.read()
    }

    pub(super) fn clock(&self) -> Result<ClockReading, DataplaneError> {
        if self.options.clock_from_cell {
            return Ok(ClockReading {
                scale: self.clock.scale(),
                now_ticks: self.control().clock_cell_ticks,
            });
        }
        self.clock.read()
    }

    /// Writes down what cannot be asked of the kernel. A disk that is full or cannot be written to must not keep the
    /// host from being filtered: what is lost then is the proof that an image is the one that was loaded (it is loaded
    /// again after a restart), and which offloads are to be switched on again.
    pub(super) fn save(&self) {
        if let Err(error) = self.file.save(&self.state) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the next start will have to load the policy again");
        }
    }

    pub(super) fn loading(&self) -> Loading<'_> {
        Loading {
            pins: &self.pins,
            options: &self.options,
        }
    }

    pub(super) fn load_generation(
        &mut self,
        image: &SlotImage<'_>,
        keep: &[u8],
    ) -> Result<LoadedSlot, DataplaneError> {
        let clock = self.clock()?;
        let loading = Loading {
            pins: &self.pins,
            options: &self.options,
        };
        let loaded = self.slots.load(loading, &mut self.maps, clock, image, keep)?;
        self.state.set_slot(loaded.slot, &loaded.digest);
        self.save();
        Ok(loaded)
    }

    pub(super) fn spare_slot(&mut self, blocks: u32) -> Result<Option<SpareSlot>, DataplaneError> {
        let loading = Loading {
            pins: &self.pins,
            options: &self.options,
        };
        let spare = self.slots.spare(loading, &self.maps, blocks)?;
        if let Some(spare) = &spare {
            self.state.forget_slot(spare.slot);
            self.save();
        }
        Ok(spare)
    }

    pub(super) fn install(&mut self, spare: SpareSlot) -> Result<(), DataplaneError> {
        self.slots.install(&self.pins, &self.maps, spare)
    }

    pub(super) fn patch_image(&mut self, slot: u8, patch: &[(u32, Block)]) -> Result<(), DataplaneError> {
        if patch.is_empty() {
            return Ok(());
        }
        let digest = self.slots.patch(&self.control(), slot, patch)?;
        self.state.set_slot(slot, &digest);
        self.save();
        Ok(())
    }

    /// Whether a slot holds what was loaded into it.
    pub(super) fn is_intact(&self, slot: u8, blocks: &[Block]) -> bool {
        self.state.is_loaded(slot, &image_digest(blocks))
    }

    pub(super) fn attach(
        &mut self,
        request: &AttachRequest<'_>,
    ) -> Result<AttachedInterface, DataplaneError> {
        let link = request.link;
        let interface = || link.name.clone();
        if link.loopback {
            return Err(DataplaneError::Loopback {
                interface: interface(),
            });
        }
        let link_type = link.link_type().ok_or_else(|| DataplaneError::UnsupportedLink {
            interface: interface(),
            arphrd: link.arphrd,
        })?;
        self.refuse_busy(link)?;
        let slot = self.numbers.reserve(link.index, &link.name)?;
        let known = self.state.interfaces.get(&link.index).cloned();
        let restore_vlan_offload = known.as_ref().is_some_and(|known| known.restore_vlan_offload)
            || request.needs_vlan_tags && show_vlan_tags(&link.name)?;
        let mut noted = InterfaceState {
            name: interface(),
            slot,
            vlan_tags_visible: request.needs_vlan_tags
                || known.as_ref().is_some_and(|known| known.vlan_tags_visible),
            mode: known.as_ref().map_or(XdpMode::Native, |known| known.mode),
            reason: known
                .as_ref()
                .map_or(ModeReason::Adopted, |known| known.reason.clone()),
            restore_vlan_offload,
            remove_clsact: known.as_ref().is_some_and(|known| known.remove_clsact),
        };
        // Noted before anything is attached, so that unloading knows what to restore however this ends.
        self.note(link.index, noted.clone());
        let record = InterfaceRecord {
            index: link.index,
            slot,
            link_type: link_type as u8,
            reserved: 0,
        };
        self.maps.interfaces.register(record, &link.name)?;
        if let Err(error) = self.attach_programs(request, &mut noted) {
            if known.is_none() {
                // The first error is the one to report; what cannot be undone is in the state and goes with unloading.
                let _ = self.detach_link(link);
            }
            return Err(error);
        }
        self.note(link.index, noted.clone());
        let attached = AttachedInterface {
            index: link.index,
            name: interface(),
            slot,
            link_type,
            mode: noted.mode,
            reason: noted.reason,
            vlan_tags_visible: noted.vlan_tags_visible,
            vlan_offload_disabled: restore_vlan_offload,
        };
        self.attached.retain(|other| other.index != link.index);
        self.attached.push(attached.clone());
        self.retire_other_versions()?;
        Ok(attached)
    }

    /// Nothing at all is done to an interface that somebody else's XDP program holds.
    fn refuse_busy(&self, link: &Link) -> Result<(), DataplaneError> {
        match link.xdp_program {
            Some(program_id) if !self.pins.link(LinkKind::Xdp, link.index).exists() => {
                Err(DataplaneError::XdpBusy {
                    interface: link.name.clone(),
                    program_id,
                })
            }
            _ => Ok(()),
        }
    }

    /// What goes out first: a connection that this host opens meanwhile is known when its answer comes in.
    fn attach_programs(
        &mut self,
        request: &AttachRequest<'_>,
        noted: &mut InterfaceState,
    ) -> Result<bool, DataplaneError> {
        let mut attacher = Attacher {
            pins: &self.pins,
            programs: &mut self.programs,
        };
        let tc = attacher.tc(request.link)?;
        noted.remove_clsact |= tc.added_clsact;
        let xdp = attacher.xdp(request.link, request.mode)?;
        noted.mode = xdp.mode;
        if let Some(reason) = xdp.reason {
            noted.reason = reason;
        }
        Ok(tc.was_attached && xdp.was_attached)
    }

    /// Attaches again where something is missing; true where anything was.
    pub(super) fn mend(&mut self, link: &Link, noted: &mut InterfaceState) -> Result<bool, DataplaneError> {
        let request = AttachRequest {
            link,
            mode: match noted.mode {
                XdpMode::Native => crate::dataplane::AttachMode::Native,
                XdpMode::Generic => crate::dataplane::AttachMode::Generic,
            },
            needs_vlan_tags: noted.vlan_tags_visible,
        };
        let reason = noted.reason.clone();
        let was_whole = self.attach_programs(&request, noted)?;
        noted.reason = reason;
        Ok(!was_whole)
    }

    fn note(&mut self, index: u32, noted: InterfaceState) {
        if self.state.interfaces.get(&index) != Some(&noted) {
            self.state.interfaces.insert(index, noted);
            self.save();
        }
    }

    pub(super) fn detach(&mut self, name: &str) -> Result<bool, DataplaneError> {
        let Some(attached) = self
            .attached
            .iter()
            .find(|attached| attached.name == name)
            .cloned()
        else {
            return Ok(false);
        };
        let links = list_links()?;
        match links.iter().find(|link| link.index == attached.index) {
            Some(link) => self.detach_link(link)?,
            None => self.forget(attached.index)?,
        }
        Ok(true)
    }

    fn detach_link(&mut self, link: &Link) -> Result<(), DataplaneError> {
        let noted = self.state.interfaces.get(&link.index).cloned();
        detach(&self.pins, link.index)?;
        detach_clsact(link, noted.as_ref().is_some_and(|noted| noted.remove_clsact))?;
        if noted.is_some_and(|noted| noted.restore_vlan_offload) {
            // An interface that refuses is left as it is: the firewall is off it, which is what was asked for.
            let _ = ethtool::set_vlan_offload(&link.name, true);
        }
        self.forget(link.index)
    }

    /// Removes all traces of an interface that nothing is attached to any more.
    pub(super) fn forget(&mut self, index: u32) -> Result<(), DataplaneError> {
        detach(&self.pins, index)?;
        self.maps.interfaces.unregister(index)?;
        self.numbers.release(index);
        self.attached.retain(|attached| attached.index != index);
        if self.state.interfaces.remove(&index).is_some() {
            self.save();
        }
        Ok(())
    }

    pub(super) fn forget_gone(&mut self, links: &[Link]) -> Result<Vec<AttachedInterface>, DataplaneError> {
        let is_there = |index: u32| links.iter().any(|link| link.index == index);
        let gone: Vec<_> = self
            .attached
            .iter()
            .filter(|attached| !is_there(attached.index))
            .cloned()
            .collect();
        for attached in &gone {
            self.forget(attached.index)?;
        }
        self.numbers.release_gone(is_there);
        self.rename(links);
        Ok(gone)
    }

    /// Takes over new names of interfaces.
    fn rename(&mut self, links: &[Link]) {
        for attached in &mut self.attached {
            if let Some(link) = links.iter().find(|link| link.index == attached.index) {
                attached.name.clone_from(&link.name);
            }
        }
    }

    /// Removes sets of other versions once no link uses them.
    fn retire_other_versions(&self) -> Result<(), DataplaneError> {
        let versions = self.pins.other_versions()?;
        if versions.is_empty() || !self.all_links_are_ours()? {
            return Ok(());
        }
        for version in versions {
            self.pins.remove_set(version)?;
        }
        Ok(())
    }

    fn all_links_are_ours(&self) -> Result<bool, DataplaneError> {
        for (kind, program) in [
            (LinkKind::Xdp, self.programs.ingress_id),
            (LinkKind::Tcx, self.programs.egress_id),
        ] {
            for index in self.pins.linked(kind)? {
                let path = self.pins.link(kind, index);
                let link = sys::open_pin(&path).map_err(file("open", &path))?;
                let info = sys::link_info(link.as_fd()).map_err(file("look at", &path))?;
                if info.interface != 0 && info.program != program {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(super) fn sync_local_addresses(&mut self) -> Result<usize, DataplaneError> {
        let addresses = list_addresses()?;
        let wanted: BTreeSet<AddressKey> = addresses.iter().map(|address| address_key(*address)).collect();
        let table = &mut self.maps.local_addresses;
        let present = table
            .keys()
            .collect::<Result<BTreeSet<_>, _>>()
            .map_err(map("read", names::LOCAL_ADDRESSES))?;
        // New ones first: an address that moves from one interface to another is never missing.
        for key in wanted.difference(&present) {
            table
                .insert(key, 1, 0)
                .map_err(map("write", names::LOCAL_ADDRESSES))?;
        }
        for key in present.difference(&wanted) {
            table.remove(key).map_err(map("write", names::LOCAL_ADDRESSES))?;
        }
        Ok(wanted.len())
    }
}

/// Enters addresses in the table of local ones, whatever the interfaces have.
pub(super) fn enter_local(session: &mut Session, addresses: &[IpAddr]) -> Result<(), DataplaneError> {
    for address in addresses {
        let entered = session.maps.local_addresses.insert(address_key(*address), 1, 0);
        entered.map_err(map("write", names::LOCAL_ADDRESSES))?;
    }
    Ok(())
}

/// The programs' key of an address: IPv4 as `::ffff:a.b.c.d`.
fn address_key(address: IpAddr) -> AddressKey {
    let v6 = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let Address { high, low } = Address::from_v6(v6.octets());
    [high, low]
}

/// Makes the hardware leave VLAN tags in frames; true where that was a change.
fn show_vlan_tags(interface: &str) -> Result<bool, DataplaneError> {
    match ethtool::set_vlan_offload(interface, false) {
        // No such offload, no tags taken off.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(source) => Err(DataplaneError::VlanOffload {
            interface: interface.to_owned(),
            source,
        }),
        Ok(changed) => Ok(changed),
    }
}

/// What a session is made of before it is one.
pub(super) fn options(settings: &KernelSettings) -> LoadOptions {
    LoadOptions {
        sizes: (&settings.tables).into(),
        clock_from_cell: settings.clock_from_cell,
        rehearsing: settings.rehearsing,
    }
}

/// A random secret.
pub(super) fn random_seed() -> Result<[u64; 4], DataplaneError> {
    let mut bytes = [0u8; 32];
    let read = io::Read::read_exact(
        &mut std::fs::File::open("/dev/urandom").map_err(|source| DataplaneError::Syscall {
            action: "draw a secret",
            source,
        })?,
        &mut bytes,
    );
    read.map_err(|source| DataplaneError::Syscall {
        action: "draw a secret",
        source,
    })?;
    Ok(bytemuck::cast(bytes))
}

/// The addresses of this host, broadcast addresses among them.
pub(super) fn list_addresses() -> Result<BTreeSet<IpAddr>, DataplaneError> {
    local_addresses().map_err(|source| DataplaneError::Netlink {
        action: "list addresses",
        source,
    })
}

/// The interfaces of this host.
pub(super) fn list_links() -> Result<Vec<Link>, DataplaneError> {
    links::links().map_err(|source| DataplaneError::Netlink {
        action: "list interfaces",
        source,
    })
}
