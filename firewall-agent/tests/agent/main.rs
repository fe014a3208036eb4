//! The agent on a kernel in memory: what a start puts in force, what changes do, and what clients can do to it.

mod bans;
mod changes;
mod confirm;
mod control_socket;
mod edits;
mod exposition;
mod first;
mod fwctl;
mod history;
mod host;
mod lists;
mod lockout;
mod metrics;
mod running;
mod shadow;
mod start;
mod timed;
mod timed_edits;
