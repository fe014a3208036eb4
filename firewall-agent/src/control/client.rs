//! The client's end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::state::SshConnection;

use super::protocol::{Failure, Reply, ReplyEnvelope, Request, RequestEnvelope, Response, VERSION};

/// How long the agent may take; loading a large policy is the slowest thing that it does.
const PATIENCE: Duration = Duration::from_mins(2);

/// Longest reply.
const REPLY_BYTES: u64 = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent is there.
    #[error("cannot reach the agent at {}: {source}", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the agent did not answer: {0}")]
    Broken(#[source] io::Error),
    /// What came is no reply of this version.
    #[error("the agent's reply cannot be understood: {0}")]
    NotAReply(#[source] serde_json::Error),
    /// The agent says no.
    #[error("{}", .0.message)]
    Refused(Failure),
}

/// A connection to the agent.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    ssh: Option<SshConnection>,
}

impl Client {
    /// Connects to the agent.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable {
            path: path.to_owned(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(unreachable)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
        Ok(Self {
            stream: BufReader::new(stream),
            ssh: SshConnection::of_this_process(),
        })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: Request) -> Result<Response, ClientError> {
        let envelope = RequestEnvelope {
            version: VERSION,
            ssh: self.ssh,
            request,
        };
        let mut line = serde_json::to_vec(&envelope).map_err(ClientError::NotAReply)?;
        line.push(b'\n');
        // An agent that refuses the connection says why and hangs up, so a write that fails may have an answer.
        let written = self.stream.get_mut().write_all(&line);
        let reply = self.read()?;
        if reply.is_empty() {
            written.map_err(ClientError::Broken)?;
        }
        response(&reply)
    }

    /// Waits for a further answer to a question that has many.
    pub fn next_answer(&mut self) -> Result<Response, ClientError> {
        response(&self.read()?)
    }

    fn read(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut reply = Vec::new();
        match self
            .stream
            .by_ref()
            .take(REPLY_BYTES)
            .read_until(b'\n', &mut reply)
        {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(ClientError::Broken(error)),
            _ => Ok(reply),
        }
    }
}

fn response(reply: &[u8]) -> Result<Response, ClientError> {
    if reply.is_empty() {
        return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    let envelope: ReplyEnvelope = serde_json::from_slice(reply).map_err(ClientError::NotAReply)?;
    match envelope.reply {
        Reply::Ok(response) => Ok(*response),
        Reply::Error(failure) => Err(ClientError::Refused(failure)),
    }
}
