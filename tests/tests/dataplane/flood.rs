//! Datagrams that are to reach nobody, all the time.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::wire::{LOCAL_V4, PEER_V4, Wire};

/// A peer that sends to a port which is open on the host and in no policy.
pub(crate) struct Flood {
    open: UdpSocket,
    stop: Arc<AtomicBool>,
    sending: JoinHandle<usize>,
}

impl Flood {
    /// Begins, on a wire whose host is filtered already.
    pub(crate) fn begin(wire: &Wire) -> Self {
        let open = wire.host.run(|| UdpSocket::bind((LOCAL_V4, 9999))).unwrap();
        let socket = wire.peer.run(|| UdpSocket::bind((PEER_V4, 0))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sending = thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                sent += usize::from(socket.send_to(b"flood", (LOCAL_V4, 9999)).is_ok());
                thread::sleep(Duration::from_micros(50));
            }
            sent
        });
        Self { open, stop, sending }
    }

    /// Ends it; fails where a single one has arrived.
    pub(crate) fn nothing_has_arrived(self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sending.join().unwrap();
        assert!(sent > 1000, "{sent}");
        self.open.set_nonblocking(true).unwrap();
        assert!(
            self.open.recv(&mut [0; 8]).is_err(),
            "one of {sent} has slipped through"
        );
    }
}
