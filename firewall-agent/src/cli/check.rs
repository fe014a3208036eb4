//! `fwctl check`: everything that is wrong with policy files.

use std::{fmt::Write, path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    CliError,
    output::{Exit, Output, Tone, plural},
};
use crate::{
    compile::compile,
    daemon::{kernel_forwards, target, today},
    diagnostic::{Code, JsonDiagnostic, Style, render_text, to_json},
    policy::{self, Checked, Options, Scope, Target, model::ValidPolicy, read_for_check, read_sources},
    settings::{self, Settings},
};

const EXAMPLES: &str = "\
Examples:
  fwctl check /etc/firewall-agent/policy     every host and role that the directory names
  fwctl check web.toml                       with base.toml and inventory.toml beside it
  fwctl check rules --host web-1             for one host
  fwctl check --settings /etc/firewall-agent/agent.toml    what the agent would put in force

Exit codes: 0 nothing wrong (there may be warnings), 1 problems, 2 a file cannot be read or the command line is wrong";

/// Says everything that is wrong with policy files; needs no root and no agent.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// Policy files, or directories of them.
    #[arg(required_unless_present = "settings", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check for this role only.
    #[arg(long)]
    role: Option<String>,
    /// Check for this host only.
    #[arg(long)]
    host: Option<String>,
    /// Take files, role, host and failsafe from the agent's settings, as far as they are not given.
    #[arg(long, value_name = "PATH")]
    settings: Option<PathBuf>,
    /// Warnings count as problems.
    #[arg(long)]
    deny_warnings: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Report {
    files: Vec<String>,
    /// Hosts and roles that a policy was resolved for.
    targets: Vec<String>,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<JsonDiagnostic>,
    /// Policies that are right, and larger than the agent can enforce.
    too_large: Vec<String>,
}

impl Check {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, CliError> {
        let settings = self
            .settings
            .as_deref()
            .map(settings::load)
            .transpose()
            .map_err(|error| CliError::File(error.to_string()))?;
        let checked = self.check(settings.as_ref());
        let report = report(&checked);
        let exit = self.exit(&checked, &report);
        output.print(&report, |output, report| text(output, &checked, report))?;
        Ok(exit)
    }

    fn check(&self, settings: Option<&Settings>) -> Checked {
        let (sources, scope) = match settings {
            Some(settings) if self.files.is_empty() => {
                (read_sources(&settings.policy), Scope::One(target(settings)))
            }
            _ => read_for_check(&self.files),
        };
        let scope = match (&self.role, &self.host) {
            (None, None) => scope,
            (role, host) => Scope::One(Target {
                role: role.as_deref().map(Arc::from),
                host: host.as_deref().map(Arc::from),
            }),
        };
        let options = Options {
            scope,
            failsafe: settings.map(|settings| settings.failsafe.resolve()),
            today: Some(today()),
            // Without the agent's settings the policy is not known to be for this host.
            kernel_forwards: settings.is_some() && kernel_forwards(),
        };
        policy::check(sources, &options)
    }

    fn exit(&self, checked: &Checked, report: &Report) -> Exit {
        if checked.diagnostics.iter().any(|one| one.code == Code::Unreadable) {
            Exit::Usage
        } else if report.errors > 0
            || !report.too_large.is_empty()
            || self.deny_warnings && report.warnings > 0
        {
            Exit::No
        } else {
            Exit::Done
        }
    }
}

fn report(checked: &Checked) -> Report {
    let errors = checked.diagnostics.iter().filter(|one| one.is_error()).count();
    Report {
        files: checked
            .sources
            .iter()
            .map(|(_, source)| source.name().to_string())
            .collect(),
        targets: checked.policies.iter().map(name).collect(),
        errors,
        warnings: checked.diagnostics.len() - errors,
        too_large: checked.policies.iter().filter_map(too_large).collect(),
        diagnostics: checked
            .diagnostics
            .iter()
            .map(|one| to_json(one, &checked.sources))
            .collect(),
    }
}

fn name(policy: &ValidPolicy) -> String {
    match &policy.host {
        Some(host) => host.to_string(),
        None => format!("role {}", policy.role),
    }
}

fn too_large(policy: &ValidPolicy) -> Option<String> {
    let error = compile(policy).err()?;
    Some(format!("{}: {error}", name(policy)))
}

fn text(output: &Output, checked: &Checked, report: &Report) -> String {
    let style = if output.has_colour() {
        Style::Coloured
    } else {
        Style::Plain
    };
    let mut text = String::new();
    for diagnostic in &checked.diagnostics {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\n\n", render_text(diagnostic, &checked.sources, style));
    }
    for line in &report.too_large {
        let _ = writeln!(text, "{}: {line}", output.paint(Tone::Bad, "error"));
    }
    text.push_str(&summary(output, report));
    text
}

fn summary(output: &Output, report: &Report) -> String {
    let warnings = match report.warnings {
        0 => String::new(),
        count => format!(", {}", output.paint(Tone::Doubtful, plural(count, "warning"))),
    };
    let errors = report.errors + report.too_large.len();
    if errors > 0 {
        let errors = output.paint(Tone::Bad, plural(errors, "error"));
        return format!("{errors}{warnings} in {}\n", plural(report.files.len(), "file"));
    }
    let rules = match report.targets.as_slice() {
        [] => String::new(),
        targets => format!(" for {}", targets.join(", ")),
    };
    format!(
        "{}{warnings}: {}{rules}\n",
        output.paint(Tone::Good, "ok"),
        plural(report.files.len(), "file")
    )
}
