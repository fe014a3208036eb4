//! A policy of 10,000 rules. Without optimisation, where each command takes many times as long, it is of fewer: the seconds
//! are those of `cargo test --release --package firewall-tests --test operator large -- --nocapture`.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use crate::site::{STRANGER, Site, WEB};

const RULES: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

/// What any command may take.
const PATIENCE: Duration = Duration::from_mins(1);

fn policy() -> String {
    let mut text = WEB.to_owned();
    for number in 0..RULES {
        let (high, low) = (number / 250, number % 250 + 1);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[rule]]\nname = \"r{number}\"\nallow = \"tcp/{}\"\nfrom = \"198.18.{high}.{low}\"\n",
            2000 + number % 5000
        );
    }
    text
}

#[test]
fn many_rules_go_through_every_command() {
    let last = format!("r{}", RULES - 1);
    let site = Site::started();
    let _listener = site.listen(443);
    let candidate = site.path("web.toml");
    std::fs::write(&candidate, policy()).expect("ours");
    let candidate = candidate.display();
    let mut times = Vec::new();
    let mut does = |words: &str, expected: &str| {
        let start = Instant::now();
        let said = site.said(words);
        let took = start.elapsed();
        assert!(
            said.contains(expected),
            "{words}: {}",
            &said[..said.len().min(2000)]
        );
        times.push(format!("{:>6.2} s  {words}", took.as_secs_f64()));
        assert!(took < PATIENCE, "{words} took {took:?}");
    };
    does(&format!("plan {candidate}"), &format!("+ rule {last}"));
    does(
        &format!("apply --confirm 10m {candidate} -m many"),
        "not confirmed:",
    );
    does("confirm", "revision 2");
    does("status", &format!("{} rules", RULES + 3));
    does("rule list", &last);
    does(&format!("rule show {last}"), "198.18.");
    does("diff 1 2", &format!("+ rule {last}"));
    does("rule disable r500", "revision 3");
    does("history", "many");
    does("rollback 1 --no-confirm", "revision 4");
    does("history verify", "ok:");
    println!("{}", times.join("\n"));
    assert!(site.connect(STRANGER, 443).is_some());
    assert_eq!(site.read("web.toml"), WEB);
}
