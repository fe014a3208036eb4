//! The remote address: source of what comes in, destination of what goes out.

use crate::{matcher::Matcher, probe::each};

fn check(rule: &'static str, hits: &[&str], misses: &[&str]) {
    Matcher {
        rule,
        hits: each(hits),
        misses: each(misses),
    }
    .check();
}

#[test]
fn s70_a_single_ipv4_address() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"10.0.1.128\"",
        &["10.0.1.128"],
        &["10.0.1.127", "10.0.1.129", "10.0.0.128", "11.0.1.128", "fd00::2"],
    );
}

#[test]
fn s70_ipv4_prefixes_at_their_edges() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"10.0.1.4/32\"",
        &["10.0.1.4"],
        &["10.0.1.3", "10.0.1.5"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"10.0.1.4/31\"",
        &["10.0.1.4", "10.0.1.5"],
        &["10.0.1.3", "10.0.1.6"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"10.0.1.0/24\"",
        &["10.0.1.0", "10.0.1.1", "10.0.1.254", "10.0.1.255"],
        &["10.0.0.255", "10.0.2.0"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"10.0.0.0/17\"",
        &["10.0.0.0", "10.0.127.255"],
        &["9.255.255.255", "10.0.128.0"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"64.0.0.0/2\"",
        &["64.0.0.0", "126.255.255.255"],
        &["63.255.255.255", "128.0.0.0"],
    );
}

#[test]
fn s70_all_of_ipv4() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"0.0.0.0/0\"",
        &[
            "1.0.0.0",
            "10.0.0.2",
            "126.255.255.255",
            "128.0.0.0",
            "223.255.255.255",
        ],
        &["fd00::2", "::2", "2001:db8::1"],
    );
}

#[test]
fn s70_a_range_of_ipv4_addresses() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"10.0.1.5-10.0.3.9\"",
        &["10.0.1.5", "10.0.1.255", "10.0.2.0", "10.0.3.9"],
        &["10.0.1.4", "10.0.3.10"],
    );
}

#[test]
fn s70_a_single_ipv6_address() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"fd00:0:0:1::8000\"",
        &["fd00:0:0:1::8000"],
        &[
            "fd00:0:0:1::7fff",
            "fd00:0:0:1::8001",
            "fd00:0:0:2::8000",
            "10.0.0.2",
        ],
    );
}

#[test]
fn s70_ipv6_prefixes_at_their_edges() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"fd00:0:0:1::4/128\"",
        &["fd00:0:0:1::4"],
        &["fd00:0:0:1::3", "fd00:0:0:1::5"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"fd00:0:0:1::4/127\"",
        &["fd00:0:0:1::4", "fd00:0:0:1::5"],
        &["fd00:0:0:1::3", "fd00:0:0:1::6"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"fd00:0:0:1:8000::/65\"",
        &["fd00:0:0:1:8000::", "fd00:0:0:1:ffff:ffff:ffff:ffff"],
        &["fd00:0:0:1:7fff:ffff:ffff:ffff", "fd00:0:0:2::"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"fd00:0:0:1::/64\"",
        &["fd00:0:0:1::", "fd00:0:0:1:ffff:ffff:ffff:ffff"],
        &["fd00::ffff:ffff:ffff:ffff", "fd00:0:0:2::"],
    );
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"2000::/3\"",
        &["2000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::"],
    );
}

#[test]
fn s70_all_of_ipv6() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"::/0\"",
        &["::2", "fd00::2", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["1.0.0.0", "10.0.0.2", "223.255.255.255"],
    );
}

#[test]
fn s70_a_range_of_ipv6_addresses_across_both_halves() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = \"fd00::ffff:ffff:ffff:fffe-fd00:0:0:1::1\"",
        &["fd00::ffff:ffff:ffff:fffe", "fd00:0:0:1::", "fd00:0:0:1::1"],
        &["fd00::ffff:ffff:ffff:fffd", "fd00:0:0:1::2"],
    );
}

#[test]
fn s70_a_list_of_both_families() {
    check(
        "VERDICT = \"tcp/443\"\nWHO = [\"10.0.1.1\", \"10.0.1.3\", \"10.0.2.0/23\", \"fd00::7\"]",
        &["10.0.1.1", "10.0.1.3", "10.0.2.0", "10.0.3.255", "fd00::7"],
        &[
            "10.0.1.0",
            "10.0.1.2",
            "10.0.1.4",
            "10.0.1.255",
            "10.0.4.0",
            "fd00::6",
            "fd00::8",
        ],
    );
}
