//! `fwctl import`: the rules of another firewall as a policy.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{
    CliError,
    output::{Exit, Output, plural, write},
    reader,
};
use crate::{
    diagnostic::{SourceFile, SourceSet},
    import::{Format, Imported, import},
    policy::{self, Options, Scope},
};

const EXAMPLES: &str = "\
Examples:
  iptables-save | fwctl import iptables - > imported.toml
  nft -j list ruleset | fwctl import nft - --role web -o web.toml
  fwctl check imported.toml
  fwctl replay web.pcap --policy imported.toml --local 10.77.2.10

Only what means exactly the same is carried over. Everything else stands in the policy as a comment with its source and
the reason (NOT CARRIED OVER), and is told on standard error: decide about each before you put the policy in force.

Exit codes: 0 all of it was carried over; 1 some of it was not; 2 the command line is wrong, or the file cannot be read";

/// Writes the rules of another firewall as a policy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// What the rules are of.
    #[arg(value_enum)]
    format: From,
    /// What `nft -j list ruleset`, `iptables-save` or `ip6tables-save` prints; `-` for standard input.
    file: PathBuf,
    /// The role that the policy is for.
    #[arg(long, default_value = "imported")]
    role: String,
    /// Write the policy to this file, which must not be there yet; to standard output without.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// `nft -j list ruleset`.
    Nft,
    /// The filter table of `iptables-save` or `ip6tables-save`.
    Iptables,
}

impl Import {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, CliError> {
        let text = read(&self.file)?;
        let format = match self.format {
            From::Nft => Format::Nft,
            From::Iptables => Format::Iptables,
        };
        let imported =
            import(format, &text, &self.role).map_err(|error| CliError::File(error.to_string()))?;
        match &self.output {
            Some(path) => save(path, &imported.policy)?,
            None if !output.is_json() => write(&imported.policy)?,
            None => {}
        }
        if output.is_json() {
            output.print(&imported, |_, _| String::new())?;
        } else {
            tell(&imported);
        }
        let is_usable = checks(&imported.policy);
        if !is_usable {
            reader::tell("`fwctl check` finds errors in it\n");
        }
        let is_whole = imported.left_out.is_empty() && is_usable;
        Ok(if is_whole { Exit::Done } else { Exit::No })
    }
}

/// Whether `fwctl check` finds no errors in the policy.
fn checks(text: &str) -> bool {
    let mut sources = SourceSet::new();
    sources.add(SourceFile::new("imported.toml", text.to_owned()));
    let options = Options {
        scope: Scope::Files,
        ..Options::default()
    };
    !policy::check(sources, &options).has_errors()
}

fn read(path: &Path) -> Result<String, CliError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|error| CliError::File(format!("cannot read {}: {error}", path.display())))
}

fn save(path: &Path, text: &str) -> Result<(), CliError> {
    let written =
        fs::File::create_new(path).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| CliError::File(format!("cannot write {}: {error}", path.display())))
}

/// On standard error, since the policy may go to standard output.
fn tell(imported: &Imported) {
    let mut lines: Vec<String> = imported
        .left_out
        .iter()
        .map(|left| format!("not carried over, {}: {}", left.place, left.why))
        .collect();
    lines.push(format!(
        "{} carried over, {} not needed, {} not carried over",
        plural(imported.rules, "rule"),
        imported.implied,
        imported.left_out.len()
    ));
    for line in lines {
        reader::tell(&format!("{line}\n"));
    }
}
