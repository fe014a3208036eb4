//! `cargo xtask`: set-up, build, the package, lint, test, the 6.1 kernel and the lab. One module per subcommand; each sets up what
//! it needs before it starts, and set-up that has nothing to do costs next to nothing.

mod bench;
mod build;
mod dist;
mod lab;
mod lint;
mod process;
mod session;
mod setup;
mod stages;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, build, lint, test and the lab")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install everything that the other subcommands need and that is not there yet.
    Setup,
    /// Build the agent, fwctl and the eBPF object in release mode.
    Build,
    /// Make the Debian package, with the list of what is in it (SBOM).
    Dist(dist::Arguments),
    /// Check format, clippy, dependencies (bans, licences, sources, advisories) and documentation.
    Lint,
    /// Bring up the lab, run the demonstration, print its table, and take everything down.
    Lab(lab::Arguments),
    /// Run the guest suite on Debian's 6.1 kernel in a virtual machine.
    Vm,
    /// Measure what the firewall costs, beside its peers. Needs root.
    Bench(bench::Arguments),
    /// Play the session of the documentation and write it down anew. Needs root.
    Session,
    /// Set up, lint, and run every test: unit, property, kernel, the 6.1 kernel and the lab.
    Test,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Build => build::run(),
        Task::Dist(arguments) => dist::run(&arguments),
        Task::Lint => lint::run(),
        Task::Lab(arguments) => lab::run(&arguments),
        Task::Vm => vm::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Session => session::run(),
        Task::Test => test::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
