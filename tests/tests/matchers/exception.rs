//! "These, without those."

use crate::{matcher::Matcher, probe::each};

#[test]
fn a_network_without_some_of_its_hosts() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nWHO = [\"10.0.1.0/24\", \"fd00:0:0:1::/64\", \"not 10.0.1.64-10.0.1.66\", \"not fd00:0:0:1::66\"]",
        hits: each(&["10.0.1.0", "10.0.1.63", "10.0.1.67", "10.0.1.255", "fd00:0:0:1::65", "fd00:0:0:1::67"]),
        misses: each(&["10.0.1.64", "10.0.1.65", "10.0.1.66", "10.0.0.255", "10.0.2.0", "fd00:0:0:1::66"]),
    }
    .check();
}

#[test]
fn everybody_without_a_network() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nWHO = [\"any\", \"not 10.0.1.0/24\", \"not fd00:0:0:1::/64\"]",
        hits: each(&["10.0.0.255", "10.0.2.0", "1.0.0.0", "fd00::2", "fd00:0:0:2::"]),
        misses: each(&[
            "10.0.1.0",
            "10.0.1.255",
            "fd00:0:0:1::",
            "fd00:0:0:1:ffff:ffff:ffff:ffff",
        ]),
    }
    .check();
}
