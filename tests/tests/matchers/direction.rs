//! Which way: it follows from who is named.

use crate::{
    matcher::{Host, judged},
    probe::{Probe, Way, both_families},
};

#[test]
fn a_rule_for_what_comes_in_is_none_for_what_goes_out() {
    let host = Host::new("[[rule]]\nname = \"in\"\nallow = \"tcp/443\"\nfrom = \"any\"\n");
    for probe in both_families(Probe::with) {
        assert_eq!(judged(&host, &probe, Way::In), "pass rule in");
        assert_eq!(judged(&host, &probe, Way::Out), "reject default");
    }
}

#[test]
fn a_rule_for_what_goes_out_is_none_for_what_comes_in() {
    let host = Host::new("[[rule]]\nname = \"out\"\nallow = \"tcp/443\"\nto = \"any\"\n");
    for probe in both_families(Probe::with) {
        assert_eq!(judged(&host, &probe, Way::Out), "pass rule out");
        assert_eq!(judged(&host, &probe, Way::In), "drop default");
    }
}

#[test]
fn each_way_has_its_default() {
    let host = Host::new("");
    for probe in both_families(Probe::with) {
        assert_eq!(judged(&host, &probe, Way::In), "drop default");
        assert_eq!(judged(&host, &probe, Way::Out), "reject default");
    }
}
