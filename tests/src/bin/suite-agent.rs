//! `firewall-agent`, built with the suites that run it.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    firewall_agent::daemon::main(env::args_os())
}
