//! `cargo xtask lab`: a small company's servers behind their firewalls, each in a network namespace, and a
//! demonstration of what passes and what does not.

mod agent;
mod counters;
mod daemon;
mod demo;
mod netns;
mod network;
mod probe;
mod servers;
mod session;
mod state;
mod tls;
mod web_client;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use self::{agent::Agent, network::SERVERS, state::State, tls::Authority};
use crate::setup::{self, Part};

/// The arguments of `cargo xtask lab`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave the lab up afterwards, and say how to look around.
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Take down a lab that was left up.
    Down,
}

/// Sets up, brings the lab up, demonstrates, and takes it down; or only takes it down.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if matches!(arguments.command, Some(Command::Down)) {
        return down();
    }
    setup::ensure(&[Part::Toolchain, Part::Lab])?;
    crate::build::dist()?;
    demonstrate(arguments.keep)
}

/// A lab that is up.
pub(crate) struct Lab {
    state: State,
    authority: Authority,
    /// The name of a product that only this lab's database knows.
    token: String,
}

/// Brings the lab up, runs the demonstration, and takes everything down again unless it is to be kept.
pub(crate) fn demonstrate(keep: bool) -> Result<()> {
    down().context("taking down what an earlier lab left")?;
    let outcome = up().and_then(|mut lab| {
        let outcome = demo::run(&mut lab);
        if keep {
            // The demonstration ends without firewalls.
            lab.start_agents()?;
        }
        outcome
    });
    if keep {
        println!("{}", look_around());
        return outcome;
    }
    down().and(outcome)
}

/// Takes down whatever there is of a lab: processes, what the agents have loaded, networks, files.
fn down() -> Result<()> {
    let state = State::load()?;
    if let Some(mut state) = state {
        state.end_processes()?;
        for agent in SERVERS.map(Agent::of) {
            // What cannot be unloaded goes with its pins and its namespace, below.
            if agent.settings().exists()
                && let Err(error) = agent.unload()
            {
                println!("lab: {} is unloaded by force: {error:#}", agent.host.name);
            }
        }
        network::down()?;
        agent::remove_traces()?;
        return state.remove();
    }
    network::down()?;
    agent::remove_traces()
}

/// Networks and servers, without any firewall.
fn up() -> Result<Lab> {
    println!("lab: bringing up networks and servers");
    let state = State::create()?;
    network::up().context("making the lab's networks")?;
    let authority = Authority::create(state.folder("authority")?)?;
    let token = format!(
        "token-{:x}",
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos()
    );
    let mut lab = Lab {
        state,
        authority,
        token,
    };
    lab.start_servers()?;
    lab.wait_for_servers()?;
    Ok(lab)
}

impl Lab {
    fn start_servers(&mut self) -> Result<()> {
        servers::database::start(&mut self.state, &self.authority, &self.token)?;
        servers::web::start(&mut self.state, &self.authority)?;
        servers::load_balancer::start(&mut self.state, &self.authority)?;
        for host in SERVERS {
            servers::node_exporter::start(&mut self.state, host)?;
            servers::ssh::start(&mut self.state, host)?;
        }
        servers::echo::start(&mut self.state)?;
        servers::monitoring::start(&mut self.state)
    }

    fn wait_for_servers(&self) -> Result<()> {
        servers::database::wait()?;
        servers::web::wait()?;
        servers::load_balancer::wait()?;
        for host in SERVERS {
            servers::node_exporter::wait(host)?;
            servers::ssh::wait(host)?;
        }
        servers::echo::wait()?;
        servers::monitoring::wait()?;
        match self.state.ended() {
            Some(name) => bail!(
                "{name} has ended by itself; its log is in {}",
                State::directory().display()
            ),
            None => Ok(()),
        }
    }

    /// Starts the agent of each server, with the shipped policy as it is, and waits until they all filter.
    fn start_agents(&mut self) -> Result<()> {
        let agents = SERVERS.map(Agent::of);
        for agent in &agents {
            agent.configure()?;
            agent.start(&mut self.state)?;
        }
        agents.iter().try_for_each(|agent| agent.wait(&self.state))
    }
}

fn look_around() -> String {
    let files = format!(
        "the lab is up: its files and logs are in {}",
        State::directory().display()
    );
    let mut lines = vec![files];
    for agent in SERVERS.map(Agent::of) {
        let (name, namespace) = (agent.host.name, agent.host.namespace().name());
        lines.push(format!(
            "what {name}'s firewall does: {} status",
            agent.fwctl_line()
        ));
        lines.push(format!("a shell on {name}: nsenter --net=/run/netns/{namespace}"));
    }
    lines.push("take it down: cargo xtask lab down".to_owned());
    lines.join("\n")
}
