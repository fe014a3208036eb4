//! The programs of one hook once more, bound to the live tables, as a variant that writes nothing: what they say of a
//! frame is what the attached programs would say of it now.
//!
//! The maps of flows, counters, bans, lists and the slot's image are the pinned ones. What a packet carries from program
//! to program has maps of its own, so that a run cannot meet a packet under way on the same processor.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use aya::maps::MapInfo;
use firewall_common::{abi::names, counters::Hook};

use super::{
    mapped::MappedTold,
    maps::map,
    object::{ImageMap, LoadOptions, load_programs},
    pins::{Pins, file, remove},
    programs::{SHARED, SLOT, loaded},
    rehearsal::{Rehearsal, Rehearsing},
    sys,
};
use crate::dataplane::DataplaneError;

/// Maps that a dry run does not share with the attached programs.
const OWN_MAPS: [&str; 6] = [
    names::SCRATCH,
    names::PLAIN,
    names::WORK,
    names::TOLD,
    names::XDP_SLOTS,
    names::TC_SLOTS,
];

/// What tells one image map from another: the slot, and the kernel's number of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageIdentity {
    slot: u8,
    map: u32,
}

impl ImageIdentity {
    pub(super) fn of(pins: &Pins, slot: u8) -> Result<Self, DataplaneError> {
        let info = MapInfo::from_pin(pins.image(slot)).map_err(map("look at", names::IMAGE))?;
        Ok(Self { slot, map: info.id() })
    }
}

/// Programs of one hook for a dry run, to be verified.
#[derive(Debug)]
pub struct DryRun {
    image: ImageIdentity,
    hook: Hook,
    pins: Pins,
    options: LoadOptions,
}

impl DryRun {
    pub(super) fn new(
        pins: &Pins,
        options: &LoadOptions,
        slot: u8,
        hook: Hook,
    ) -> Result<Self, DataplaneError> {
        Ok(Self {
            image: ImageIdentity::of(pins, slot)?,
            hook,
            pins: pins.clone(),
            options: LoadOptions {
                rehearsing: Rehearsing::Dry,
                ..*options
            },
        })
    }

    /// The image that it is for. Where the slot has another one by now, this one's programs are of no use any more.
    #[must_use]
    pub const fn image(&self) -> ImageIdentity {
        self.image
    }

    /// Has the kernel verify the programs. Blocks for up to some seconds, and needs nothing of the dataplane but what
    /// is pinned.
    pub fn load(self) -> Result<Rehearsal, DataplaneError> {
        let own = OWN_MAPS.map(|name| (name, self.own_pin(name)));
        let loaded = self.load_with(&own);
        // What is open stays; a pin that cannot be removed now is removed before the next time.
        for (_, path) in &own {
            let _ = remove(path);
        }
        loaded
    }

    fn own_pin(&self, name: &str) -> PathBuf {
        let hook = match self.hook {
            Hook::Ingress => "in",
            Hook::Egress => "out",
        };
        self.pins.path(&format!("DRY_{hook}_{name}"))
    }

    fn load_with(&self, own: &[(&'static str, PathBuf)]) -> Result<Rehearsal, DataplaneError> {
        // Those of an agent that was killed meanwhile.
        for (_, path) in own {
            remove(path)?;
        }
        let path = self.pins.image(self.image.slot);
        let info = MapInfo::from_pin(&path).map_err(map("look at", names::IMAGE))?;
        let image = ImageMap {
            path: &path,
            blocks: info.max_entries(),
        };
        let mut ebpf = self.options.open_with(&self.pins, Some(image), own)?;
        let (entry, array, reject, shared, slot) = match self.hook {
            Hook::Ingress => (
                names::XDP_ENTRY,
                names::XDP_SLOTS,
                names::XDP_REJECT,
                SHARED.xdp,
                SLOT.xdp,
            ),
            Hook::Egress => (
                names::TC_ENTRY,
                names::TC_SLOTS,
                names::TC_REJECT,
                SHARED.tc,
                SLOT.tc,
            ),
        };
        let shared = shared.iter().filter(|(name, _)| *name != reject).copied();
        let slot = slot
            .iter()
            .map(|(name, place)| (*name, place + u32::from(self.image.slot)));
        let chain: Vec<_> = shared.chain(slot).collect();
        let mut wanted: Vec<_> = chain.iter().map(|(name, _)| *name).collect();
        wanted.push(entry);
        load_programs(&mut ebpf, &wanted)?;
        let array = self.open(array)?;
        for (name, place) in chain {
            let program = loaded(&ebpf, name)?.as_fd();
            sys::set_program(array.as_fd(), place, program).map_err(|source| DataplaneError::Syscall {
                action: "put a program into its place",
                source,
            })?;
        }
        let entry = loaded(&ebpf, entry)?.as_fd().try_clone_to_owned();
        let entry = entry.map_err(|source| DataplaneError::Syscall {
            action: "keep a program",
            source,
        })?;
        let told = MappedTold::map(self.open(names::TOLD)?.as_fd())
            .map_err(file("map", &self.own_pin(names::TOLD)))?;
        Ok(Rehearsal::new(self.hook, entry, told, Some(array)))
    }

    fn open(&self, name: &str) -> Result<OwnedFd, DataplaneError> {
        let path = self.own_pin(name);
        sys::open_pin(&path).map_err(file("open", &path))
    }
}
