//! The README's section of figures, made from what a run has written.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::results::{Case, Check, OURS, Outcome, Results, digits};

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
        "From a run of `cargo xtask bench` on {} processors ({}), kernel {}: medians of {} rounds.\n",
        machine.processors, machine.processor, machine.kernel, results.rounds
    )?;
    text.push_str("| row | case | firewall-agent | beside | target | is | |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for row in &results.rows {
        for case in &row.cases {
            for check in &case.checks {
                text.push_str(&line(row.number, &row.what, case, check)?);
            }
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

fn line(number: u8, what: &str, case: &Case, check: &Check) -> Result<String> {
    let shown = |who: &str| {
        case.entry(who).map_or("–".to_owned(), |entry| {
            let star = if entry.scaled { "\\*" } else { "" };
            format!("{}{star} {}", digits(entry.figure.median), case.unit.word())
        })
    };
    let beside = check
        .beside
        .as_ref()
        .map_or(String::new(), |who| format!("{who} {}", shown(who)));
    let value = check.value.map_or("–".to_owned(), digits);
    let outcome = match check.outcome() {
        Outcome::Met => "met",
        Outcome::NotMet => "**not met**",
        Outcome::NotMeasured => "not measured",
    };
    let mut text = String::new();
    writeln!(
        text,
        "| {number} | {what}: {} | {} | {beside} | {} | {value} | {outcome} |",
        case.name,
        shown(OURS),
        check.target
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results() -> Results {
        let figure = |median: f64| json!({ "median": median, "lower": 1, "upper": 9, "rounds": [median] });
        let case = json!({
            "name": "IPv4", "series": null, "size": 0, "unit": "nanoseconds", "note": null,
            "entries": [
                { "who": "firewall-agent", "figure": figure(20.0), "scaled": false },
                { "who": "bpfilter", "figure": figure(100.0), "scaled": true },
            ],
            "checks": [{ "beside": "bpfilter", "target": "≥ 4 ×", "value": 5.0, "met": true }],
        });
        let results = json!({
            "machine": { "kernel": "6.18", "processor": "P", "processors": 2 },
            "peers": { "nftables": "1.0" }, "rounds": 15,
            "rows": [{ "number": 3, "what": "first packet", "cases": [case] }],
        });
        serde_json::from_value(results).unwrap()
    }

    #[test]
    fn the_section_alone_is_made_anew() {
        let readme = format!("above\n{BEGIN}old\n{END}below\n");
        let text = updated(&readme, &results(), &["rules"]).unwrap();
        assert!(text.starts_with("above\n") && text.ends_with("below\n") && !text.contains("old"));
        let line = "| 3 | first packet: IPv4 | 20.0 ns | bpfilter 100\\* ns | ≥ 4 × | 5.00 | met |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("![rules](xtask/figures/rules.svg)"));
        assert_eq!(updated(&text, &results(), &["rules"]).unwrap(), text);
    }

    #[test]
    fn a_readme_without_a_place_for_it_is_an_error() {
        assert!(updated("nothing", &results(), &[]).is_err());
    }
}
