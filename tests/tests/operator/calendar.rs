//! Somebody puts the wall clock forward and back: what has an end ends when it was to by the kernel's clock, and the
//! history is in order.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{STRANGER, Site};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Beyond which a rule of some seconds has surely been taken out.
const PATIENCE: Duration = Duration::from_secs(30);

fn entries(site: &Site) -> Vec<Value> {
    let history = site.json("history");
    assert_eq!(history["faults"], 0, "{history}");
    history["entries"].as_array().expect("entries").clone()
}

/// The seconds that a rule has left, by the kernel's clock.
fn left(site: &Site, name: &str) -> Option<u64> {
    let status = site.json("status");
    let rules = status["timed_rules"].as_array()?.iter();
    let mut rules = rules.filter(|rule| rule["name"] == name);
    rules.next()?["seconds_left"].as_u64()
}

fn about_an_hour(site: &Site, name: &str, when: &str) {
    let left = left(site, name).unwrap_or_else(|| panic!("{name} is gone {when}"));
    assert!((3400..=3600).contains(&left), "{name} {when}: {left}");
}

#[test]
fn entries_of_the_history_are_in_the_order_of_their_numbers_and_hold() {
    let mut site = Site::started();
    for (ahead, words) in [
        (0, "rule add one --allow tcp/1 --from any"),
        (-DAY, "rule add two --allow tcp/2 --from any"),
        (2 * DAY, "ban 203.0.113.66 --for 1h"),
        (-400 * DAY, "rule add three --allow tcp/3 --from any"),
        (HOUR, "panic"),
        (-HOUR, "panic off"),
    ] {
        site.step_calendar(ahead);
        site.said(words);
    }
    let check = |site: &Site| {
        let entries = entries(site);
        let numbers: Vec<u64> = entries
            .iter()
            .filter_map(|entry| entry["number"].as_u64())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
        let times: Vec<&str> = entries.iter().filter_map(|entry| entry["at"].as_str()).collect();
        assert!(
            times[2] < times[1] && times[4] < times[3] && times[4] < times[0],
            "they say when the calendar said it was: {times:?}"
        );
        assert!(site.said("history verify").contains("ok:"));
        let text = site.said("history");
        let place = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word}: {text}"));
        assert!(place("panic-off") > place("ban"), "{text}");
        assert_eq!(site.json("status")["history"]["number"], 7);
    };
    check(&site);
    for ahead in [-30 * DAY, 30 * DAY] {
        site.end(Signal::SIGKILL);
        site.start_with_calendar(ahead);
        check(&site);
        assert_eq!(site.json("status")["notes"], Value::Array(Vec::new()));
    }
    // A former revision is found by its number, whenever it says that it was made.
    site.said("rollback 2 --no-confirm");
    let names = site.said("rule list");
    assert!(names.contains("one") && !names.contains("two"), "{names}");
    site.said("history cut --before 3");
    assert!(site.said("history verify").contains("ok:"));
    let numbers = entries(&site).into_iter().map(|entry| entry["number"].clone());
    assert_eq!(numbers.collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn rules_and_bans_end_by_the_kernels_clock() {
    let mut site = Site::started();
    let _listener = site.listen(8080);
    site.said("rule add long --allow tcp/8443 --from any --for 1h");
    site.said("rule add off --allow tcp/8444 --from any --for 1h");
    site.said("rule disable off");
    site.said("ban 203.0.113.66 --for 1h");
    for ahead in [3 * HOUR, -3 * HOUR, 400 * DAY, 0] {
        let when = format!("{ahead} seconds ahead");
        site.step_calendar(ahead);
        for name in ["long", "off"] {
            about_an_hour(&site, name, &when);
        }
        site.end(Signal::SIGKILL);
        site.start_with_calendar(ahead);
        for name in ["long", "off"] {
            about_an_hour(&site, name, &format!("after a restart {when}"));
        }
        let ban = &site.json("ban list")["bans"][0];
        assert!(
            ban["seconds_left"]
                .as_u64()
                .is_some_and(|left| (3400..=3600).contains(&left)),
            "{when}: {ban}"
        );
        // What is switched on again has what is left of its time.
        site.said("rule enable off");
        about_an_hour(&site, "off", &when);
        site.said("rule disable off");
    }

    let began = Instant::now();
    site.said("rule add short --allow tcp/8080 --from any --for 8s");
    site.step_calendar(DAY);
    assert!(
        site.connect(STRANGER, 8080).is_some(),
        "a step forward cuts nothing"
    );
    site.end(Signal::SIGKILL);
    site.start_with_calendar(-DAY);
    if began.elapsed() < Duration::from_secs(6) {
        assert!(site.connect(STRANGER, 8080).is_some(), "nor does a restart");
    }
    thread::sleep(Duration::from_secs(10).saturating_sub(began.elapsed()));
    assert!(
        site.connect(STRANGER, 8080).is_none(),
        "a step back extends nothing"
    );
    let is_gone = || !site.said("rule list").contains("short");
    assert!(wait_until(PATIENCE, is_gone), "and it is taken out");
    about_an_hour(&site, "long", "then");
}

#[test]
fn after_a_reboot_the_calendar_decides_and_never_for_longer_than_was_said() {
    for (ahead, expected) in [(HOUR / 2, Some(1800)), (-DAY, Some(3600)), (2 * HOUR, None)] {
        let mut site = Site::started();
        let _listener = site.listen(8080);
        site.said("rule add debug --allow tcp/8080 --from any --for 1h");
        site.reboot();
        // The kernel's clock of another boot says nothing.
        let ends = site.path("state/ends.json");
        let text = fs::read_to_string(&ends).expect("written");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("there");
        assert!(text.contains(boot.trim()), "{text}");
        fs::write(&ends, text.replace(boot.trim(), "another")).expect("ours");
        site.start_with_calendar(ahead);
        if let Some(seconds) = expected {
            let left = left(&site, "debug").expect("it holds");
            assert!((seconds - 60..=seconds).contains(&left), "{ahead}: {left}");
            assert!(site.connect(STRANGER, 8080).is_some(), "{ahead}");
        } else {
            assert!(site.connect(STRANGER, 8080).is_none(), "it is over");
            let is_gone = || !site.said("rule list").contains("debug");
            assert!(wait_until(PATIENCE, is_gone), "and taken out");
        }
        assert!(site.said("history verify").contains("ok:"));
    }
}
