//! The operator's tool.

use std::process::ExitCode;

fn main() -> ExitCode {
    firewall_agent::cli::main(std::env::args_os())
}
