//! The README's section of figures, made from what a run has written.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::results::{Case, OURS, Outcome, Results, digits};

const BEGIN: &str = "<!-- bench table: begin -->\n";
const END: &str = "<!-- bench table: end -->\n";

/// The README with its section made anew.
pub(super) fn updated(readme: &str, results: &Results, figures: &[&str]) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .context("README.md has no beginning of the table")?;
    let (_, after) = rest
        .split_once(END)
        .context("README.md has no end of the table")?;
    let section = section(results, figures)?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

fn section(results: &Results, figures: &[&str]) -> Result<String> {
    let machine = &results.machine;
    let mut text = String::new();
    writeln!(
        text,
        "From a run of `cargo xtask bench` on {} processors ({}), kernel {}: medians of {} rounds in which all took \
         turns. Nanoseconds are those of one packet, less what an empty program took for it; over veth (rows 8 and 9) \
         all that the receiving processor did for it; xdp-filter looks at addresses alone. \"n × better\" says how many times as fast, or as many, it is.\n",
        machine.processors, machine.processor, machine.kernel, results.rounds
    )?;
    text.push_str("| row | case | firewall-agent | beside | target | reached | |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for row in &results.rows {
        let outcome = shown_outcome(row.outcome());
        writeln!(text, "| {} | **{}** | | | | | {outcome} |", row.number, row.what)?;
        for case in row.cases.iter().filter(|case| is_told(case)) {
            writeln!(text, "{}", line(case))?;
        }
    }
    let versions: Vec<_> = results
        .peers
        .iter()
        .map(|(name, version)| format!("{name}: {version}"))
        .collect();
    writeln!(
        text,
        "\n\\* bpfilter's figures are of another machine, scaled by what xdp-filter took there and here. {}.\n",
        versions.join("; ")
    )?;
    for figure in figures {
        writeln!(text, "![{figure}](xtask/figures/{figure}.svg)")?;
    }
    Ok(text)
}

/// Whether something was to be reached, or could not be measured. What else was measured is in the JSON.
fn is_told(case: &Case) -> bool {
    !case.checks.is_empty() || case.entries.is_empty()
}

fn line(case: &Case) -> String {
    let unit = case.unit.word();
    let ours = case
        .entry(OURS)
        .map_or_else(|| "–".to_owned(), |entry| with_unit(entry.figure.median, unit));
    let others = case.entries.iter().filter(|entry| entry.who != OURS);
    let others = others.map(|entry| {
        let star = if entry.scaled { "\\*" } else { "" };
        format!("{} {}{star}", entry.who, with_unit(entry.figure.median, unit))
    });
    let targets = case.checks.iter().map(|check| check.target.clone());
    let reached = case
        .checks
        .iter()
        .map(|check| match (check.value, &check.beside) {
            (None, _) => "–".to_owned(),
            // A ratio just below what was to be reached is not to look like it.
            (Some(ratio), Some(_)) if ratio < 1.0 => format!("{ratio:.3} ×"),
            (Some(ratio), Some(_)) => format!("{} ×", digits(ratio)),
            (Some(value), None) => with_unit(value, unit),
        });
    let outcomes = case.checks.iter().map(|check| shown_outcome(check.outcome()));
    let outcomes = lines(outcomes.map(str::to_owned));
    let outcomes = if case.checks.is_empty() {
        shown_outcome(Outcome::NotMeasured).to_owned()
    } else {
        outcomes
    };
    format!(
        "| | {} | {ours} | {} | {} | {} | {outcomes} |",
        grouped(&case.name),
        lines(others.map(|text| grouped(&text))),
        lines(targets.map(|text| grouped(&text))),
        lines(reached)
    )
}

/// Lines of one cell.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("<br>")
}

const fn shown_outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::NotMet => "**not met**",
        Outcome::NotMeasured => "not measured",
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let digits = if value < 10_000.0 {
        digits(value)
    } else {
        format!("{:.0}", (value / 100.0).round() * 100.0)
    };
    format!("{} {unit}", grouped(&digits)).trim_end().to_owned()
}

/// With a comma between the thousands of whole numbers from 1,000 on.
fn grouped(text: &str) -> String {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let mut grouped = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_digit) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|letter| !is_digit(letter)).unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        grouped.push_str(before);
        let decimals = before.ends_with('.') && grouped[..grouped.len() - 1].ends_with(is_digit);
        for (place, digit) in number.char_indices() {
            if place > 0 && (number.len() - place).is_multiple_of(3) && !decimals {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        rest = after;
    }
    grouped.push_str(rest);
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results() -> Results {
        let figure = |median: f64| json!({ "median": median, "lower": 1, "upper": 9, "rounds": [median] });
        let not_measured = json!({
            "name": "IPv6", "series": null, "size": 0, "unit": "count", "note": "no such machine",
            "entries": [], "checks": [],
        });
        let beside = json!({
            "name": "nothing asked", "series": null, "size": 0, "unit": "nanoseconds", "note": null,
            "entries": [{ "who": "firewall-agent", "figure": figure(1.0), "scaled": false }], "checks": [],
        });
        let case = json!({
            "name": "IPv4, 1000000 flows", "series": null, "size": 0, "unit": "nanoseconds", "note": null,
            "entries": [
                { "who": "firewall-agent", "figure": figure(20.0), "scaled": false },
                { "who": "bpfilter", "figure": figure(100.0), "scaled": true },
            ],
            "checks": [
                { "beside": "bpfilter", "target": "≥ 4 × better than bpfilter", "value": 5.0, "met": true },
                { "beside": null, "target": "≤ 10 ns", "value": 20.0, "met": false },
            ],
        });
        let results = json!({
            "machine": { "kernel": "6.18", "processor": "P", "processors": 2 },
            "peers": { "nftables": "1.0" }, "rounds": 15,
            "rows": [{ "number": 3, "what": "first packet", "cases": [case, beside, not_measured] }],
        });
        serde_json::from_value(results).unwrap()
    }

    #[test]
    fn the_section_alone_is_made_anew() {
        let readme = format!("above\n{BEGIN}old\n{END}below\n");
        let text = updated(&readme, &results(), &["rules"]).unwrap();
        assert!(text.starts_with("above\n") && text.ends_with("below\n") && !text.contains("old"));
        for line in [
            "| 3 | **first packet** | | | | | **not met** |",
            "| | IPv4, 1,000,000 flows | 20.0 ns | bpfilter 100 ns\\* | ≥ 4 × better than bpfilter<br>≤ 10 ns | \
             5.00 ×<br>20.0 ns | met<br>**not met** |",
            "| | IPv6 | – |  |  |  | not measured |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("nothing asked"), "{text}");
        assert!(text.contains("![rules](xtask/figures/rules.svg)"));
        assert_eq!(updated(&text, &results(), &["rules"]).unwrap(), text);
    }

    #[test]
    fn figures_are_told_with_their_unit() {
        assert_eq!(with_unit(28_839.7, "ns"), "28,800 ns");
        assert_eq!(with_unit(431.0, "ns"), "431 ns");
        assert_eq!(with_unit(1_000_000.0, ""), "1,000,000");
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!(
            ["last of 50000 rules", "999", "0.12345 of 1000", "a1234b5"].map(grouped),
            ["last of 50,000 rules", "999", "0.12345 of 1,000", "a1,234b5"]
        );
    }

    #[test]
    fn a_readme_without_a_place_for_it_is_an_error() {
        assert!(updated("nothing", &results(), &[]).is_err());
    }
}
