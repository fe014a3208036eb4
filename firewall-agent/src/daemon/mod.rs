//! The daemon: puts policies in force, keeps them there, and answers to `fwctl` and the monitoring.

mod agent;
mod bans;
mod chain;
mod change;
mod command;
mod commit;
mod describe;
mod events;
mod flows;
mod handler;
mod in_force;
mod kernel;
mod lists;
mod network;
mod prepare;
mod readings;
mod report;
mod run;
mod stamps;
mod start;
mod takeover;

pub use agent::Agent;
pub(crate) use agent::Health;
pub(crate) use chain::chain;
pub(crate) use command::command_line;
pub use command::main;
pub(crate) use describe::protocol_number;
pub(crate) use flows::states;
pub(crate) use in_force::InForce;
pub use lists::ListEdit;
pub(crate) use prepare::{kernel_forwards, target, today};
pub(crate) use readings::Readings;
pub(crate) use report::mode_name;
pub use run::{RunError, run};
pub use start::StartError;
