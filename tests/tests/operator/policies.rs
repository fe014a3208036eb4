//! Policies on the kernel.

use std::{fmt::Write, time::Instant};

use crate::site::{MANAGER, MANAGER_V6, STRANGER, Site, WEB};

#[test]
fn a_thousand_rules_work() {
    let site = Site::started();
    let mut text = WEB.to_owned();
    for number in 0..1000 {
        // Every second one is a drop, so that no rule can stand in for another.
        let (verdict, port) = (if number % 2 == 0 { "allow" } else { "drop" }, 10_000 + number);
        write!(
            text,
            "\n[[rule]]\nname = \"rule-{number}\"\n{verdict} = [\"tcp/{port}\", \"udp/{port}\"]\nfrom = \"management\"\n"
        )
        .expect("a string takes everything");
    }
    site.write("web.toml", &text);
    let start = Instant::now();
    site.said("reload");
    println!("a reload with 1000 rules took {:?}", start.elapsed());
    assert_eq!(site.json("status")["rules"], 1003);
    for (number, opens) in [
        (0, true),
        (1, false),
        (500, true),
        (501, false),
        (998, true),
        (999, false),
    ] {
        let port = 10_000 + number;
        let rule = format!("rule-{number}");
        let _listener = site.listen(port);
        for from in [MANAGER, MANAGER_V6] {
            let before = site.packets(&rule);
            assert_eq!(site.connect(from, port).is_some(), opens, "{rule} from {from}");
            assert!(site.packets(&rule) > before, "{rule} from {from}");
        }
        let before = site.packets(&rule);
        assert!(site.connect(STRANGER, port).is_none());
        assert_eq!(site.packets(&rule), before, "{rule} is about the management");
    }
    let start = Instant::now();
    site.said("rule delete rule-500");
    println!("deleting one of 1000 rules took {:?}", start.elapsed());
    let _listener = site.listen(10_500);
    assert!(site.connect(MANAGER, 10_500).is_none());
}

#[test]
fn a_kernel_that_forwards_for_nobody_is_warned_of() {
    let site = Site::started();
    let check = format!("check --settings {}", site.settings.display());
    assert!(!site.said(&check).contains("FW038"));
    site.server.sysctl("net/ipv4/ip_forward", "1").expect("root may");
    assert!(site.said(&check).contains("FW038"), "{}", site.said(&check));
    site.write(
        "web.toml",
        &format!("{WEB}\n[forwarded]\nnetworks = [\"172.17.0.0/16\"]\n"),
    );
    assert!(!site.said(&check).contains("FW038"));
    assert!(!site.said("reload").contains("FW038"));
}
