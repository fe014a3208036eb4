//! Notice that interfaces or addresses have changed.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
};

/// Waiting for changes failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkChangesError {
    /// The socket cannot be read.
    #[error("cannot wait for changes of the network")]
    Wait(#[source] io::Error),
    /// The sender is gone.
    #[error("the dataplane is gone")]
    Closed,
}

/// Groups of `RTM_*LINK` and `RTM_*ADDR` (linux/rtnetlink.h).
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;

/// Wakes up when interfaces or addresses have changed.
///
/// It does not say what: the reader looks at everything again. A lost notice is then as good as any other, and a
/// state that lasts cannot be missed.
pub struct NetworkChanges(Source);

enum Source {
    Netlink(AsyncFd<Socket>),
    Channel(watch::Receiver<u64>),
}

impl std::fmt::Debug for NetworkChanges {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("NetworkChanges").finish_non_exhaustive()
    }
}

impl NetworkChanges {
    /// Of the network namespace of the calling thread. To be called within a tokio runtime.
    pub fn subscribe() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        for group in [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
            socket.add_membership(group)?;
        }
        // SAFETY: the socket owns its descriptor and keeps the same one open until it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self(Source::Netlink(socket)))
    }

    /// From a channel whose value changes.
    #[must_use]
    pub const fn from_channel(channel: watch::Receiver<u64>) -> Self {
        Self(Source::Channel(channel))
    }

    /// Waits for a change. Changes that came before are told once. Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), NetworkChangesError> {
        match &mut self.0 {
            Source::Netlink(socket) => wait(socket).await,
            Source::Channel(channel) => channel.changed().await.map_err(|_| NetworkChangesError::Closed),
        }
    }
}

async fn wait(socket: &mut AsyncFd<Socket>) -> Result<(), NetworkChangesError> {
    loop {
        let mut guard = socket.readable_mut().await.map_err(NetworkChangesError::Wait)?;
        let told = guard.try_io(|socket| drain(socket.get_ref()));
        if let Ok(result) = told {
            return result.map_err(NetworkChangesError::Wait);
        }
    }
}

/// Throws away every message that has come; `WouldBlock` where there was none.
fn drain(socket: &Socket) -> io::Result<()> {
    let mut told = false;
    loop {
        // The content does not matter, so that a buffer of one byte is enough: netlink cuts the rest off.
        match socket.recv(&mut Vec::with_capacity(1), libc::MSG_DONTWAIT) {
            Ok(_) => told = true,
            Err(error) => match error.raw_os_error() {
                // Messages were lost because nobody read them in time: a change like any other.
                Some(libc::ENOBUFS) => told = true,
                Some(libc::EINTR) => {}
                _ if told && error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                _ => return Err(error),
            },
        }
    }
}
