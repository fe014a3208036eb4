//! An explanation for people.

use std::fmt::Write;

use crate::{
    cli::output::{Output, Tone, duration, lines, plural},
    trial::{Explanation, Tried},
};

pub(super) fn text(output: &Output, explanation: &Explanation, most: usize) -> String {
    let tone = match &*explanation.verdict {
        "pass" => Tone::Good,
        _ => Tone::Bad,
    };
    let verdict = output.paint(tone, &explanation.verdict);
    let mut text = format!("{verdict}  {}\n", explanation.packet);
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<7} {value}");
    };
    if let Some(rule) = &explanation.rule {
        let origin = explanation.origin.as_ref();
        let tried = explanation.rules.iter().find(|tried| tried.rule == *rule);
        let left = tried.and_then(|tried| tried.seconds_left);
        let ends = left.map(|left| format!(", ends in {}", duration(left)));
        let name = origin.map_or_else(|| rule.clone(), |origin| format!("{rule} ({origin})"));
        line("rule", name + &ends.unwrap_or_default());
    }
    line(
        "reason",
        format!("{}: {}", explanation.reason, explanation.meaning),
    );
    line("policy", explanation.policy.clone());
    if let Some(kernel) = kernel(output, explanation) {
        line("kernel", kernel);
    }
    text.push('\n');
    text.push_str(&steps(output, explanation));
    if !explanation.rules.is_empty() {
        text.push('\n');
        text.push_str(&rules(output, &explanation.rules, most));
    }
    if let Some(disagreement) = &explanation.disagreement {
        let bad = output.paint(Tone::Bad, "disagreement");
        let _ = writeln!(
            text,
            "\n{bad}: {disagreement}; this is a fault of the program, please report it"
        );
    }
    text
}

/// What the kernel's programs say.
fn kernel(output: &Output, explanation: &Explanation) -> Option<String> {
    if let Some(why) = &explanation.unchecked {
        let unchecked = output.paint(Tone::Doubtful, "not asked");
        return Some(format!("{unchecked}: {why}"));
    }
    let check = explanation.kernel.as_ref()?;
    if check.agrees {
        return Some("its programs say the same, over the live tables".to_owned());
    }
    let bad = output.paint(Tone::Bad, "DISAGREES");
    let by = check.rule.as_deref().unwrap_or("no rule");
    Some(format!(
        "{bad}: its programs say {} ({}) by {by}, over the live tables. Ask again: if they still do, this is a fault of \
         the program, please report it",
        check.verdict, check.reason
    ))
}

fn steps(output: &Output, explanation: &Explanation) -> String {
    let mut table = output.table(&["STEP", "FOUND", ""]);
    for step in &explanation.steps {
        let end = if step.decides { "decides" } else { "goes on" };
        table.add_row([
            output.cell(Tone::Faint, &step.step),
            comfy_table::Cell::new(&step.finding),
            if step.decides {
                comfy_table::Cell::new(end)
            } else {
                output.cell(Tone::Faint, end)
            },
        ]);
    }
    lines(&table)
}

/// All rules, or, where there are too many, those that fail in one condition only, and the one that matches.
fn rules(output: &Output, rules: &[Tried], most: usize) -> String {
    let is_shown = |tried: &&Tried| rules.len() <= most || tried.unmet.len() <= 1;
    let shown: Vec<&Tried> = rules.iter().filter(is_shown).collect();
    let shown = &shown[shown.len().saturating_sub(most)..];
    let mut table = output.table(&["RULE", "ACTION", "WRITTEN IN", "WHY IT DOES NOT MATCH"]);
    for tried in shown {
        let why = if tried.unmet.is_empty() {
            output.cell(Tone::Good, "it matches")
        } else {
            comfy_table::Cell::new(tried.unmet.join("; "))
        };
        table.add_row([
            comfy_table::Cell::new(&tried.rule),
            comfy_table::Cell::new(&tried.action),
            comfy_table::Cell::new(&tried.origin),
            why,
        ]);
    }
    let mut text = lines(&table);
    if shown.len() < rules.len() {
        let left_out = plural(rules.len() - shown.len(), "further rule");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{left_out} do not match either; --all shows them");
    }
    text
}
