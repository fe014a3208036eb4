//! What is not as it should be, found with and without an agent.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{Site, WEB};

/// The findings of a check that have weight.
fn weighty(site: &Site, check: &str) -> Vec<String> {
    let ended = site.fwctl("doctor --json");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let has_weight = |finding: &&Value| {
        let level = finding["level"].as_str();
        level == Some("problem") || level == Some("warning")
    };
    let findings = report["findings"].as_array().expect("findings");
    let weighty = findings.iter().filter(has_weight);
    let all: Vec<&Value> = weighty.collect();
    assert_eq!(ended.code, Some(i32::from(!all.is_empty())), "{ended:?}");
    for finding in &all {
        assert!(finding["advice"].is_string(), "each says what to do: {finding}");
    }
    let of_check = all.into_iter().filter(|finding| finding["check"] == check);
    of_check
        .map(|finding| finding["finding"].as_str().expect("a sentence").to_owned())
        .collect()
}

#[test]
fn drift_is_found_between_files_agent_and_kernel() {
    let mut site = Site::new();
    site.server.ip("link set dev eth0 mtu 1400").expect("it is set");
    site.start();
    for check in ["agent", "policy", "interface", "drift", "table", "drops"] {
        assert_eq!(weighty(&site, check), [""; 0], "{check}");
    }
    let all = site.fwctl("doctor --all").stdout;
    assert!(
        all.contains("eth0 is filtered in generic mode (native XDP on veth"),
        "{all}"
    );
    assert!(
        all.contains("the kernel holds what the policy in force makes"),
        "{all}"
    );

    assert!(
        all.contains("eth0: frames of up to 1400 bytes reach XDP whole (driver veth)"),
        "of this network namespace, whatever is called eth0 elsewhere: {all}"
    );
    assert!(all.contains("eth0: the policy needs no VLAN tags"), "{all}");

    // The agent switches the offload off for a policy that goes by tags; somebody switches it on again.
    let tagged = "\n[[rule]]\nname = \"tagged\"\nallow = \"tcp/8443\"\nfrom = \"any\"\nvlan = 10\n";
    site.write("web.toml", &format!("{WEB}{tagged}"));
    site.said("reload");
    assert_eq!(weighty(&site, "interface"), [""; 0]);
    assert!(
        site.fwctl("doctor --all")
            .stdout
            .contains("eth0: VLAN tags reach the programs")
    );
    let mut ethtool = site.server.command("ethtool");
    let switched = ethtool.args(["-K", "eth0", "rxvlan", "on"]).status();
    assert!(switched.expect("ethtool is installed").success());
    let offload = weighty(&site, "interface");
    assert!(
        offload.len() == 1 && offload[0].contains("the device takes VLAN tags off"),
        "{offload:?}"
    );
    site.write("web.toml", WEB);
    site.said("reload");
    assert_eq!(
        weighty(&site, "interface"),
        [""; 0],
        "nothing needs them any more"
    );

    site.write("web.toml", &format!("{WEB}\n# more\n"));
    let drift = weighty(&site, "drift");
    assert!(
        drift.len() == 1 && drift[0].contains("web.toml (changed, pending)"),
        "{drift:?}"
    );
    site.write("web.toml", WEB);
    assert_eq!(weighty(&site, "drift"), [""; 0]);

    site.end(Signal::SIGKILL);
    let agent = weighty(&site, "agent");
    assert!(
        agent.len() == 1 && agent[0].contains("cannot reach the agent"),
        "{agent:?}"
    );
}
