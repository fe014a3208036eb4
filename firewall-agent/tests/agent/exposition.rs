//! Strict readers of the two metric formats, independent of what writes them.
//!
//! `OpenMetrics` 1.0: <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>; text format
//! 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{BTreeMap, BTreeSet};

/// What a scrape says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exposition {
    /// Values by name with sorted labels.
    pub(crate) samples: BTreeMap<String, String>,
}

/// One metric family on its way.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    unit: Option<String>,
    has_help: bool,
    samples: usize,
}

/// Reads `OpenMetrics` 1.0.
pub(crate) fn open_metrics(text: &str) -> Result<Exposition, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("it does not end with `# EOF`")?;
    read(body, true)
}

/// Reads text format 0.0.4.
pub(crate) fn text_format(text: &str) -> Result<Exposition, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    read(text, false)
}

fn read(text: &str, open: bool) -> Result<Exposition, String> {
    let mut samples = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut family = Family::default();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').ok_or(format!("a comment: {line}"))?;
            let (name, rest) = rest.split_once(' ').ok_or(format!("nothing said: {line}"))?;
            if name != family.name {
                check_family(&family, open)?;
                if !seen.insert(name.to_owned()) {
                    return Err(format!("{name} comes twice"));
                }
                family = Family {
                    name: name.to_owned(),
                    ..Family::default()
                };
            }
            if family.samples > 0 {
                return Err(format!("a sample comes before {line}"));
            }
            describe(&mut family, keyword, rest, open)?;
            continue;
        }
        let (name, labels, value) = sample(line)?;
        if name != sample_name(&family, open) {
            return Err(format!("{name} is no sample of {} {}", family.kind, family.name));
        }
        check_value(&family, value)?;
        family.samples += 1;
        if samples
            .insert(format!("{name}{{{labels}}}"), value.to_owned())
            .is_some()
        {
            return Err(format!("{name}{{{labels}}} comes twice"));
        }
    }
    check_family(&family, open)?;
    Ok(Exposition { samples })
}

fn describe(family: &mut Family, keyword: &str, rest: &str, open: bool) -> Result<(), String> {
    match keyword {
        "HELP" if family.has_help => return Err(format!("two helps of {}", family.name)),
        "HELP" => family.has_help = true,
        "TYPE" if !family.kind.is_empty() => return Err(format!("two types of {}", family.name)),
        "TYPE" => {
            let known: &[&str] = if open {
                &["counter", "gauge", "info"]
            } else {
                &["counter", "gauge"]
            };
            if !known.contains(&rest) {
                return Err(format!("{rest} is no type"));
            }
            rest.clone_into(&mut family.kind);
        }
        "UNIT" if open => {
            if !family.name.ends_with(&format!("_{rest}")) {
                return Err(format!("{} does not end with its unit {rest}", family.name));
            }
            family.unit = Some(rest.to_owned());
        }
        _ => return Err(format!("{keyword} is no keyword")),
    }
    Ok(())
}

fn sample_name(family: &Family, open: bool) -> String {
    match &*family.kind {
        "counter" if open => format!("{}_total", family.name),
        "info" => format!("{}_info", family.name),
        _ => family.name.clone(),
    }
}

fn check_family(family: &Family, open: bool) -> Result<(), String> {
    if family.name.is_empty() {
        return Ok(());
    }
    if family.kind.is_empty() || !family.has_help || family.samples == 0 {
        return Err(format!("{} lacks its type, its help or its samples", family.name));
    }
    if family.kind == "counter" && family.name.ends_with("_total") == open {
        return Err(format!("{} is no name of a counter", family.name));
    }
    Ok(())
}

fn check_value(family: &Family, value: &str) -> Result<(), String> {
    let number: f64 = value.parse().map_err(|_| format!("{value} is no number"))?;
    match &*family.kind {
        "counter" if number < 0.0 => Err(format!("{value} of a counter")),
        "info" if value != "1" => Err(format!("{value} of an info")),
        _ => Ok(()),
    }
}

/// Name, sorted labels and value of a sample without a timestamp.
fn sample(line: &str) -> Result<(String, String, &str), String> {
    let end = line
        .find(|one: char| !(one.is_ascii_alphanumeric() || matches!(one, '_' | ':')))
        .ok_or(format!("no value: {line}"))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|one: char| one.is_ascii_digit()) {
        return Err(format!("no name: {line}"));
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest
        .strip_prefix(' ')
        .ok_or(format!("no blank before the value: {line}"))?;
    if value.contains(' ') {
        return Err(format!("more than a value: {line}"));
    }
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    Ok((name.to_owned(), labels.join(","), value))
}

fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = rest.split_once("=\"").ok_or(format!("no label: {rest}"))?;
        let is_name = |one: char| one.is_ascii_alphanumeric() || one == '_';
        if name.is_empty() || name.starts_with(|one: char| one.is_ascii_digit()) || !name.chars().all(is_name)
        {
            return Err(format!("{name} is no name of a label"));
        }
        let (value, after) = label_value(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label {name} comes twice"));
        }
        rest = after.strip_prefix(',').unwrap_or(after);
        if rest == after && !rest.starts_with('}') {
            return Err(format!("no comma: {rest}"));
        }
    }
}

/// Up to the quote that ends it, escapes kept.
fn label_value(text: &str) -> Result<(String, &str), String> {
    let mut escaped = false;
    for (at, one) in text.char_indices() {
        match one {
            '\\' | '"' | 'n' if escaped => escaped = false,
            _ if escaped => return Err(format!("\\{one} is no escape")),
            '\\' => escaped = true,
            '"' => return Ok((text[..at].to_owned(), &text[at + 1..])),
            _ => {}
        }
    }
    Err("a label does not end".into())
}

#[test]
fn what_is_wrong_is_refused() {
    let good = "# HELP a A.\n# TYPE a counter\na_total{x=\"1\\\"\"} 1\n# EOF\n";
    assert!(open_metrics(good).is_ok());
    for (wrong, right) in [
        ("# EOF\n", ""),
        ("a_total", "a"),
        ("# HELP a A.\n", ""),
        ("# TYPE a counter\n", ""),
        ("x=\"1\\\"\"", "x=\"1\\\""),
        ("x=\"1\\\"\"", "x=\"1\",x=\"2\""),
        ("x=\"1\\\"\"", "1=\"1\""),
        ("} 1", "} one"),
        ("} 1", "} -1"),
        ("# EOF\n", "a_total{x=\"1\\\"\"} 1\n# EOF\n"),
        ("# TYPE a counter\n", "# TYPE a counter\n# UNIT a bytes\n"),
    ] {
        let text = good.replace(wrong, right);
        assert_ne!(text, good);
        assert!(open_metrics(&text).is_err(), "{text}");
    }
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n";
    assert!(text_format(good).is_ok());
    for (wrong, right) in [("a_total", "a"), ("1\n", "1"), ("a_total 1", "b_total 1")] {
        assert!(text_format(&good.replace(wrong, right)).is_err(), "{wrong}");
    }
}
