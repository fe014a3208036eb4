//! `fwctl`, built with the suites that run it.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    firewall_agent::cli::main(env::args_os())
}
