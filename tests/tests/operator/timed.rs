//! Rules that end by themselves: on time, with the flows that they have let in, whether the agent lives or not.

use std::{
    thread,
    time::{Duration, Instant},
};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{STRANGER, Site, exchange};

/// Beyond which a rule of some seconds has surely been taken out.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_rule_ends_on_time_with_its_flows_and_with_the_agent_dead() {
    let mut site = Site::started();
    let (debug, web) = (site.listen(8080), site.listen(443));
    let mut lasting = site.connect(STRANGER, 443).expect("the site is open");
    let (mut of_lasting, _) = web.accept().expect("it has come");
    assert!(site.connect(STRANGER, 8080).is_none(), "nothing lets it in yet");

    site.said("rule insert longer before site --allow tcp/8443 --from any --for 1h");
    let until = timed(&site, "longer")["until"].clone();
    let explained = site.said(&format!("explain in tcp {STRANGER}:50000 10.77.2.10:8443"));
    assert!(
        explained.contains("longer") && explained.contains("ends in"),
        "{explained}"
    );
    assert!(site.said("status").contains("longer ends in"));
    assert!(site.said("rule show longer").contains("ends in"));
    assert!(
        timed(&site, "site").get("seconds_left").is_none(),
        "this one has no end"
    );

    let began = Instant::now();
    let said = site.said("rule add debug --allow tcp/8080 --from any --for 7s -m chasing");
    assert!(said.contains("added rule debug until"), "{said}");
    let mut client = site.connect(STRANGER, 8080).expect("the rule lets it in");
    let (mut server, _) = debug.accept().expect("it has come");
    site.end(Signal::SIGKILL);
    if began.elapsed() < Duration::from_secs(6) {
        assert!(exchange(&mut client, &mut server), "it holds with the agent dead");
    }
    thread::sleep(Duration::from_secs(9).saturating_sub(began.elapsed()));
    assert!(!exchange(&mut client, &mut server), "its flow ends with it");
    assert!(site.connect(STRANGER, 8080).is_none(), "and none is opened");
    assert!(
        exchange(&mut lasting, &mut of_lasting),
        "what a lasting rule has let in goes on"
    );
    assert!(site.connect(STRANGER, 443).is_some());

    // The next agent finds that it has ended, and says so.
    site.start();
    let is_listed = || site.said("rule list").contains("debug");
    assert!(wait_until(PATIENCE, || !is_listed()), "it is taken out");
    let history = site.said("history");
    assert!(
        history.contains("rule-add") && history.contains("rule-end"),
        "{history}"
    );
    assert!(site.said("history verify").contains("ok:"));
    assert_eq!(site.json("status")["pending"], false);
    let longer = timed(&site, "longer");
    assert_eq!(longer["until"], until, "a restart keeps the deadline");
    assert!(
        longer["seconds_left"].as_u64().is_some_and(|left| left < 3594),
        "{longer}"
    );
}

/// A rule as it is listed.
fn timed(site: &Site, name: &str) -> Value {
    let list = site.json("rule list");
    let rules = list["rules"].as_array().expect("rules");
    let rule = rules.iter().find(|rule| rule["name"] == name);
    rule.expect("it is listed").clone()
}
