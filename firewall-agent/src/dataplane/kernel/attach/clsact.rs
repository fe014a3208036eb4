//! Egress on kernels without tcx: a filter of the clsact qdisc.

use std::mem;

use aya::programs::{
    Link as _, ProgramError, SchedClassifier, TcAttachType,
    tc::{
        NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError, TcHandle,
        qdisc_add_clsact,
    },
};
use bytemuck::{Pod, Zeroable, bytes_of};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::TcOutcome;
use crate::dataplane::{AttachHook, DataplaneError, Link, kernel::netlink::Netlink};

/// Filters of lower number run first; "FW" in ASCII, so that nobody else is likely to use it.
const PRIORITY: u16 = 0x4657;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// `linux/rtnetlink.h`, `linux/pkt_sched.h`
const RTM_DELQDISC: u16 = 37;
const RTM_GETTFILTER: u16 = 46;
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS_PARENT: u32 = 0xffff_fff2;
const EGRESS_PARENT: u32 = 0xffff_fff3;

/// `struct tcmsg`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct TcMessage {
    family: u8,
    padding: [u8; 3],
    interface: u32,
    handle: u32,
    parent: u32,
    info: u32,
}

/// Replaces the filter in place, or makes it.
pub(super) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<TcOutcome, DataplaneError> {
    let was_attached = replace(program, interface)?;
    let added_clsact = !was_attached && create(program, interface)?;
    Ok(TcOutcome {
        was_attached,
        added_clsact,
    })
}

fn known(interface: &str) -> Result<SchedClassifierLink, DataplaneError> {
    SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
        .map_err(|error| failed(interface)(error.into()))
}

/// Puts the program into the filter that is there; false where there is none.
fn replace(program: &mut SchedClassifier, interface: &str) -> Result<bool, DataplaneError> {
    match program.attach_to_link(known(interface)?) {
        Ok(id) => keep(program, id, interface).map(|()| true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(failed(interface)(error)),
    }
}

/// Makes the filter; true where the qdisc had to be made, too.
fn create(program: &mut SchedClassifier, interface: &str) -> Result<bool, DataplaneError> {
    let added = match qdisc_add_clsact(interface) {
        Ok(()) => true,
        Err(error) if errno(&error) == Some(libc::EEXIST) => false,
        Err(error) => return Err(failed(interface)(error.into())),
    };
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        handle: HANDLE,
        classid: None,
    });
    let id = program
        .attach_with_options(interface, TcAttachType::Egress, options)
        .map_err(failed(interface))?;
    keep(program, id, interface)?;
    Ok(added)
}

/// Takes the filter out of aya's hands, which would remove it when the program is dropped.
fn keep(
    program: &mut SchedClassifier,
    id: SchedClassifierLinkId,
    interface: &str,
) -> Result<(), DataplaneError> {
    let link = program.take_link(id).map_err(failed(interface))?;
    mem::forget(link);
    Ok(())
}

/// Removes the filter, and the qdisc where that is wanted and nobody else has a filter there.
pub(super) fn detach(link: &Link, remove_qdisc: bool) -> Result<bool, DataplaneError> {
    let removed = match known(&link.name)?.detach() {
        Ok(()) => true,
        Err(error) if is_missing(&error) => false,
        Err(error) => return Err(failed(&link.name)(error)),
    };
    if remove_qdisc && !has_filters(link)? {
        let message = TcMessage {
            interface: link.index,
            handle: CLSACT_HANDLE,
            parent: CLSACT,
            ..TcMessage::zeroed()
        };
        let mut netlink = open()?;
        match netlink.command(RTM_DELQDISC, bytes_of(&message)) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
                return Err(netlink_error("remove a qdisc", error));
            }
            _ => {}
        }
    }
    Ok(removed)
}

fn has_filters(link: &Link) -> Result<bool, DataplaneError> {
    let mut netlink = open()?;
    for parent in [INGRESS_PARENT, EGRESS_PARENT] {
        let message = TcMessage {
            interface: link.index,
            parent,
            ..TcMessage::zeroed()
        };
        let filters = netlink
            .dump(RTM_GETTFILTER, bytes_of(&message))
            .map_err(|error| netlink_error("list filters", error))?;
        if !filters.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open() -> Result<Netlink, DataplaneError> {
    Netlink::open(NETLINK_ROUTE).map_err(|error| netlink_error("ask the kernel", error))
}

const fn netlink_error(action: &'static str, source: std::io::Error) -> DataplaneError {
    DataplaneError::Netlink { action, source }
}

fn errno(error: &TcError) -> Option<i32> {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

/// Whether there is no such filter (`ENOENT`) or not even the qdisc (`EINVAL`: `net/sched/cls_api.c` says "Parent Qdisc
/// doesn't exists").
fn is_missing(error: &ProgramError) -> bool {
    let errno = match error {
        ProgramError::TcError(error) => errno(error),
        ProgramError::NetlinkError(error) => error.raw_os_error(),
        _ => None,
    };
    matches!(errno, Some(libc::ENOENT | libc::EINVAL))
}

fn failed(interface: &str) -> impl FnOnce(ProgramError) -> DataplaneError {
    let interface = interface.to_owned();
    move |source| DataplaneError::Attach {
        interface,
        hook: AttachHook::Tc,
        mode: None,
        source: Box::new(source),
    }
}
