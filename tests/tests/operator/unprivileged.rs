//! The agent as its unit runs it: by a user of its own with the unit's capabilities, and nothing else.

use std::os::unix::fs::{MetadataExt, chown};

use nix::sys::signal::Signal;

use crate::site::{STRANGER, Site};

const UNIT: &str = include_str!("../../../firewall-agent/systemd/firewall-agent.service");

/// A user that is nobody.
const USER: u32 = 64_999;

/// The capabilities of the unit, as `setpriv` calls them.
fn capabilities() -> Vec<String> {
    let value = |key: &str| {
        let line = UNIT.lines().find_map(|line| line.strip_prefix(key));
        line.expect("the unit says it").to_owned()
    };
    let ambient = value("AmbientCapabilities=");
    assert_eq!(ambient, value("CapabilityBoundingSet="));
    let names = ambient.split(' ').map(|name| name.trim_start_matches("CAP_"));
    names.map(str::to_lowercase).collect()
}

#[test]
fn the_units_user_and_capabilities_are_enough() {
    let mut site = Site::new();
    site.run_as(USER, &capabilities());
    // As an editor leaves it that root has run.
    chown(site.policy_file("web.toml"), Some(0), Some(0)).expect("root may");
    let (_site, _more) = (site.listen(443), site.listen(8080));
    site.start();
    let status = site.json("status");
    assert_eq!(status["enforcing"], "policy", "{status}");
    assert_eq!(status["notes"], serde_json::json!([]), "{status}");
    assert!(site.connect(STRANGER, 443).is_some() && site.connect(STRANGER, 8080).is_none());

    site.said("rule add debug --allow tcp/8080 --from any");
    assert!(site.connect(STRANGER, 8080).is_some());
    let file = site.policy_file("web.toml").metadata().expect("it is there");
    assert_eq!((file.uid(), file.mode() & 0o777), (USER, 0o644));
    site.said(&format!("ban {STRANGER} --for 1h"));
    assert!(site.connect(STRANGER, 443).is_none());
    site.said(&format!("unban {STRANGER}"));

    let generation = site.json("status")["generation"].clone();
    site.end(Signal::SIGKILL);
    site.start();
    let status = site.json("status");
    assert_eq!(status["generation"], generation, "it is taken over: {status}");
    assert_eq!(status["notes"], serde_json::json!([]), "{status}");
    assert!(site.connect(STRANGER, 8080).is_some());
    site.end(Signal::SIGTERM);
    let unloaded = site.unload();
    assert_eq!(unloaded.code, Some(0), "{unloaded:?}");
    assert!(!site.is_attached("eth0") && !site.pins().exists());
}

#[test]
fn with_a_capability_less_the_agent_says_which_it_needs() {
    let mut site = Site::new();
    for missing in ["bpf", "net_admin", "perfmon"] {
        let mut left = capabilities();
        left.retain(|capability| capability != missing);
        site.run_as(USER, &left);
        let ended = site.try_to_run();
        assert_eq!(ended.code, Some(1), "{missing}: {ended:?}");
        assert!(
            ended
                .stderr
                .contains("hint: it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"),
            "{missing}: {ended:?}"
        );
        assert!(!site.is_attached("eth0"), "{missing}");
    }
}
