//! From `OpenMetrics` 1.0 to the older Prometheus text format 0.0.4, so that both come from the same samples.
//!
//! The older format knows neither units nor infos nor an end marker, and names a counter as its samples are named.

use std::fmt::Write;

/// The same metrics in text format 0.0.4. `openmetrics` is what the encoder of this crate writes.
pub(super) fn from_openmetrics(openmetrics: &str) -> String {
    let types: Vec<(&str, &str)> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let kind_of = |name: &str| {
        types
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    };
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            push(&mut text, line);
            continue;
        };
        let Some((keyword, rest)) = comment.split_once(' ') else {
            continue;
        };
        let Some((name, rest)) = rest.split_once(' ') else {
            continue;
        };
        let (suffix, kind) = match kind_of(name) {
            Some("counter") => ("_total", "counter"),
            Some("info") => ("_info", "gauge"),
            Some(kind) => ("", kind),
            None => continue,
        };
        match keyword {
            "HELP" => push(&mut text, &format!("# HELP {name}{suffix} {rest}")),
            "TYPE" => push(&mut text, &format!("# TYPE {name}{suffix} {kind}")),
            _ => {}
        }
    }
    text
}

fn push(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_families_become_names_of_samples() {
        let openmetrics = "# HELP a_bytes What.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
            a_bytes_total{x=\"# TYPE\"} 5\n# HELP b It is.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
            # HELP c Now.\n# TYPE c gauge\nc 1.5\n# EOF\n";
        assert_eq!(
            from_openmetrics(openmetrics),
            "# HELP a_bytes_total What.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"# TYPE\"} 5\n\
             # HELP b_info It is.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c Now.\n# TYPE c gauge\nc 1.5\n"
        );
    }
}
