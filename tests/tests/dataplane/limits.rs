//! What the verifier walks through grows unseen, until a kernel refuses a program.

use firewall_tests::verifier::{costs, exceeded, limits};

const LIMITS: &str = include_str!("../../limits.txt");

#[test]
fn programs_stay_within_their_limits() {
    let costs = costs(firewall_agent::OBJECT).expect("the verifier takes all programs");
    let limits = limits(LIMITS).expect("limits can be read");
    let found = exceeded(&costs, &limits);
    assert!(
        found.is_empty(),
        "{}\nif that is meant: cargo run --bin verify -- --limits > tests/limits.txt",
        found.join("\n")
    );
    // A limit that a program has just reached is noticed.
    for (name, cost) in &costs {
        let mut lower = limits.clone();
        lower.get_mut(name).expect("a limit").instructions = cost.instructions - 1;
        assert_eq!(exceeded(&costs, &lower).len(), 1, "{name}");
    }
}
