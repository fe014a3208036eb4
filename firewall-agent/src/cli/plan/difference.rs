//! The difference of two policies, for people.

use std::fmt::Write;

use crate::{
    cli::output::{Output, Tone},
    control::protocol::{Difference, ListDifference, RuleDifference},
};

/// A line or two for each difference, marked `+`, `-`, `~` or `>`.
pub(crate) fn text(output: &Output, difference: &Difference) -> String {
    if difference.is_empty() {
        return "nothing would be said differently\n".to_owned();
    }
    let mut text = String::new();
    for rule in &difference.rules {
        text.push_str(&of_rule(output, rule));
    }
    for list in &difference.lists {
        text.push_str(&of_list(output, list));
    }
    for line in &difference.settings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} setting {line}", output.paint(Tone::Doubtful, "~"));
    }
    text
}

fn of_rule(output: &Output, rule: &RuleDifference) -> String {
    let (name, origin) = (&rule.name, &rule.origin);
    let empty = String::new();
    let (before, after) = (
        rule.before.as_ref().unwrap_or(&empty),
        rule.after.as_ref().unwrap_or(&empty),
    );
    match &*rule.kind {
        "added" => output.paint(Tone::Good, format!("+ rule {name} ({origin}): {after}")) + "\n",
        "removed" => output.paint(Tone::Bad, format!("- rule {name} ({origin}): {before}")) + "\n",
        "moved" => {
            output.paint(
                Tone::Doubtful,
                format!("> rule {name} ({origin}) is tried at another place"),
            ) + "\n"
        }
        _ => {
            let moved = if rule.moved {
                ", and is tried at another place"
            } else {
                ""
            };
            let head = output.paint(Tone::Doubtful, format!("~ rule {name} ({origin}){moved}"));
            if before == after {
                return format!("{head}: its owner, reason or review date\n");
            }
            format!(
                "{head}\n    {}\n    {}\n",
                output.paint(Tone::Bad, format!("- {before}")),
                output.paint(Tone::Good, format!("+ {after}"))
            )
        }
    }
}

fn of_list(output: &Output, list: &ListDifference) -> String {
    let name = &list.name;
    match (list.before, list.after) {
        (None, Some(now)) => output.paint(Tone::Good, format!("+ block list {name}: {now} entries")) + "\n",
        (Some(was), None) => output.paint(Tone::Bad, format!("- block list {name}: {was} entries")) + "\n",
        (was, now) => {
            let mut text = output.paint(
                Tone::Doubtful,
                format!(
                    "~ block list {name}: {} → {} entries",
                    was.unwrap_or(0),
                    now.unwrap_or(0)
                ),
            );
            text.push('\n');
            for (tone, sign, count, sample) in [
                (Tone::Good, '+', list.added, &list.added_sample),
                (Tone::Bad, '-', list.removed, &list.removed_sample),
            ] {
                if count > 0 {
                    let more = if count > sample.len() { ", …" } else { "" };
                    let line = format!("    {sign} {count}: {}{more}", sample.join(", "));
                    text.push_str(&output.paint(tone, line));
                    text.push('\n');
                }
            }
            text
        }
    }
}
