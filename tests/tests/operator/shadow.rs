//! A candidate beside the policy in force.

use std::{thread::sleep, time::Duration};

use serde_json::Value;

use crate::site::{STRANGER, Site, WEB};

#[test]
fn a_shadow_run_tells_what_would_be_let_in_and_kept_out_and_changes_nothing() {
    let site = Site::started();
    let (_site, _more) = (site.listen(443), site.listen(8080));
    let generation = site.json("status")["generation"].clone();
    let candidate = site.path("web.toml");
    let other = WEB.replace("[\"http\", \"https\"]", "\"tcp/8080\"");
    std::fs::write(&candidate, other).expect("ours");
    let words = format!("shadow {} --for 5s --json", candidate.display());
    let ended = std::thread::scope(|scope| {
        let shadow = scope.spawn(|| site.fwctl(&words));
        sleep(Duration::from_secs(1));
        let _kept = site.connect(STRANGER, 443).expect("the policy in force decides");
        assert!(
            site.connect(STRANGER, 8080).is_none(),
            "the policy in force decides"
        );
        shadow.join().expect("it ends")
    });
    assert_eq!(ended.code, Some(1), "it is not clean: {ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let is = |groups: &Value, service: &str| {
        let groups = groups.as_array().expect("groups");
        groups.iter().any(|group| group["service"] == service)
    };
    assert!(is(&report["kept_out"], "in tcp 443"), "{report:#}");
    assert!(is(&report["let_in"], "in tcp 8080"), "{report:#}");
    assert!(!is(&report["kept_out"], "in tcp 8080") && !is(&report["let_in"], "in tcp 443"));
    let rules = report["rules"].as_array().expect("rules");
    let site_rule = rules
        .iter()
        .find(|rule| rule["decider"] == "rule site (web.toml:4)");
    assert_eq!(site_rule.expect("it decides")["newly_let_in"], 1, "{report:#}");

    assert_eq!(site.json("status")["generation"], generation);
    assert!(site.connect(STRANGER, 8080).is_none() && site.read("web.toml") == WEB);
    let planned = site.said(&format!("plan {}", candidate.display()));
    assert!(
        planned.contains("refused lately, and would pass") && planned.contains("in tcp 8080"),
        "{planned}"
    );
    let words = format!("apply --require-shadow --no-confirm {}", candidate.display());
    let refused = site.fwctl(&words);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("was not clean"), "{refused:?}");
    // What is in force is clean beside itself.
    let _kept = site.connect(STRANGER, 443).expect("it is let in");
    site.said("shadow --for 1s");
    assert_eq!(site.fwctl("shadow --for 10m").code, Some(1), "that is too long");
}
