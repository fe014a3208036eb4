//! Removing every trace.

use super::{
    KernelSettings,
    attach::{detach, detach_clsact},
    ethtool,
    links::links,
    pins::{LinkKind, Pins},
    state::{InterfaceState, StateFile},
};
use crate::dataplane::{DataplaneError, Link, Unloaded};

/// Detaches everything under the settings' pin directory, of whatever version, and removes it.
pub(super) fn unload(settings: &KernelSettings) -> Result<Unloaded, DataplaneError> {
    let pins = Pins::new(&settings.pin_directory);
    let file = StateFile::new(&settings.state_directory);
    let noted = file.load().unwrap_or_default().interfaces;
    let links = links().map_err(|source| DataplaneError::Netlink {
        action: "list interfaces",
        source,
    })?;
    let mut unloaded = Unloaded::default();
    let mut indices: Vec<u32> = noted.keys().copied().collect();
    for kind in LinkKind::ALL {
        indices.extend(pins.linked(kind)?);
    }
    indices.sort_unstable();
    indices.dedup();
    for index in indices {
        let link = links.iter().find(|link| link.index == index);
        remove(&pins, index, link, noted.get(&index), &mut unloaded)?;
    }
    unloaded.pins += pins.remove_all()?;
    file.remove()?;
    Ok(unloaded)
}

fn remove(
    pins: &Pins,
    index: u32,
    link: Option<&Link>,
    noted: Option<&InterfaceState>,
    unloaded: &mut Unloaded,
) -> Result<(), DataplaneError> {
    let before = LinkKind::ALL.map(|kind| pins.link(kind, index).exists());
    let mut detached = detach(pins, index)?;
    unloaded.pins += before.iter().filter(|exists| **exists).count();
    let Some(link) = link else {
        return Ok(());
    };
    detached |= detach_clsact(link, noted.is_some_and(|noted| noted.remove_clsact))?;
    if detached {
        unloaded.interfaces.push(link.name.clone());
    }
    if noted.is_some_and(|noted| noted.restore_vlan_offload) {
        match ethtool::set_vlan_offload(&link.name, true) {
            Ok(_) => unloaded
                .restored
                .push(format!("receive VLAN offload of {}", link.name)),
            Err(error) => unloaded.restored.push(format!(
                "not restored: receive VLAN offload of {} ({error}); run: ethtool -K {} rxvlan on",
                link.name, link.name
            )),
        }
    }
    Ok(())
}
