//! Drawings of the figures, as SVG.

use std::fmt::Write;

use super::results::{Case, Entry, Results};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 220.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Told apart also by those who see fewer colours (Okabe and Ito, 2008).
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
];

/// A line of points.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// All drawings, by the name of their file.
pub(super) fn all(results: &Results) -> Vec<(&'static str, String)> {
    let lines = [
        (
            "rules",
            "A first packet, by the number of rules",
            "rules",
            &["rules, acl, IPv4", "rules, acl, IPv6"][..],
        ),
        (
            "sets",
            "A packet from a listed address, by the length of the list",
            "addresses",
            &["addresses, hit"],
        ),
        (
            "flows",
            "A packet of a live flow, by the number of flows",
            "flows",
            &["live flows, IPv4", "live flows, IPv6"],
        ),
    ];
    let mut drawings = Vec::new();
    for (file, title, across, series) in lines {
        let lines: Vec<_> = series
            .iter()
            .flat_map(|series| lines_of(results, series))
            .collect();
        drawings.push((file, chart(title, across, &lines)));
    }
    drawings.push(("wire", bars(results)));
    drawings
}

fn cases<'a>(results: &'a Results, series: &'a str) -> impl Iterator<Item = &'a Case> {
    let cases = results.rows.iter().flat_map(|row| &row.cases);
    cases.filter(move |case| case.series.as_deref() == Some(series))
}

/// A line for each candidate that a series has.
fn lines_of(results: &Results, series: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let family = series.rsplit(", ").next().unwrap_or_default();
    for case in cases(results, series) {
        for entry in case.entries.iter().filter(|entry| is_drawn(entry)) {
            let name = format!("{}, {family}", label(entry));
            #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^52")]
            let point = (case.size as f64, entry.figure.median);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line {
                    name,
                    points: vec![point],
                }),
            }
        }
    }
    lines
}

/// Whether the entry is a candidate: not our own figure of another case.
fn is_drawn(entry: &Entry) -> bool {
    entry.figure.median > 0.0 && !["IPv4", "10 rules", "incoming"].contains(&entry.who.as_str())
}

fn label(entry: &Entry) -> String {
    format!("{}{}", entry.who, if entry.scaled { "*" } else { "" })
}

/// Place of a value between two powers of ten, from 0 to 1.
fn logarithmic(value: f64, (least, most): (f64, f64)) -> f64 {
    (value.log10() - least) / (most - least)
}

/// The powers of ten around values.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| {
        (least.min(value.log10()), most.max(value.log10()))
    });
    if least > most {
        return (0.0, 1.0);
    }
    (least.floor(), most.ceil().max(least.floor() + 1.0))
}

/// The exponents of a range of decades.
fn exponents((least, most): (f64, f64)) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(least), |exponent| Some(exponent + 1.0)).take_while(move |it| *it <= most)
}

fn head(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{title}</text>\n"
    )
}

/// Nanoseconds over a size, both by powers of ten.
fn chart(title: &str, across: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (xs, ys) = (
        decades(points().map(|point| point.0)),
        decades(points().map(|point| point.1)),
    );
    let x = |value: f64| LEFT + logarithmic(value, xs) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - logarithmic(value, ys) * (HEIGHT - TOP - BOTTOM);
    let mut text = head(&format!("{title} (ns, net of an empty program)"));
    for exponent in exponents(xs) {
        let (value, place) = (10_f64.powf(exponent), x(10_f64.powf(exponent)));
        let bottom = HEIGHT - BOTTOM;
        let _ = writeln!(
            text,
            "<path d=\"M{place:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            bottom + 18.0
        );
    }
    for exponent in exponents(ys) {
        let (value, place) = (10_f64.powf(exponent), y(10_f64.powf(exponent)));
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {place:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 6.0,
            place + 4.0
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<_> = line
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for point in &path {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
        }
        #[expect(clippy::cast_precision_loss, reason = "a drawing has a few lines")]
        let place = TOP + 14.0 + 18.0 * number as f64;
        let at = WIDTH - RIGHT + 12.0;
        let _ = writeln!(
            text,
            "<text x=\"{at}\" y=\"{place}\" fill=\"{colour}\">{}</text>",
            line.name
        );
    }
    let middle = LEFT.midpoint(WIDTH - RIGHT);
    let _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{across}</text>\n</svg>",
        HEIGHT - 12.0
    );
    text
}

/// Millions of frames a second that one processor drops, over veth.
fn bars(results: &Results) -> String {
    let wanted = ["addresses over veth", "prefixes over veth", "rules over veth"];
    let mut bars = Vec::new();
    for case in wanted.iter().flat_map(|series| cases(results, series)) {
        for entry in case.entries.iter().filter(|entry| is_drawn(entry)) {
            let name = format!("{}: {}", case.name, label(entry));
            bars.push((name, 1000.0 / entry.figure.median, entry.who.clone()));
        }
    }
    let most = bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a drawing has a few bars")]
    let height = TOP + 16.0 * bars.len() as f64 + 20.0;
    let mut text = head("Frames dropped over veth (millions a second, one processor)")
        .replace(&format!("{WIDTH} {HEIGHT}"), &format!("{WIDTH} {height}"));
    let mut candidates: Vec<String> = Vec::new();
    let mut place = TOP + 12.0;
    for (name, value, who) in &bars {
        if !candidates.contains(who) {
            candidates.push(who.clone());
        }
        let number = candidates.iter().position(|other| other == who).unwrap_or(0);
        let colour = COLOURS[number % COLOURS.len()];
        let (left, long) = (300.0, value / most * (WIDTH - 360.0));
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{place}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{left}\" y=\"{}\" width=\"{long:.1}\" height=\"11\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{place}\">{value:.2}</text>",
            left - 6.0,
            place - 10.0,
            left + long + 5.0
        );
        place += 16.0;
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results() -> Results {
        let entry = |who: &str, median: f64| {
            let figure = json!({ "median": median, "lower": 1, "upper": 9, "rounds": [] });
            json!({ "who": who, "figure": figure, "scaled": false })
        };
        let case = |series: &str, size: u32, median: f64| {
            json!({ "name": series, "series": series, "size": size, "unit": "nanoseconds", "note": null,
                "entries": [entry("firewall-agent", median), entry("IPv4", 1.0)], "checks": [] })
        };
        let cases = [
            case("rules, acl, IPv4", 10, 50.0),
            case("rules, acl, IPv4", 1000, 90.0),
            case("rules over veth", 1000, 200.0),
        ];
        serde_json::from_value(json!({
            "machine": { "kernel": "", "processor": "", "processors": 2 }, "peers": {}, "rounds": 5,
            "rows": [{ "number": 4, "what": "", "cases": cases }],
        }))
        .unwrap()
    }

    #[test]
    fn a_series_is_a_line_for_each_candidate() {
        let lines = lines_of(&results(), "rules, acl, IPv4");
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].points.len(), 2);
        assert!(lines_of(&results(), "no such series").is_empty());
    }

    #[test]
    fn every_drawing_is_whole_also_without_figures() {
        for results in [results(), Results::default()] {
            for (name, text) in all(&results) {
                assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"), "{name}");
                assert!(!text.contains("NaN") && !text.contains("inf"), "{name}: {text}");
            }
        }
    }

    #[test]
    fn values_stand_between_their_decades() {
        assert_eq!(decades([12.0, 900.0].into_iter()), (1.0, 3.0));
        assert!((logarithmic(100.0, (1.0, 3.0)) - 0.5).abs() < 1e-9);
        assert!(bars(&results()).contains("5.00"));
    }
}
