//! Prints what the packets that matter most execute, look up and touch on their way through the programs, counted by an
//! interpreter. Needs root.
//!
//! `paths --limits` prints the limits that `tests/paths.txt` sets them, `paths --lines WORDS` the lines of the source whose
//! instructions the packet of this name has executed most of.

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use firewall_tests::{
    interpreter::Walk,
    paths::{Path, limits_text, paths},
};

/// What stands above the limits.
const LIMITS_HEAD: &str = "\
# Most instructions that packets of a kind may execute, counted by an interpreter over the eBPF object (look-ups in maps
# are one instruction). `cargo run --bin paths -- --limits` prints this file anew, with some room above what they take.
";

fn main() {
    let paths = paths();
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--limits") => print!("{LIMITS_HEAD}{}", limits_text(&paths)),
        Some("--lines") => {
            let wanted = arguments.next().unwrap_or_default();
            for path in paths.iter().filter(|path| path.name.contains(&wanted)) {
                print_lines(path);
            }
        }
        _ => print_table(&paths),
    }
}

fn print_lines(path: &Path) {
    println!("{} instructions: {}", path.walk.instructions, path.name);
    let mut lines: Vec<_> = path.walk.sources.iter().collect();
    lines.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (line, count) in lines {
        println!("{count:6}  {line}");
    }
}

fn print_table(paths: &[Path]) {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "packet",
        "instructions",
        "programs",
        "look-ups",
        "other helpers",
        "lines touched, by map",
    ]);
    for Path { name, walk } in paths {
        table.add_row([
            Cell::new(name),
            Cell::new(walk.instructions).set_alignment(CellAlignment::Right),
            Cell::new(programs(walk)),
            Cell::new(walk.look_ups.values().sum::<u32>()).set_alignment(CellAlignment::Right),
            Cell::new(listed(&walk.helpers)),
            Cell::new(listed(&walk.lines)),
        ]);
    }
    println!("{table}");
}

/// The programs behind the entry, without what their names begin with.
fn programs(walk: &Walk) -> String {
    let short = |name: &String| {
        let name = name.trim_start_matches("fw_");
        let name = name
            .strip_prefix("in_")
            .or_else(|| name.strip_prefix("out_"))
            .unwrap_or(name);
        name.to_owned()
    };
    walk.programs.iter().map(short).collect::<Vec<_>>().join(" ")
}

fn listed<K: std::fmt::Display, V: std::fmt::Display>(counts: &std::collections::BTreeMap<K, V>) -> String {
    let words: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(", ")
}
