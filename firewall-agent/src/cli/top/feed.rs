//! Log events, read by a thread of their own.

use std::{
    path::Path,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use crate::{
    cli::CliError,
    control::{
        client::{Client, ClientError},
        protocol::{EventFilter, Events, Request, Response},
    },
};

/// Events of the past that are wanted at first.
const RECENT: u32 = 1000;

/// Batches that wait for a dashboard whose terminal is slow. The agent keeps what comes then, and drops the oldest.
const WAITING: usize = 16;

/// What the thread hands on.
pub(super) enum Fed {
    /// Events.
    Events(Events),
    /// There will be no more, and why.
    End(String),
}

/// Follows the log events on a connection of its own. The thread ends with the process, or when nobody listens.
pub(super) fn follow(socket: &Path) -> Result<Receiver<Fed>, CliError> {
    let mut client = Client::connect(socket)?;
    let first = client.ask(Request::EventFollow {
        filter: EventFilter::default(),
        recent: RECENT,
    })?;
    let (sender, receiver) = sync_channel(WAITING);
    thread::spawn(move || {
        let mut answer: Result<Response, ClientError> = Ok(first);
        loop {
            let fed = match answer {
                Ok(Response::Events(events)) => Fed::Events(events),
                Ok(_) => Fed::End("the agent answered something else than events".to_owned()),
                Err(error) => Fed::End(error.to_string()),
            };
            let is_end = matches!(fed, Fed::End(_));
            if sender.send(fed).is_err() || is_end {
                return;
            }
            answer = client.next_answer();
        }
    });
    Ok(receiver)
}
