//! The daemon's tasks, from the start to a signal that ends it.

use std::{sync::Arc, time::Duration};

use nix::unistd::Uid;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Agent, StartError};
use crate::{
    control::{AccessRules, Limits, Server, ServerError},
    dataplane::{Dataplane, EventStream, NetworkChanges},
    settings::{Loaded, MetricsSettings},
    state::{Actor, Cause},
    telemetry::MetricsServer,
};

/// How often the policy files are compared with what is in force.
const PENDING_INTERVAL: Duration = Duration::from_secs(10);

/// How often it is looked whether a change that waits has waited in vain.
const DEADLINE_INTERVAL: Duration = Duration::from_millis(250);

/// How often the network is looked at even where nobody tells of a change.
const NETWORK_INTERVAL: Duration = Duration::from_secs(30);

/// How often the monitoring endpoint is tried again where it cannot be had.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// Events that are read at once.
const EVENT_BATCH: usize = 256;

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing could be put in force.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ServerError),
    /// The kernel refused.
    #[error("{}", super::chain(.0))]
    Dataplane(#[from] crate::dataplane::DataplaneError),
    /// The runtime.
    #[error("cannot {action}: {source}")]
    Runtime {
        /// What was being done.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs until a signal ends it; what is in force stays in force.
pub async fn run(settings: impl Into<Loaded>, dataplane: Box<dyn Dataplane>) -> Result<(), RunError> {
    let Loaded { settings, source } = settings.into();
    let mut signals = Signals::new()?;
    let started = settings.clone();
    let agent = spawn_blocking(move || Agent::start(started, dataplane)).await;
    let agent = Arc::new(agent.map_err(|error| runtime("start", error.into()))??);

    let mut tasks = JoinSet::new();
    // A group that is missing must not keep the host from being filtered.
    let (rules, missing) = AccessRules::of_groups_that_exist(&settings.control);
    for error in missing {
        agent.note(format!(
            "nobody can use the control socket by this group: {error}"
        ));
    }
    let server = Server::bind(&settings.control.socket, rules, Limits::default()).await?;
    tasks.spawn(server.serve(agent.clone()));
    if let Some(metrics) = settings.metrics {
        tasks.spawn(serve_metrics(agent.clone(), metrics));
    }
    let (changes, events) = {
        let mut kernel = agent.kernel();
        (kernel.dataplane.network_changes()?, kernel.dataplane.events()?)
    };
    tasks.spawn(follow_network(agent.clone(), changes));
    tasks.spawn(log_events(agent.clone(), events));
    tasks.spawn(look_for_pending(agent.clone()));
    tasks.spawn(follow_deadline(agent.clone()));
    tasks.spawn(feed_watchdog(agent.clone()));
    tasks.spawn(make_room(agent.clone()));
    #[cfg(feature = "ebpf-log")]
    tasks.spawn(crate::telemetry::ebpf_log::print());

    if let Some(source) = source {
        let agent = agent.clone();
        let _ = spawn_blocking(move || agent.settle_settings(source)).await;
    }
    let enforcing = format!("enforcing: {}", agent.in_force().enforcing.name());
    notify(&[NotifyState::Ready, NotifyState::Status(&enforcing)]);
    tracing::info!(
        revision = agent.in_force().revision.as_ref().map(|revision| revision.number),
        enforcing = agent.in_force().enforcing.name(),
        socket = %settings.control.socket.display(),
        "the agent is running"
    );
    signals.serve(&agent).await;
    notify(&[NotifyState::Stopping]);
    tasks.shutdown().await;
    tracing::info!("the agent ends; what is in force stays in force");
    Ok(())
}

fn runtime(action: &'static str, source: std::io::Error) -> RunError {
    RunError::Runtime { action, source }
}

/// The signals that mean something to the daemon.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(|error| runtime("listen for signals", error));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Reloads at each SIGHUP; returns at SIGTERM or SIGINT.
    async fn serve(&mut self, agent: &Arc<Agent>) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reload(agent.clone()).await,
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}

async fn reload(agent: Arc<Agent>) {
    // Nobody but root can signal an agent that runs as root; which user is behind it is not told.
    let by = Actor::new(Uid::current().as_raw(), None);
    // The outcome is in the log, the status and the metrics.
    let _ = spawn_blocking(move || agent.reload(&by, Cause::Signal, None)).await;
}

/// Serves the monitoring, and tries again for as long as that cannot be: the host is filtered meanwhile.
async fn serve_metrics(agent: Arc<Agent>, settings: MetricsSettings) {
    let mut told: Option<String> = None;
    loop {
        match MetricsServer::bind(settings.listen, agent.clone()) {
            Ok(server) => {
                if let Some(note) = told {
                    agent.take_back_note(&note);
                    tracing::info!(address = %settings.listen, "the monitoring is served now");
                }
                return server.serve().await;
            }
            Err(error) => {
                let note = error.to_string();
                if told.as_ref() != Some(&note) {
                    if let Some(former) = told.replace(note.clone()) {
                        agent.take_back_note(&former);
                    }
                    agent.note(note);
                }
            }
        }
        sleep(METRICS_INTERVAL).await;
    }
}

/// After a first start only one slot has programs.
async fn make_room(agent: Arc<Agent>) {
    let _ = spawn_blocking(move || agent.make_room_for_the_next()).await;
}

async fn follow_network(agent: Arc<Agent>, mut changes: NetworkChanges) {
    let mut regularly = interval(NETWORK_INTERVAL);
    regularly.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = true;
    loop {
        if told {
            tokio::select! {
                result = changes.changed() => if let Err(error) = result {
                    tracing::error!(%error, "changes of the network are noticed late from now on");
                    told = false;
                },
                _ = regularly.tick() => {}
            }
        } else {
            regularly.tick().await;
        }
        let agent = agent.clone();
        let _ = spawn_blocking(move || agent.follow_network()).await;
    }
}

async fn log_events(agent: Arc<Agent>, mut stream: EventStream) {
    let mut events = Vec::with_capacity(EVENT_BATCH);
    loop {
        if let Err(error) = stream.read(&mut events, EVENT_BATCH).await {
            tracing::error!(%error, "packets are not logged any more");
            return;
        }
        agent.log_events(&events);
        events.clear();
    }
}

async fn look_for_pending(agent: Arc<Agent>) {
    let mut regularly = interval(PENDING_INTERVAL);
    regularly.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        regularly.tick().await;
        let agent = agent.clone();
        let looked = spawn_blocking(move || {
            agent.look_for_pending();
            agent.forget_ended_bans();
            agent.forget_ended_rules();
        });
        let _ = looked.await;
    }
}

/// Notices when nobody has confirmed a change in time. The kernel side goes back by itself; what is left are the cell,
/// interfaces and files.
async fn follow_deadline(agent: Arc<Agent>) {
    let mut reminded = None;
    let mut regularly = interval(DEADLINE_INTERVAL);
    regularly.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        regularly.tick().await;
        if agent.unconfirmed().is_some() || agent.is_paused() || reminded.is_some() {
            let agent = agent.clone();
            let looked = spawn_blocking(move || {
                agent.follow_deadline();
                agent.follow_pause(&mut reminded);
                reminded
            });
            reminded = looked.await.unwrap_or(None);
        }
    }
}

/// Tells systemd that the agent is alive, as long as the kernel side answers.
async fn feed_watchdog(agent: Arc<Agent>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut regularly = interval(patience / 3);
    regularly.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        regularly.tick().await;
        let agent = agent.clone();
        if spawn_blocking(move || agent.probe()).await.unwrap_or(false) {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Without systemd there is nobody to notify.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
