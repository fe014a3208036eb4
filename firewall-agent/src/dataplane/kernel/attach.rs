//! Programs on interfaces.
//!
//! Links are pinned, so that they outlive the agent. Before kernel 6.6 there is no link for tc: there the program is
//! a filter of the clsact qdisc with a fixed priority and handle, which is replaced in place and never removed by
//! the drop of a value.

mod clsact;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::{programs::ProgramError, util::KernelVersion};

use super::{
    ethtool,
    pins::{LinkKind, Pins, file, remove},
    programs::Programs,
    sys::{self, xdp_flags},
};
use crate::dataplane::{AttachHook, AttachMode, DataplaneError, Link, ModeReason, XdpMode};

/// Drivers for which native XDP costs more than it brings: on veth it switches off segmentation offload, and one bulk
/// TCP stream falls to a quarter.
const PREFER_GENERIC: [&str; 1] = ["veth"];

/// The programs, and where their links are pinned.
#[derive(Debug)]
pub(super) struct Attacher<'a> {
    pub(super) pins: &'a Pins,
    pub(super) programs: &'a mut Programs,
}

/// What attaching to tc has found or done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TcOutcome {
    /// It was attached already, with this program.
    pub(super) was_attached: bool,
    /// The clsact qdisc was added for it.
    pub(super) added_clsact: bool,
}

/// What attaching to XDP has found or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct XdpOutcome {
    pub(super) was_attached: bool,
    pub(super) mode: XdpMode,
    /// `None` where an attachment was found and kept.
    pub(super) reason: Option<ModeReason>,
}

/// A pinned link to an interface that still is there.
enum Pinned {
    None,
    /// To this program.
    Ours,
    /// To another program, for example that of a former version.
    Other(OwnedFd),
}

impl Attacher<'_> {
    /// Attaches for what goes out, or puts the program into the link that is there.
    pub(super) fn tc(&mut self, link: &Link) -> Result<TcOutcome, DataplaneError> {
        if !has_tcx() {
            return clsact::attach(&mut self.programs.egress, &link.name);
        }
        let path = self.pins.link(LinkKind::Tcx, link.index);
        let (program, id) = (self.programs.egress_fd()?, self.programs.egress_id);
        let pinned = pinned(&path, link.index, id)?;
        let was_attached = matches!(pinned, Pinned::Ours);
        match pinned {
            Pinned::Ours => {}
            Pinned::Other(other) => update(&other, program, link, AttachHook::Tc)?,
            Pinned::None => {
                let attached =
                    sys::link_tcx_egress(program, link.index).map_err(failed(link, AttachHook::Tc, None))?;
                sys::pin(attached.as_fd(), &path).map_err(file("pin", &path))?;
            }
        }
        Ok(TcOutcome {
            was_attached,
            added_clsact: false,
        })
    }

    /// Attaches for what comes in, or puts the program into the link that is there, whose mode is kept: changing it
    /// would leave a moment without a filter.
    pub(super) fn xdp(&mut self, link: &Link, mode: AttachMode) -> Result<XdpOutcome, DataplaneError> {
        let path = self.pins.link(LinkKind::Xdp, link.index);
        let (program, id) = (self.programs.ingress.as_fd(), self.programs.ingress_id);
        let pinned = pinned(&path, link.index, id)?;
        let was_attached = matches!(pinned, Pinned::Ours);
        match pinned {
            Pinned::Ours => {}
            Pinned::Other(other) => update(&other, program, link, AttachHook::Xdp)?,
            Pinned::None => return new_xdp(program, link, mode, &path),
        }
        Ok(XdpOutcome {
            was_attached,
            mode: link.xdp_mode.unwrap_or(XdpMode::Native),
            reason: None,
        })
    }
}

/// Detaches whatever of ours is on an interface, at once; false where nothing was.
pub(super) fn detach(pins: &Pins, index: u32) -> Result<bool, DataplaneError> {
    let mut detached = false;
    for kind in LinkKind::ALL {
        let path = pins.link(kind, index);
        if !path.exists() {
            continue;
        }
        let link = sys::open_pin(&path).map_err(file("open", &path))?;
        match sys::link_detach(link.as_fd()) {
            // The link of an interface that is gone is detached already.
            Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => {
                return Err(file("detach", &path)(error));
            }
            _ => detached = true,
        }
        remove(&path)?;
    }
    Ok(detached)
}

/// Removes the filter of an interface, and its qdisc where that was added for it and serves nobody else.
pub(super) fn detach_clsact(link: &Link, remove_qdisc: bool) -> Result<bool, DataplaneError> {
    if has_tcx() {
        return Ok(false);
    }
    clsact::detach(link, remove_qdisc)
}

/// tcx came with kernel 6.6.
fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

fn pinned(path: &Path, interface: u32, program: u32) -> Result<Pinned, DataplaneError> {
    if !path.exists() {
        return Ok(Pinned::None);
    }
    let link = sys::open_pin(path).map_err(file("open", path))?;
    let info = sys::link_info(link.as_fd()).map_err(file("look at", path))?;
    if info.interface != interface {
        // It was detached by somebody else, or its interface is gone and its index was given to another.
        remove(path)?;
        return Ok(Pinned::None);
    }
    Ok(if info.program == program {
        Pinned::Ours
    } else {
        Pinned::Other(link)
    })
}

fn update(
    pinned: &OwnedFd,
    program: BorrowedFd<'_>,
    link: &Link,
    hook: AttachHook,
) -> Result<(), DataplaneError> {
    sys::link_update(pinned.as_fd(), program).map_err(failed(link, hook, None))
}

fn new_xdp(
    program: BorrowedFd<'_>,
    link: &Link,
    mode: AttachMode,
    path: &Path,
) -> Result<XdpOutcome, DataplaneError> {
    if let Some(program_id) = link.xdp_program {
        return Err(DataplaneError::XdpBusy {
            interface: link.name.clone(),
            program_id,
        });
    }
    let (attached, mode, reason) = in_mode(program, link, mode)?;
    sys::pin(attached.as_fd(), path).map_err(file("pin", path))?;
    Ok(XdpOutcome {
        was_attached: false,
        mode,
        reason: Some(reason),
    })
}

fn in_mode(
    program: BorrowedFd<'_>,
    link: &Link,
    mode: AttachMode,
) -> Result<(OwnedFd, XdpMode, ModeReason), DataplaneError> {
    let attach = |mode: XdpMode| {
        let flags = match mode {
            XdpMode::Native => xdp_flags::DRIVER_MODE,
            XdpMode::Generic => xdp_flags::SKB_MODE,
        };
        sys::link_xdp(program, link.index, flags)
    };
    let or_fail = |mode: XdpMode| attach(mode).map_err(failed(link, AttachHook::Xdp, Some(mode)));
    let fixed = match mode {
        AttachMode::Native => Some(XdpMode::Native),
        AttachMode::Generic => Some(XdpMode::Generic),
        AttachMode::Auto => None,
    };
    if let Some(mode) = fixed {
        return Ok((or_fail(mode)?, mode, ModeReason::Configured));
    }
    // An interface without a driver (a tunnel of the kernel's own) is named by its kind.
    let driver = ethtool::driver(&link.name)
        .ok()
        .or_else(|| link.kind.clone())
        .unwrap_or_else(|| "an unknown driver".to_owned());
    if PREFER_GENERIC.contains(&driver.as_str()) {
        let reason = ModeReason::DriverPrefersGeneric { driver };
        return Ok((or_fail(XdpMode::Generic)?, XdpMode::Generic, reason));
    }
    match attach(XdpMode::Native) {
        Ok(attached) => Ok((attached, XdpMode::Native, ModeReason::DriverNative { driver })),
        Err(refused) => {
            let error = refused.to_string();
            let reason = ModeReason::NativeRefused { driver, error };
            Ok((or_fail(XdpMode::Generic)?, XdpMode::Generic, reason))
        }
    }
}

fn failed(link: &Link, hook: AttachHook, mode: Option<XdpMode>) -> impl FnOnce(io::Error) -> DataplaneError {
    let interface = link.name.clone();
    move |source| {
        if source.raw_os_error() == Some(libc::ENODEV) {
            return DataplaneError::NoSuchInterface { interface };
        }
        DataplaneError::Attach {
            interface,
            hook,
            mode,
            source: Box::new(ProgramError::IOError(source)),
        }
    }
}
