//! Log events on their way from the kernel.

use std::io;

use aya::maps::{MapData, RingBuf};
use bytemuck::try_pod_read_unaligned;
use firewall_common::event::Event;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

/// Reading events failed.
#[derive(Debug, thiserror::Error)]
pub enum EventStreamError {
    /// The ring buffer cannot be waited for.
    #[error("cannot wait for events")]
    Wait(#[source] io::Error),
    /// The sender is gone.
    #[error("the dataplane is gone")]
    Closed,
}

/// Events, in the order in which the kernel has written them.
pub struct EventStream(Source);

enum Source {
    Ring(Box<AsyncFd<RingBuf<MapData>>>),
    Channel(mpsc::UnboundedReceiver<Event>),
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("EventStream").finish_non_exhaustive()
    }
}

impl EventStream {
    /// From a ring buffer. To be called within a tokio runtime.
    pub fn from_ring(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring buffer owns its descriptor and keeps the same one open until it is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self(Source::Ring(Box::new(ring))))
    }

    /// From a channel.
    #[must_use]
    pub const fn from_channel(channel: mpsc::UnboundedReceiver<Event>) -> Self {
        Self(Source::Channel(channel))
    }

    /// Waits for events and appends them to `events`, at most `limit` at a time. Cancel-safe.
    pub async fn read(&mut self, events: &mut Vec<Event>, limit: usize) -> Result<(), EventStreamError> {
        match &mut self.0 {
            Source::Ring(ring) => read_ring(ring, events, limit).await,
            Source::Channel(channel) => match channel.recv_many(events, limit).await {
                0 if limit > 0 => Err(EventStreamError::Closed),
                _ => Ok(()),
            },
        }
    }
}

async fn read_ring(
    ring: &mut AsyncFd<RingBuf<MapData>>,
    events: &mut Vec<Event>,
    limit: usize,
) -> Result<(), EventStreamError> {
    let before = events.len();
    loop {
        let mut guard = ring.readable_mut().await.map_err(EventStreamError::Wait)?;
        let ring = guard.get_inner_mut();
        while events.len() - before < limit {
            let Some(record) = ring.next() else {
                guard.clear_ready();
                break;
            };
            // A record of another length is none of ours; there is no other writer.
            if let Ok(event) = try_pod_read_unaligned(&record) {
                events.push(event);
            }
        }
        if events.len() > before || limit == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[tokio::test]
    async fn events_come_in_order_and_in_batches() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut stream = EventStream::from_channel(receiver);
        for length in 0..5 {
            sender
                .send(Event {
                    length,
                    ..Event::zeroed()
                })
                .unwrap();
        }
        let mut events = Vec::new();
        stream.read(&mut events, 3).await.unwrap();
        assert_eq!(events.len(), 3);
        stream.read(&mut events, 3).await.unwrap();
        assert_eq!(
            events.iter().map(|event| event.length).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
        drop(sender);
        assert!(matches!(
            stream.read(&mut events, 3).await,
            Err(EventStreamError::Closed)
        ));
    }
}
