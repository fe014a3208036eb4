//! The agent's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{
        Semaphore,
        broadcast::{
            self,
            error::{RecvError, TryRecvError},
        },
        mpsc,
    },
    task::spawn_blocking,
};
use tracing::{debug, info, warn};

use super::{
    AccessRules, Peer, Privilege,
    framing::{Bounds, Lines, ReadError, write_line},
    protocol::{
        EventFilter, EventInfo, Events, Failure, FailureKind, Reply, ReplyEnvelope, Request, RequestEnvelope,
        Response, VERSION,
    },
    seats::Seats,
};

/// What a client may take of the agent.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request in bytes.
    pub request_bytes: usize,
    /// The same for clients that may change things: a block list is one request.
    pub write_request_bytes: usize,
    /// Connections of everybody but root.
    pub clients: usize,
    /// Connections of one user other than root.
    pub clients_per_user: usize,
    /// Connections of root.
    pub root_clients: usize,
    /// How long a connection may be silent between requests; less where others wait for its place.
    pub idle: Duration,
    /// How long a client waits for a place.
    pub seat: Duration,
    /// Requests of more than `request_bytes` that are held at once.
    pub large_requests: usize,
    /// How long a request may take from its first byte to its last.
    pub request: Duration,
    /// How long a client may take to read a reply.
    pub reply: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 256 << 10,
            write_request_bytes: 160 << 20,
            clients: 64,
            clients_per_user: 16,
            root_clients: 64,
            idle: Duration::from_mins(2),
            seat: Duration::from_secs(2),
            large_requests: 2,
            request: Duration::from_secs(5),
            reply: Duration::from_secs(10),
        }
    }
}

/// Log events as they come. Who is too slow loses the oldest.
pub type EventReceiver = broadcast::Receiver<Arc<EventInfo>>;

/// Answers as they come. Whoever makes them waits for the receiver.
pub type StreamReceiver = mpsc::Receiver<Result<Response, Failure>>;

/// The other end of a [`StreamReceiver`]. A failure is the last answer.
pub type StreamSender = mpsc::Sender<Result<Response, Failure>>;

/// How often a client that watches hears something, so that one that is gone is noticed.
const PULSE: Duration = Duration::from_secs(10);

/// How long a client that watches may take nothing before it is left.
const WATCHER_PATIENCE: Duration = Duration::from_mins(2);

/// Events in one reply.
const EVENT_BATCH: usize = 256;

/// Does what is asked. Called on a thread that may block.
pub trait Handler: Send + Sync + 'static {
    /// The peer may do what it asks for: the server has checked.
    fn handle(&self, peer: &Peer, request: Request) -> Result<Response, Failure>;

    /// What is remembered of log events, and what comes from now on. May be called on any thread.
    fn follow(&self, _filter: &EventFilter, _recent: u32) -> Result<(Events, EventReceiver), Failure> {
        Err(Failure::new(FailureKind::BadRequest, "there are no events here"))
    }

    /// Answers to a request that has many, until the receiver is dropped. Called on a thread that may block.
    fn stream(self: Arc<Self>, _peer: &Peer, _request: Request) -> Result<StreamReceiver, Failure> {
        Err(Failure::new(
            FailureKind::BadRequest,
            "there is nothing to watch here",
        ))
    }
}

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process serves it.
    #[error("another process serves {}", .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is not a socket is in its place.
    #[error("{} is not a socket", .path.display())]
    NotASocket {
        /// What is in its place.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A bound control socket. Dropping it removes the socket's name.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    rules: AccessRules,
    limits: Limits,
}

impl Server {
    /// Makes the socket. A socket that a dead agent left is replaced.
    pub async fn bind(path: &Path, rules: AccessRules, limits: Limits) -> Result<Self, ServerError> {
        let error = |action| {
            move |source| ServerError::Io {
                action,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(error("make the directory of"))?;
        }
        remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(error("bind"))?;
        // Everybody may connect; who may do what is decided by the peer's groups, of which two count.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(error("open up"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            rules,
            limits,
        })
    }

    /// Serves clients for ever.
    pub async fn serve(self, handler: Arc<dyn Handler>) {
        let seats = Arc::new(Seats::default());
        let large = Arc::new(Semaphore::new(self.limits.large_requests));
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let client = Client {
                        handler: handler.clone(),
                        seats: seats.clone(),
                        large: large.clone(),
                        rules: self.rules,
                        limits: self.limits,
                    };
                    tokio::spawn(client.run(stream));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others have to go first.
                    warn!(%error, "cannot accept a connection on the control socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The next agent replaces a left-over socket.
        let _ = fs::remove_file(&self.path);
    }
}

async fn remove_stale(path: &Path) -> Result<(), ServerError> {
    let path_of = || path.to_owned();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(ServerError::Io {
                action: "look at",
                path: path_of(),
                source,
            });
        }
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ServerError::NotASocket { path: path_of() });
        }
        Ok(_) => {}
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(ServerError::InUse { path: path_of() });
    }
    fs::remove_file(path).map_err(|source| ServerError::Io {
        action: "replace",
        path: path_of(),
        source,
    })
}

/// One connection.
struct Client {
    handler: Arc<dyn Handler>,
    seats: Arc<Seats>,
    large: Arc<Semaphore>,
    rules: AccessRules,
    limits: Limits,
}

impl Client {
    async fn run(self, stream: UnixStream) {
        let Ok(credentials) = stream.peer_cred() else {
            return;
        };
        let rules = self.rules;
        // The seat is taken before the user database is asked, so that a crowd cannot fill the blocking threads.
        let seat = self.seats.wait(credentials.uid(), &self.limits).await;
        let (reader, mut writer) = stream.into_split();
        let Some(seat) = seat else {
            let busy = Failure::new(FailureKind::Busy, "too many clients are connected")
                .hint("try again in a moment");
            self.send(&mut writer, Reply::Error(busy)).await;
            return;
        };
        let Ok(peer) = spawn_blocking(move || Peer::identify(credentials, &rules)).await else {
            return;
        };
        if peer.privilege == Privilege::None {
            info!(
                uid = peer.actor.uid,
                user = peer.actor.user,
                "refused a client of the control socket"
            );
            self.send(&mut writer, Reply::Error(denied(&peer))).await;
            return;
        }
        let bytes = if peer.privilege == Privilege::Write {
            self.limits.write_request_bytes
        } else {
            self.limits.request_bytes
        };
        let bounds = Bounds {
            bytes,
            small: self.limits.request_bytes,
            large: self.large.clone(),
            idle: self.limits.idle,
            whole: self.limits.request,
        };
        let mut lines = Lines::new(reader, bounds);
        loop {
            let begun = tokio::select! {
                biased;
                begun = lines.begin() => begun,
                () = seat.wanted_by_another() => return,
            };
            let next = match begun {
                Ok(true) => lines.next().await,
                Ok(false) => return,
                Err(error) => Err(error),
            };
            let reply = match next {
                Ok(None) => return,
                Ok(Some(line)) => match Self::wish(&peer, &line) {
                    Ok(Wish::Answer(envelope)) => self.answer(&peer, envelope).await,
                    Ok(Wish::Events(filter, recent)) => {
                        return self.events(&mut writer, &filter, recent).await;
                    }
                    Ok(Wish::Stream(envelope)) => {
                        // A client that ends is noticed at once: another one may wait for what it holds.
                        tokio::select! {
                            () = self.stream(&mut writer, peer, envelope) => {}
                            () = lines.gone() => {}
                        }
                        return;
                    }
                    Err(failure) => Reply::Error(failure),
                },
                Err(error) => {
                    debug!(uid = peer.actor.uid, %error, "a client of the control socket is dropped");
                    if !matches!(error, ReadError::Io(_)) {
                        let failure = Failure::new(FailureKind::BadRequest, error.to_string());
                        self.send(&mut writer, Reply::Error(failure)).await;
                    }
                    return;
                }
            };
            if !self.send(&mut writer, reply).await {
                return;
            }
        }
    }

    /// What a client wants, if it may have it.
    fn wish(peer: &Peer, line: &[u8]) -> Result<Wish, Failure> {
        let envelope = parse(line)?;
        if envelope.request.is_for_operators() && peer.privilege < Privilege::Write {
            return Err(denied_request(peer, &envelope.request));
        }
        Ok(match envelope.request {
            Request::EventFollow { filter, recent } => Wish::Events(filter, recent),
            Request::Capture(_) | Request::Learn(_) | Request::Shadow(_) => Wish::Stream(Box::new(envelope)),
            _ => Wish::Answer(Box::new(envelope)),
        })
    }

    /// Sends events until the client goes away. It is never waited for: what it does not take in time it loses.
    async fn events(&self, writer: &mut OwnedWriteHalf, filter: &EventFilter, recent: u32) {
        let (remembered, mut receiver) = match self.handler.follow(filter, recent) {
            Ok(followed) => followed,
            Err(failure) => {
                self.send(writer, Reply::Error(failure)).await;
                return;
            }
        };
        let mut batch = remembered;
        loop {
            let reply = Reply::Ok(Box::new(Response::Events(batch)));
            if !self.send_within(writer, reply, WATCHER_PATIENCE).await {
                return;
            }
            batch = match next_batch(&mut receiver, filter).await {
                Some(batch) => batch,
                None => return,
            };
        }
    }

    /// Sends answers until there are to be no more, or the client goes away.
    async fn stream(&self, writer: &mut OwnedWriteHalf, mut peer: Peer, envelope: Box<RequestEnvelope>) {
        peer.actor.from = envelope.ssh;
        let handler = self.handler.clone();
        let started = spawn_blocking(move || handler.stream(&peer, envelope.request)).await;
        let mut answers = match started {
            Ok(Ok(answers)) => answers,
            Ok(Err(failure)) => {
                self.send(writer, Reply::Error(failure)).await;
                return;
            }
            Err(panic) => {
                warn!(%panic, "a request on the control socket has failed inside the agent");
                return;
            }
        };
        while let Some(answer) = answers.recv().await {
            let reply = match answer {
                Ok(answer) => Reply::Ok(Box::new(answer)),
                Err(failure) => Reply::Error(failure),
            };
            let is_last = matches!(reply, Reply::Error(_));
            if !self.send_within(writer, reply, WATCHER_PATIENCE).await || is_last {
                return;
            }
        }
    }

    async fn answer(&self, peer: &Peer, envelope: Box<RequestEnvelope>) -> Reply {
        let request = envelope.request;
        let (handler, mut peer) = (self.handler.clone(), peer.clone());
        peer.actor.from = envelope.ssh;
        match spawn_blocking(move || handler.handle(&peer, request)).await {
            Ok(Ok(response)) => Reply::Ok(Box::new(response)),
            Ok(Err(failure)) => Reply::Error(failure),
            Err(panic) => {
                warn!(%panic, "a request on the control socket has failed inside the agent");
                Reply::Error(Failure::new(FailureKind::Failed, "the agent failed; see its log"))
            }
        }
    }

    /// False where the client does not take it.
    async fn send(&self, writer: &mut OwnedWriteHalf, reply: Reply) -> bool {
        self.send_within(writer, reply, self.limits.reply).await
    }

    async fn send_within(&self, writer: &mut OwnedWriteHalf, reply: Reply, patience: Duration) -> bool {
        let envelope = ReplyEnvelope {
            version: VERSION,
            reply,
        };
        let Ok(line) = serde_json::to_vec(&envelope) else {
            return false;
        };
        write_line(writer, line, patience).await.is_ok()
    }
}

/// What a client wants.
enum Wish {
    /// An answer.
    Answer(Box<RequestEnvelope>),
    /// Events for as long as it listens.
    Events(EventFilter, u32),
    /// Other answers, likewise.
    Stream(Box<RequestEnvelope>),
}

/// The next events that are wanted, or none where nothing has come for a while; `None` where nothing will come any
/// more.
async fn next_batch(receiver: &mut EventReceiver, filter: &EventFilter) -> Option<Events> {
    let mut batch = Events::default();
    let deadline = tokio::time::Instant::now() + PULSE;
    loop {
        let is_empty = batch.events.is_empty() && batch.lost == 0;
        let next = if is_empty {
            match tokio::time::timeout_at(deadline, receiver.recv()).await {
                Ok(next) => next,
                Err(_) => return Some(batch),
            }
        } else {
            match receiver.try_recv() {
                Ok(event) => Ok(event),
                Err(TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(batch),
            }
        };
        match next {
            Ok(event) if filter.takes(&event) => batch.events.push((*event).clone()),
            Ok(_) => {}
            Err(RecvError::Lagged(lost)) => batch.lost += lost,
            Err(RecvError::Closed) => return None,
        }
        if batch.events.len() >= EVENT_BATCH {
            return Some(batch);
        }
    }
}

fn denied(peer: &Peer) -> Failure {
    let who = match &peer.actor.user {
        Some(user) => format!("user {user}"),
        None => format!("user number {}", peer.actor.uid),
    };
    let (message, hint) = match peer.privilege {
        Privilege::None => (
            format!("{who} may not use the agent"),
            "run it as root, or join the group that `control.readers` or `control.operators` in the settings names",
        ),
        Privilege::Read | Privilege::Write => (
            format!("{who} may look, but not change anything"),
            "run it as root, or join the group that `control.operators` in the settings names",
        ),
    };
    Failure::new(FailureKind::Denied, message).hint(hint)
}

/// Why a reader may not have what it asks for.
fn denied_request(peer: &Peer, request: &Request) -> Failure {
    let failure = denied(peer);
    if request.is_write() || peer.privilege == Privilege::None {
        return failure;
    }
    let message = failure
        .message
        .replace("change anything", "see what packets carry");
    Failure { message, ..failure }
}

/// The version is looked at first, so that a newer client hears that and not a complaint about a field.
fn parse(line: &[u8]) -> Result<RequestEnvelope, Failure> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u64,
    }
    let bad =
        |error: serde_json::Error| Failure::new(FailureKind::BadRequest, format!("not a request: {error}"));
    let Versioned { version } = serde_json::from_slice(line).map_err(bad)?;
    if version != u64::from(VERSION) {
        let message = format!("the agent speaks version {VERSION} of the protocol, not {version}");
        return Err(
            Failure::new(FailureKind::Version, message).hint("use the fwctl that came with the agent")
        );
    }
    serde_json::from_slice(line).map_err(bad)
}
