//! Records of the kernel's ring buffers on their way: log events, and captured packets.

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

/// What a ring buffer has records of.
pub trait Record: Sized {
    /// The record of these bytes; `None` where they are none.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Record for Event {
    fn read(bytes: &[u8]) -> Option<Self> {
        try_pod_read_unaligned(bytes).ok()
    }
}

/// Log events.
pub type EventStream = RecordStream<Event>;

/// Records, in the order in which the kernel has written them.
pub struct RecordStream<T>(Source<T>);

enum Source<T> {
    Ring(Box<AsyncFd<RingBuf<MapData>>>),
    Channel(mpsc::UnboundedReceiver<T>),
}

impl<T> std::fmt::Debug for RecordStream<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RecordStream").finish_non_exhaustive()
    }
}

impl<T: Record> RecordStream<T> {
    /// From a ring buffer. To be called within a tokio runtime.
    pub fn from_ring(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring buffer owns its descriptor and keeps the same one open until it is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self(Source::Ring(Box::new(ring))))
    }

    /// From a channel.
    #[must_use]
    pub const fn from_channel(channel: mpsc::UnboundedReceiver<T>) -> Self {
        Self(Source::Channel(channel))
    }

    /// Forgets what has been written so far.
    pub fn discard(&mut self) {
        match &mut self.0 {
            Source::Ring(ring) => while ring.get_mut().next().is_some() {},
            Source::Channel(channel) => while channel.try_recv().is_ok() {},
        }
    }

    /// Appends what is there already to `records`, at most `limit`, and waits for nothing.
    pub fn take_ready(&mut self, records: &mut Vec<T>, limit: usize) {
        let mut next = || match &mut self.0 {
            Source::Ring(ring) => ring.get_mut().next().map(|record| T::read(&record)),
            Source::Channel(channel) => channel.try_recv().ok().map(Some),
        };
        for _ in 0..limit {
            let Some(record) = next() else { return };
            // What is no record is none of ours; there is no other writer.
            records.extend(record);
        }
    }

    /// Waits for records and appends them to `records`, at most `limit` at a time. Cancel-safe.
    pub async fn read(&mut self, records: &mut Vec<T>, limit: usize) -> Result<(), EventStreamError> {
        match &mut self.0 {
            Source::Ring(ring) => read_ring(ring, records, limit).await,
            Source::Channel(channel) => match channel.recv_many(records, limit).await {
                0 if limit > 0 => Err(EventStreamError::Closed),
                _ => Ok(()),
            },
        }
    }
}

async fn read_ring<T: Record>(
    ring: &mut AsyncFd<RingBuf<MapData>>,
    records: &mut Vec<T>,
    limit: usize,
) -> Result<(), EventStreamError> {
    let before = records.len();
    loop {
        let mut guard = ring.readable_mut().await.map_err(EventStreamError::Wait)?;
        let ring = guard.get_inner_mut();
        while records.len() - before < limit {
            let Some(record) = ring.next() else {
                guard.clear_ready();
                break;
            };
            // What is no record is none of ours; there is no other writer.
            records.extend(T::read(&record));
        }
        if records.len() > before || limit == 0 {
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
        sender.send(Event::zeroed()).unwrap();
        stream.take_ready(&mut events, 3);
        stream.take_ready(&mut events, 3);
        assert_eq!(events.len(), 6, "what is there, and no more");
        drop(sender);
        assert!(matches!(
            stream.read(&mut events, 3).await,
            Err(EventStreamError::Closed)
        ));
    }
}
