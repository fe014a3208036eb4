//! TCP over a pair: connections one after the other, and one stream.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::unistd::gettid;

use crate::{
    pair::Pair,
    processor::{self, RECEIVING, SENDING},
};

const BUFFER_BYTES: usize = 1 << 17;
/// How long anybody waits for the other side.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has the server take each connection and close it at once, as long as the process lives.
pub(crate) fn close_each(pair: &Pair, port: u16) -> Result<()> {
    let end = Pair::end(port)?;
    let listener = pair.server.run(|| TcpListener::bind(end))?;
    thread::spawn(move || -> Result<()> {
        processor::seize(gettid(), RECEIVING)?;
        for stream in listener.incoming() {
            drop(stream);
        }
        Ok(())
    });
    Ok(())
}

/// Connections a second, one after the other on one processor: opened by the client, closed by the server and then by the client. Also
/// returns how many there were.
pub(crate) fn connections(pair: &Pair, port: u16, span: Duration) -> Result<(f64, u64)> {
    let end = Pair::end(port)?;
    pair.client.run(|| -> Result<(f64, u64)> {
        processor::seize(gettid(), RECEIVING)?;
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < span {
            open_and_close(end)?;
            count += 1;
        }
        Ok((f64::from(count) / start.elapsed().as_secs_f64(), count.into()))
    })
}

fn open_and_close(end: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&end, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ensure!(stream.read(&mut [0; 1])? == 0, "the server has said something");
    Ok(())
}

/// Gigabits a second of one stream from the client to the server.
pub(crate) fn stream(pair: &Pair, port: u16, span: Duration) -> Result<f64> {
    let end = Pair::end(port)?;
    let listener = pair.server.run(|| TcpListener::bind(end))?;
    thread::scope(|scope| {
        let received = scope.spawn(move || -> Result<f64> {
            processor::seize(gettid(), RECEIVING)?;
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            receive(&mut stream)
        });
        pair.client.run(|| -> Result<()> {
            processor::seize(gettid(), SENDING)?;
            let mut stream = TcpStream::connect_timeout(&end, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let (start, data) = (Instant::now(), vec![0x5a; BUFFER_BYTES]);
            while start.elapsed() < span {
                stream.write_all(&data)?;
            }
            Ok(())
        })?;
        received
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Gigabits a second until the other side closes.
fn receive(stream: &mut impl Read) -> Result<f64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (start, mut bytes) = (Instant::now(), 0.0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes * 8.0 / 1e9 / start.elapsed().as_secs_f64()),
            Ok(count) => {
                #[expect(clippy::cast_precision_loss, reason = "a buffer is small")]
                let count = count as f64;
                bytes += count;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
