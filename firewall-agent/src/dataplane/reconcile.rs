//! Keeps attachments in line with the interfaces that the policy names.

use super::{AttachMode, AttachRequest, AttachedInterface, Dataplane, DataplaneError, Link};

/// What interfaces are to be attached, and how.
pub trait Wanted {
    /// The mode for an interface, or `None` where it is to be left alone. Never asked about loopback.
    fn mode(&self, name: &str) -> Option<AttachMode>;

    /// Whether the policy has to see VLAN tags (see [`AttachRequest::needs_vlan_tags`]).
    fn needs_vlan_tags(&self) -> bool;

    /// Called before a link is attached, with the number that it is going to have: the moment to write its bit
    /// vectors into the image in force and to take over the connections that are open.
    fn prepare(&mut self, dataplane: &mut dyn Dataplane, link: &Link, slot: u8)
    -> Result<(), DataplaneError>;

    /// Called after a link was attached: the moment to take over the connections that were opened meanwhile.
    fn attached(&mut self, dataplane: &mut dyn Dataplane, link: &Link) -> Result<(), DataplaneError> {
        let _ = (dataplane, link);
        Ok(())
    }
}

/// An interface that could not be attached.
#[derive(Debug)]
pub struct Failure {
    /// Its name.
    pub interface: String,
    /// Why.
    pub error: DataplaneError,
}

/// What has changed.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// Attached now.
    pub attached: Vec<AttachedInterface>,
    /// Gone from this host.
    pub gone: Vec<AttachedInterface>,
    /// Wanted, but not attached.
    pub failed: Vec<Failure>,
}

/// Attaches every wanted interface that is not attached yet, and cleans up after those that are gone.
///
/// Interfaces that are attached and no longer wanted stay: they are detached only after a confirmation (see
/// [`Dataplane::detach`]).
pub fn reconcile(
    dataplane: &mut dyn Dataplane,
    wanted: &mut dyn Wanted,
) -> Result<Reconciled, DataplaneError> {
    let links = dataplane.links()?;
    let mut changes = Reconciled {
        gone: dataplane.forget_gone(&links)?,
        ..Reconciled::default()
    };
    for link in links.iter().filter(|link| !link.loopback) {
        let Some(mode) = wanted.mode(&link.name) else {
            continue;
        };
        match bring_in_line(dataplane, wanted, &links, link, mode) {
            Ok(attached) => changes.attached.extend(attached),
            Err(error) => changes.failed.push(Failure {
                interface: link.name.clone(),
                error,
            }),
        }
    }
    Ok(changes)
}

/// Attaches one link; `None` where it is attached already.
fn bring_in_line(
    dataplane: &mut dyn Dataplane,
    wanted: &mut dyn Wanted,
    links: &[Link],
    link: &Link,
    mode: AttachMode,
) -> Result<Option<AttachedInterface>, DataplaneError> {
    let request = AttachRequest {
        link,
        mode,
        needs_vlan_tags: wanted.needs_vlan_tags(),
    };
    let attached = dataplane.interfaces();
    if let Some(attached) = attached.iter().find(|attached| attached.index == link.index) {
        if request.needs_vlan_tags && !attached.vlan_tags_visible {
            dataplane.attach(&request)?;
        }
        return Ok(None);
    }
    refuse_same_path(&attached, links, link)?;
    let slot = dataplane.reserve_interface(link)?;
    wanted.prepare(dataplane, link, slot)?;
    let attached = dataplane.attach(&request)?;
    wanted.attached(dataplane, link)?;
    Ok(Some(attached))
}

/// A packet must be judged once: by the port or the bond, not also by the VLAN or the bridge above it.
fn refuse_same_path(
    attached: &[AttachedInterface],
    links: &[Link],
    link: &Link,
) -> Result<(), DataplaneError> {
    for attached in attached {
        let other = links.iter().find(|other| other.index == attached.index);
        if other.is_some_and(|other| link.shares_path_with(other, links)) {
            return Err(DataplaneError::SamePath {
                interface: link.name.clone(),
                other: attached.name.clone(),
            });
        }
    }
    Ok(())
}
