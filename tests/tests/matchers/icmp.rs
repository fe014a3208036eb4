//! ICMP messages by type and code. Errors are judged by what they quote and never reach the rules; echo replies by
//! their request (see `packet_path`).

use crate::{
    matcher::Matcher,
    probe::{Payload, Probe},
};

const V4: &str = "10.0.0.2";
const V6: &str = "fd00::2";

fn messages(remote: &str, messages: &[(u8, u8)]) -> Vec<Probe> {
    let each = messages.iter();
    each.map(|(kind, code)| Probe::new(remote, Payload::Icmp(*kind, *code)))
        .collect()
}

fn check(rule: &'static str, hits: Vec<Probe>, misses: Vec<Probe>) {
    Matcher { rule, hits, misses }.check();
}

#[test]
fn s32_a_message_by_name_is_of_one_family() {
    let others = [
        messages(V4, &[(9, 0), (13, 0)]),
        messages(V6, &[(128, 0), (138, 0)]),
    ]
    .concat();
    check(
        "VERDICT = \"icmp/echo-request\"\nWHO = \"any\"",
        messages(V4, &[(8, 0)]),
        others,
    );
    let others = [messages(V6, &[(138, 0), (139, 0)]), messages(V4, &[(8, 0)])].concat();
    check(
        "VERDICT = \"icmpv6/echo-request\"\nWHO = \"any\"",
        messages(V6, &[(128, 0)]),
        others,
    );
}

#[test]
fn ping_is_both() {
    check(
        "VERDICT = \"ping\"\nWHO = \"any\"",
        [messages(V4, &[(8, 0)]), messages(V6, &[(128, 0)])].concat(),
        [
            messages(V4, &[(13, 0), (128, 0)]),
            messages(V6, &[(138, 0), (139, 0)]),
        ]
        .concat(),
    );
}

#[test]
fn a_type_has_every_code_and_a_code_is_one() {
    check(
        "VERDICT = \"icmp/13\"\nWHO = \"any\"",
        messages(V4, &[(13, 0), (13, 1), (13, 255)]),
        messages(V4, &[(14, 0), (15, 0)]),
    );
    check(
        "VERDICT = \"icmp/13/7\"\nWHO = \"any\"",
        messages(V4, &[(13, 7)]),
        messages(V4, &[(13, 6), (13, 8), (14, 7)]),
    );
    check(
        "VERDICT = \"icmpv6/139/1\"\nWHO = \"any\"",
        messages(V6, &[(139, 1)]),
        messages(V6, &[(139, 0), (139, 2), (140, 1), (138, 1)]),
    );
}

#[test]
fn ranges_of_types() {
    check(
        "VERDICT = \"icmp/13-18\"\nWHO = \"any\"",
        messages(V4, &[(13, 0), (15, 9), (18, 255)]),
        messages(V4, &[(10, 0), (19, 0)]),
    );
    check(
        "VERDICT = \"icmpv6/144-147\"\nWHO = \"any\"",
        messages(V6, &[(144, 0), (147, 255)]),
        messages(V6, &[(142, 0), (148, 0)]),
    );
}

#[test]
fn all_messages_of_a_family() {
    check(
        "VERDICT = \"icmp\"\nWHO = \"any\"",
        messages(V4, &[(8, 0), (13, 3), (255, 255)]),
        messages(V6, &[(128, 0), (139, 0)]),
    );
    check(
        "VERDICT = \"icmpv6\"\nWHO = \"any\"",
        messages(V6, &[(128, 0), (139, 0), (255, 255)]),
        messages(V4, &[(8, 0), (13, 0)]),
    );
}
