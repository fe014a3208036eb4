//! What a packet executes on its way grows unseen, since no clock of a test is fine enough.

use firewall_tests::paths::{exceeded, limits, paths};

const LIMITS: &str = include_str!("../../paths.txt");

#[test]
fn packets_stay_within_the_instructions_of_their_paths() {
    let paths = paths();
    let limits = limits(LIMITS).expect("limits can be read");
    let found = exceeded(&paths, &limits);
    assert!(
        found.is_empty(),
        "{}\nif that is meant: cargo run --bin paths -- --limits > tests/paths.txt",
        found.join("\n")
    );
    // A limit that a path has just reached is noticed.
    for path in &paths {
        let mut lower = limits.clone();
        *lower.get_mut(&path.name).expect("a limit") = path.walk.instructions - 1;
        assert_eq!(exceeded(&paths, &lower).len(), 1, "{}", path.name);
    }
}

#[test]
fn a_live_flow_asks_no_helper_and_one_table_of_flows() {
    for path in paths().iter().filter(|path| path.name.contains("live flow")) {
        let walk = &path.walk;
        assert_eq!(walk.programs.len(), 1, "{}: {walk:?}", path.name);
        assert_eq!(walk.look_ups["FLOWS"], 1, "{}: {walk:?}", path.name);
        assert_eq!(walk.lines["FLOWS"], 1, "{}: {walk:?}", path.name);
        // The kernel makes one instruction of it.
        let helpers: Vec<_> = walk.helpers.keys().copied().collect();
        assert_eq!(helpers, ["jiffies64"], "{}", path.name);
    }
}
