//! `fwctl status`: what is in force, and how the agent is doing.

use std::fmt::Write;

use comfy_table::Cell;

use super::{
    Agent, CliError,
    apply::waiting,
    expect_response,
    output::{Exit, Output, Tone, duration, findings, lines},
};
use crate::control::protocol::{
    Capture, Enforcing, FileState, Request, SettingsState, SettingsStatus, Status as Report, WatchStatus,
};

/// Shows what is in force and how the agent is doing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  fwctl status\n  fwctl status --json | jq .interfaces")]
pub(super) struct Status {}

impl Status {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Self {} = self;
        let report = expect_response!(agent, Request::Status {}, Status);
        output.print(&*report, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("enforcing", enforcing(output, report));
    if let Some(panic) = &report.panic {
        let why = panic
            .why
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        let who = panic.by.describe();
        line(
            "panic",
            format!(
                "since {:.0} by {who}{why}; `fwctl panic off` ends it",
                panic.since
            ),
        );
    }
    line("for", who(report));
    line("revision", revision(report));
    if let Some(confirm) = &report.confirm {
        line("confirm", waiting(output, confirm));
    }
    line(
        "policy",
        format!(
            "{} ({} rules, generation {})",
            short(&report.policy_hash),
            report.rules,
            report.generation
        ),
    );
    if !report.timed_rules.is_empty() {
        line("timed rules", timed_rules(report));
    }
    line("bans", bans(report));
    if !report.watches.is_empty() {
        let watches: Vec<String> = report.watches.iter().map(watch).collect();
        line("watched by", watches.join("\n             "));
    }
    if report.history.number > 0 {
        line(
            "history",
            format!(
                "entry {}, head {}",
                report.history.number,
                short(&report.history.hash)
            ),
        );
    }
    line("files", files(output, report));
    if let Some(settings) = &report.settings {
        line("settings", self::settings(output, settings));
    }
    line("last reload", last_reload(output, report));
    line(
        "agent",
        format!(
            "{}, process {}, since {:.0}",
            report.agent_version, report.pid, report.started
        ),
    );
    if report.pending {
        let hint = "`fwctl reload` puts the files in force";
        let _ = writeln!(text, "{:<12} {}", "", output.paint(Tone::Faint, hint));
    }
    text.push_str(&interfaces(output, report));
    text.push_str(&tables(output, report));
    for note in &report.notes {
        let _ = writeln!(text, "{}: {note}", output.paint(Tone::Doubtful, "note"));
    }
    if let Some(failure) = report.last_reload.as_ref().and_then(|last| last.failure.as_ref()) {
        let _ = write!(text, "\n{}", findings(&failure.findings));
    }
    text
}

fn enforcing(output: &Output, report: &Report) -> String {
    let what = match report.enforcing {
        Enforcing::Policy => output.paint(Tone::Good, "policy"),
        Enforcing::FailsafeOnly => output.paint(Tone::Bad, "failsafe only: everything else is dropped"),
        Enforcing::Adopted => output.paint(
            Tone::Doubtful,
            "a policy that was found in the kernel, of which no revision is known",
        ),
        Enforcing::Nothing => output.paint(
            Tone::Bad,
            "nothing: every packet passes until the first `fwctl apply --confirm 60s`",
        ),
    };
    if report.mode == "normal" {
        return what;
    }
    format!(
        "{what}, {}",
        output.paint(
            Tone::Bad,
            match report.mode_seconds_left {
                Some(left) => format!("mode {} for {left} s yet", report.mode),
                None => format!("mode {}", report.mode),
            }
        )
    )
}

fn who(report: &Report) -> String {
    let role = report.role.as_deref().unwrap_or("no role");
    match &report.host {
        Some(host) => format!("host {host}, role {role}"),
        None => format!("role {role}"),
    }
}

fn revision(report: &Report) -> String {
    let Some(revision) = &report.revision else {
        return "none".to_owned();
    };
    let by = revision.by.describe();
    let why = revision
        .why
        .as_ref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    format!(
        "{} of {:.0} by {by} ({}){why}",
        revision.number,
        revision.created,
        revision.cause.name()
    )
}

fn short(hash: &str) -> &str {
    match hash {
        "" => "unknown",
        hash => &hash[..hash.len().min(16)],
    }
}

fn bans(report: &Report) -> String {
    match report.bans {
        0 => "none".to_owned(),
        count => format!("{count} (`fwctl ban list`)"),
    }
}

/// Who looks at live traffic.
fn watch(watch: &WatchStatus) -> String {
    let kind = watch.kind.name();
    let (by, since) = (watch.by.describe(), watch.since);
    let end = match watch.seconds_left {
        Some(left) => format!("{} left", duration(left)),
        None => "until it is ended".to_owned(),
    };
    let what = watch
        .capture
        .as_ref()
        .map(|wanted| format!(": {}", captured(wanted)))
        .unwrap_or_default();
    format!("{by}: fwctl {kind} since {since:.0}, {end}{what}")
}

/// Which packets, and how much of them.
fn captured(wanted: &Capture) -> String {
    let reason = wanted.reason.as_ref().map(|reason| format!("reason {reason}"));
    let rule = wanted.rule.as_ref().map(|rule| format!("rule {rule}"));
    let interface = wanted.interface.as_ref().map(|name| format!("on {name}"));
    let filter = [rule, reason, wanted.direction.clone(), interface];
    let filter: Vec<String> = filter.into_iter().flatten().collect();
    let which = if filter.is_empty() {
        "everything that is dropped".to_owned()
    } else {
        filter.join(", ")
    };
    let count = wanted
        .count
        .map(|count| format!(", {count} packets"))
        .unwrap_or_default();
    format!(
        "{which}{count}, {} bytes of each, at most {} in a second",
        wanted.snap_bytes, wanted.per_second
    )
}

fn timed_rules(report: &Report) -> String {
    let rules = report.timed_rules.iter().map(|rule| {
        let off = if rule.disabled { " (switched off)" } else { "" };
        match rule.seconds_left {
            0 => format!("{}{off} has ended", rule.name),
            left => format!("{}{off} ends in {}", rule.name, duration(left)),
        }
    });
    rules.collect::<Vec<_>>().join("\n             ")
}

fn files(output: &Output, report: &Report) -> String {
    let differing: Vec<String> = report
        .files
        .iter()
        .filter(|file| file.state != FileState::InForce)
        .map(|file| {
            format!(
                "{} {}",
                file.path.display(),
                output.paint(Tone::Doubtful, file.state.name())
            )
        })
        .collect();
    match (report.pending, differing.is_empty()) {
        (false, _) => format!("{} in force", report.files.len()),
        (true, true) => output.paint(Tone::Doubtful, "not in force"),
        (true, false) => differing.join("\n             "),
    }
}

fn settings(output: &Output, settings: &SettingsStatus) -> String {
    let path = settings.path.display();
    match settings.state {
        SettingsState::InUse => format!("{path}, in use"),
        SettingsState::Changed => format!(
            "{path} {}",
            output.paint(Tone::Doubtful, "changed: a restart takes it")
        ),
        SettingsState::Broken => {
            let fault = settings.fault.as_deref().unwrap_or_default();
            let first = fault.lines().next().unwrap_or_default();
            format!(
                "{}: {first}",
                output.paint(Tone::Bad, "broken on disk; what was last started with is in use")
            )
        }
    }
}

fn last_reload(output: &Output, report: &Report) -> String {
    let Some(last) = &report.last_reload else {
        return "none since the agent was started".to_owned();
    };
    let when = format!("{:.0} ({})", last.at, last.cause.name());
    match &last.failure {
        None => format!("{} at {when}", output.paint(Tone::Good, "ok")),
        Some(failure) => format!(
            "{} at {when}: {}",
            output.paint(Tone::Bad, "failed"),
            failure.message
        ),
    }
}

fn interfaces(output: &Output, report: &Report) -> String {
    let mut text = String::new();
    if !report.interfaces.is_empty() {
        let mut table = output.table(&["INTERFACE", "XDP", "WHY", "COST"]);
        for interface in &report.interfaces {
            table.add_row([
                interface.name.as_str(),
                &interface.mode,
                &interface.reason,
                interface.cost.as_deref().unwrap_or(""),
            ]);
        }
        let _ = write!(text, "\n{}", lines(&table));
    }
    for failure in &report.interface_failures {
        let _ = writeln!(
            text,
            "{} {}: {}",
            output.paint(Tone::Bad, "not as the policy says:"),
            failure.name,
            failure.error
        );
    }
    if report.interfaces.is_empty() && report.interface_failures.is_empty() {
        let _ = writeln!(
            text,
            "\n{}",
            output.paint(Tone::Doubtful, "no interface is filtered")
        );
    }
    text
}

fn tables(output: &Output, report: &Report) -> String {
    let mut table = output.table(&["TABLE", ">USED", ">CAPACITY", ">"]);
    for row in &report.tables {
        let percent = (row.used * 100).checked_div(row.capacity).unwrap_or(0);
        table.add_row([
            Cell::new(&row.table),
            Cell::new(row.used),
            Cell::new(row.capacity),
            output.cell(Tone::Faint, format!("{percent} %")),
        ]);
    }
    if report.tables.is_empty() {
        return String::new();
    }
    format!("\n{}", lines(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_told_by_its_filter() {
        let all = Capture {
            rule: None,
            reason: None,
            interface: None,
            direction: None,
            snap_bytes: 256,
            per_second: 1000,
            count: None,
            seconds: None,
        };
        assert_eq!(
            captured(&all),
            "everything that is dropped, 256 bytes of each, at most 1000 in a second"
        );
        let some = Capture {
            rule: Some("site".to_owned()),
            direction: Some("in".to_owned()),
            interface: Some("eth0".to_owned()),
            count: Some(5),
            ..all
        };
        assert_eq!(
            captured(&some),
            "rule site, in, on eth0, 5 packets, 256 bytes of each, at most 1000 in a second"
        );
    }
}
