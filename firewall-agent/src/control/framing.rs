//! One JSON value to a line, within bounds of size and time.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{error::Elapsed, timeout},
};

/// How much is read at once.
const CHUNK_BYTES: usize = 8 << 10;

/// Why no line came.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The line is longer than allowed.
    #[error("the request is longer than {0} bytes")]
    TooLong(usize),
    /// It did not come in time.
    #[error("the request did not come within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The peer went away in the middle of a line.
    #[error("the request ends before its end of line")]
    Half,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Bounds of what is read.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Longest line.
    pub(super) bytes: usize,
    /// Longest line that may be held beside any number of others.
    pub(super) small: usize,
    /// What a longer one takes a place of, for as long as it is held.
    pub(super) large: Arc<Semaphore>,
    /// How long a peer may say nothing between lines.
    pub(super) idle: Duration,
    /// How long a line may take from its first byte to its end.
    pub(super) whole: Duration,
}

/// Lines from a peer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    bounds: Bounds,
    place: Option<OwnedSemaphorePermit>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, bounds: Bounds) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            bounds,
            place: None,
        }
    }

    /// Waits for the first bytes of the next line; false where the peer has said all, or nothing for too long.
    pub(super) async fn begin(&mut self) -> Result<bool, ReadError> {
        self.place = None;
        if self.buffer.is_empty() {
            match timeout(self.bounds.idle, self.fill()).await {
                Err(Elapsed { .. }) | Ok(Ok(0)) => return Ok(false),
                Ok(result) => result?,
            };
        }
        Ok(true)
    }

    /// The next line without its end; `None` where the peer has said all, or nothing for too long.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if !self.begin().await? {
            return Ok(None);
        }
        let whole = self.bounds.whole;
        timeout(whole, self.finish())
            .await
            .map_err(|_| ReadError::TooSlow(whole))?
            .map(Some)
    }

    /// Waits, for as long as that takes, until the peer goes away or says something more.
    pub(super) async fn gone(&mut self) {
        // Either way it is over.
        let _ = self.fill().await;
    }

    async fn finish(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                return self.within_bounds(line);
            }
            searched = self.buffer.len();
            if searched > self.bounds.bytes {
                return Err(ReadError::TooLong(self.bounds.bytes));
            }
            if searched > self.bounds.small && self.place.is_none() {
                // The semaphore is never closed.
                self.place = self.bounds.large.clone().acquire_owned().await.ok();
            }
            if self.fill().await? == 0 {
                return Err(ReadError::Half);
            }
        }
    }

    fn within_bounds(&self, line: Vec<u8>) -> Result<Vec<u8>, ReadError> {
        if line.len() > self.bounds.bytes {
            return Err(ReadError::TooLong(self.bounds.bytes));
        }
        Ok(line)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; CHUNK_BYTES];
        let count = self.reader.read(&mut chunk).await?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}

/// Writes a line, and gives up on a peer that does not take it.
pub(super) async fn write_line<W: AsyncWrite + Unpin>(
    writer: &mut W,
    mut line: Vec<u8>,
    patience: Duration,
) -> io::Result<()> {
    line.push(b'\n');
    timeout(patience, writer.write_all(&line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            bytes: 10,
            small: 5,
            large: Arc::new(Semaphore::new(1)),
            idle: Duration::from_mins(1),
            whole: Duration::from_secs(5),
        }
    }

    async fn lines_of(input: &[u8]) -> Vec<Result<Option<Vec<u8>>, ReadError>> {
        let mut lines = Lines::new(input, bounds());
        let mut seen = Vec::new();
        loop {
            let line = lines.next().await;
            let last = !matches!(line, Ok(Some(_)));
            seen.push(line);
            if last {
                return seen;
            }
        }
    }

    #[tokio::test]
    async fn lines_come_one_by_one() {
        let seen = lines_of(b"one\n\ntwo\n").await;
        let texts: Vec<_> = seen.into_iter().map(|line| line.expect("a line")).collect();
        assert_eq!(
            texts,
            [
                Some(b"one".to_vec()),
                Some(b"".to_vec()),
                Some(b"two".to_vec()),
                None
            ]
        );
    }

    #[tokio::test]
    async fn a_line_of_the_longest_length_passes_and_a_longer_one_does_not() {
        assert!(matches!(lines_of(b"0123456789\n").await[0], Ok(Some(_))));
        assert!(matches!(
            lines_of(b"0123456789A\n").await[0],
            Err(ReadError::TooLong(10))
        ));
        assert!(matches!(
            lines_of(&vec![b'x'; 100_000]).await[0],
            Err(ReadError::TooLong(10))
        ));
    }

    #[tokio::test]
    async fn half_a_line_is_an_error() {
        assert!(matches!(lines_of(b"half").await[0], Err(ReadError::Half)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_byte_by_byte_has_no_more_time_than_any_other() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let slow = tokio::spawn(async move {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if peer.write_all(b"x").await.is_err() {
                    return;
                }
            }
        });
        let start = tokio::time::Instant::now();
        let mut lines = Lines::new(ours, bounds());
        assert!(matches!(lines.next().await, Err(ReadError::TooSlow(_))));
        assert_eq!(start.elapsed().as_secs(), 6);
        drop(lines);
        slow.await.expect("it stops where nobody listens");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_long_lines_are_held_at_once() {
        let bounds = bounds();
        let ours = |bytes: &'static [u8]| Lines::new(bytes, bounds.clone());
        let held = bounds.large.clone().try_acquire_owned().expect("it is free");
        assert!(matches!(ours(b"0123\n").next().await, Ok(Some(_))));
        assert!(matches!(ours(b"012345").next().await, Err(ReadError::TooSlow(_))));
        drop(held);
        let mut long = ours(b"012345");
        assert!(matches!(long.next().await, Err(ReadError::Half)));
        assert_eq!(bounds.large.available_permits(), 0, "for as long as it is held");
        assert!(matches!(long.begin().await, Ok(true)));
        assert_eq!(bounds.large.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_left() {
        let (_peer, ours) = tokio::io::duplex(64);
        assert!(matches!(Lines::new(ours, bounds()).next().await, Ok(None)));
    }
}
