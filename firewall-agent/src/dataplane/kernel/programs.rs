//! The programs that every slot shares: entries, reply builders, and the agent's own.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf,
    maps::MapData,
    programs::{ProgramError, ProgramFd, ProgramInfo, SchedClassifier},
};
use firewall_common::abi::{
    TC_SHARED_PROGRAMS, TC_SLOT_PROGRAMS, XDP_SHARED_PROGRAMS, XDP_SLOT_PROGRAMS, names,
};

use super::{
    maps,
    object::{LoadOptions, load_programs},
    pins::{Pins, file},
    sys,
};
use crate::dataplane::DataplaneError;

/// Programs that are pinned under their names.
pub(super) const PINNED: [&str; 3] = [names::XDP_ENTRY, names::TC_ENTRY, names::ADMIN];

/// The programs that are attached or run.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ingress: OwnedFd,
    pub(super) egress: SchedClassifier,
    pub(super) admin: OwnedFd,
    pub(super) ingress_id: u32,
    pub(super) egress_id: u32,
}

impl Programs {
    /// Loads them from the object and pins them, in the place of those that are pinned.
    ///
    /// Nothing is pinned or put into a program array before all of them are verified.
    pub(super) fn load(options: &LoadOptions, pins: &Pins) -> Result<Self, DataplaneError> {
        let mut ebpf = options.open(pins, None)?;
        load_programs(&mut ebpf, &[&PINNED[..], &SHARED.names()].concat())?;
        let xdp_slots = maps::open(pins, names::XDP_SLOTS)?;
        let tc_slots = maps::open(pins, names::TC_SLOTS)?;
        place(&ebpf, &xdp_slots, &tc_slots, &SHARED, 0)?;
        for name in PINNED {
            replace_pin(loaded(&ebpf, name)?.as_fd(), &pins.path(name))?;
        }
        Self::open(pins)
    }

    /// Opens those that are pinned.
    pub(super) fn open(pins: &Pins) -> Result<Self, DataplaneError> {
        let descriptor = |name| {
            let path = pins.path(name);
            sys::open_pin(&path).map_err(file("open", &path))
        };
        let id = |name| {
            let info = ProgramInfo::from_pin(pins.path(name)).map_err(program("look at", name))?;
            Ok(info.id())
        };
        let egress = SchedClassifier::from_pin(pins.path(names::TC_ENTRY));
        let egress = egress.map_err(program("open", names::TC_ENTRY))?;
        let (ingress, admin) = (descriptor(names::XDP_ENTRY)?, descriptor(names::ADMIN)?);
        let (ingress_id, egress_id) = (id(names::XDP_ENTRY)?, id(names::TC_ENTRY)?);
        Ok(Self {
            ingress,
            egress,
            admin,
            ingress_id,
            egress_id,
        })
    }

    pub(super) fn egress_fd(&self) -> Result<BorrowedFd<'_>, DataplaneError> {
        let fd = self.egress.fd().map_err(program("use", names::TC_ENTRY))?;
        Ok(fd.as_fd())
    }
}

/// Programs and their places in the arrays of both hooks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chains {
    pub(super) xdp: &'static [(&'static str, u32)],
    pub(super) tc: &'static [(&'static str, u32)],
}

/// Those that every slot uses.
pub(super) const SHARED: Chains = Chains {
    xdp: &XDP_SHARED_PROGRAMS,
    tc: &TC_SHARED_PROGRAMS,
};

/// Those that each slot has for itself, since they read its image.
pub(super) const SLOT: Chains = Chains {
    xdp: &XDP_SLOT_PROGRAMS,
    tc: &TC_SLOT_PROGRAMS,
};

impl Chains {
    pub(super) fn names(&self) -> Vec<&'static str> {
        let all = self.xdp.iter().chain(self.tc);
        all.map(|(name, _)| *name).collect()
    }
}

/// Loads programs and puts them into their places, counted from `offset`. No place changes before all are verified.
pub(super) fn fill(
    ebpf: &mut Ebpf,
    xdp_slots: &MapData,
    tc_slots: &MapData,
    chains: &Chains,
    offset: u32,
) -> Result<(), DataplaneError> {
    load_programs(ebpf, &chains.names())?;
    place(ebpf, xdp_slots, tc_slots, chains, offset)
}

/// Puts loaded programs into their places, counted from `offset`.
pub(super) fn place(
    ebpf: &Ebpf,
    xdp_slots: &MapData,
    tc_slots: &MapData,
    chains: &Chains,
    offset: u32,
) -> Result<(), DataplaneError> {
    for (array, programs) in [(xdp_slots, chains.xdp), (tc_slots, chains.tc)] {
        for (name, place) in programs {
            let program = loaded(ebpf, name)?.as_fd();
            sys::set_program(array.fd().as_fd(), place + offset, program).map_err(|source| {
                DataplaneError::Syscall {
                    action: "put a program into its place",
                    source,
                }
            })?;
        }
    }
    Ok(())
}

/// Whether both arrays have programs at all places, counted from `offset`.
pub(super) fn are_filled(
    xdp_slots: &MapData,
    tc_slots: &MapData,
    chains: &Chains,
    offset: u32,
) -> Result<bool, DataplaneError> {
    for (array, programs) in [(xdp_slots, chains.xdp), (tc_slots, chains.tc)] {
        for (_, place) in programs {
            let program = sys::program_at(array.fd().as_fd(), place + offset);
            let program = program.map_err(|source| DataplaneError::Syscall {
                action: "look at a program array",
                source,
            })?;
            if program.is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A loaded program of the object.
pub(super) fn loaded<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a ProgramFd, DataplaneError> {
    ebpf.program(name)
        .ok_or(DataplaneError::MissingProgram { program: name })?
        .fd()
        .map_err(program("use", name))
}

/// Says what was being done to which program.
pub(super) fn program(
    action: &'static str,
    program: &'static str,
) -> impl FnOnce(ProgramError) -> DataplaneError {
    move |source| DataplaneError::Program {
        action,
        program,
        source: Box::new(source),
    }
}

/// Pins an object, in one step in the place of whatever is pinned there.
pub(super) fn replace_pin(object: BorrowedFd<'_>, path: &Path) -> Result<(), DataplaneError> {
    let mut next = path.as_os_str().to_owned();
    next.push("_next");
    let next = Path::new(&next);
    super::pins::remove(next)?;
    sys::pin(object, next).map_err(file("pin", next))?;
    fs::rename(next, path).map_err(file("rename to", path))
}
