//! Rules that end by themselves: on time, with the flows that they have let in, whether the agent lives or not.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{MANAGER, STRANGER, Site, WEB, exchange};

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

#[test]
fn it_is_edited_like_any_other_rule_and_ends_when_it_was_to() {
    let mut site = Site::started();
    let _listener = site.listen(8080);
    site.said("rule add debug --allow tcp/8080 --from any --for 1h -m chasing");
    let until = timed(&site, "debug")["until"].clone();
    let said = site.said("rule disable debug -m lunch");
    assert!(said.contains("timed-rules.toml"), "{said}");
    assert!(site.connect(STRANGER, 8080).is_none(), "switched off");
    for (words, parts) in [
        ("rule list", ["disabled: debug (timed-rules.toml:", ") ends in"]),
        ("rule show debug", ["ends in", "switched off"]),
        ("status", ["debug (switched off) ends in", "timed rules"]),
    ] {
        let said = site.said(words);
        assert!(parts.iter().all(|part| said.contains(part)), "{words}: {said}");
    }
    site.json("rule list");
    site.json("rule show debug");

    let lines = "rule enable debug\nrule replace debug --allow tcp/8080 --from 10.77.9.0/24\nrule move debug before site\n";
    fs::write(site.path("batch"), lines).expect("ours");
    site.said(&format!("edit --batch {}", site.path("batch").display()));
    assert!(site.connect(MANAGER, 8080).is_some() && site.connect(STRANGER, 8080).is_none());
    assert_eq!(timed(&site, "debug")["until"], until, "it keeps its end");
    let names = || -> Vec<Value> {
        let list = site.json("rule list");
        let rules = list["rules"].as_array().expect("rules").iter();
        rules.map(|rule| rule["name"].clone()).collect()
    };
    let at = |name: &str| names().iter().position(|known| known == name);
    assert_eq!(at("debug").map(|at| at + 1), at("site"));
    assert_eq!(site.read("web.toml"), WEB, "it stands in no policy file");

    site.end(Signal::SIGKILL);
    site.start();
    assert_eq!(timed(&site, "debug")["until"], until, "after a restart, too");
    let refused = site.fwctl("rule replace site --allow https --from any --for 1h");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("`site` stands in") && refused.stderr.contains("hint: leave out --for"),
        "{refused:?}"
    );

    let began = Instant::now();
    let said = site.said("rule replace debug --allow tcp/8080 --from any --for 7s");
    assert!(said.contains("changed rule debug until"), "{said}");
    let log = site.log();
    let line = log
        .lines()
        .find(|line| line.contains("\"message\":\"changed rule debug until"));
    assert!(
        line.is_some_and(|line| line.contains("\"rule\":\"debug\"")),
        "{line:?}"
    );
    assert!(site.connect(STRANGER, 8080).is_some());
    site.end(Signal::SIGKILL);
    thread::sleep(Duration::from_secs(9).saturating_sub(began.elapsed()));
    assert!(
        site.connect(STRANGER, 8080).is_none(),
        "nobody is there but the kernel"
    );
    site.start();
    let is_gone = || !site.said("rule list").contains("debug");
    assert!(wait_until(PATIENCE, is_gone), "it is taken out");
    let history = site.said("history");
    for part in ["rule-disable", "lunch", "edit", "rule-replace", "rule-end"] {
        assert!(history.contains(part), "{part}: {history}");
    }
    assert!(site.said("history verify").contains("ok:"));
}

#[test]
fn a_flow_is_listed_after_the_end_of_its_rule_and_goes_on_under_another() {
    let site = Site::started();
    let listener = site.listen(443);
    site.said("rule insert short before site --allow https --from any --for 4s");
    let mut client = site.connect(STRANGER, 443).expect("it is let in");
    let (mut server, _) = listener.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));
    let flows = || site.json("flows list --local-port 443");
    assert_eq!(flows()["flows"][0]["rule"], "short");
    assert!(flows()["flows"][0].get("rule_ended").is_none());
    let has_ended = || flows()["flows"][0]["rule_ended"] == true;
    assert!(wait_until(PATIENCE, has_ended), "{}", flows());
    assert_eq!(flows()["total"], 1, "{}", flows());
    let text = site.said("flows list --local-port 443");
    assert!(text.contains("(rule ended)"), "{text}");
    let port = client.local_addr().expect("an address").port();
    let explained = site.said(&format!("explain in tcp {STRANGER}:{port} 10.77.2.10:443"));
    for part in ["its rule has ended, so it is judged again", "site"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    assert!(exchange(&mut client, &mut server), "another rule lets it in");
    assert_eq!(flows()["flows"][0]["rule"], "site", "{}", flows());
    assert!(flows()["flows"][0].get("rule_ended").is_none());
}

/// A rule as it is listed.
fn timed(site: &Site, name: &str) -> Value {
    let list = site.json("rule list");
    let rules = list["rules"].as_array().expect("rules");
    let rule = rules.iter().find(|rule| rule["name"] == name);
    rule.expect("it is listed").clone()
}
