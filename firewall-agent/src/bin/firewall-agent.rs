//! The agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    firewall_agent::daemon::main(std::env::args_os())
}
