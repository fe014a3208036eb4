//! The layout of images. What they decide is compared with the naive evaluator in `tests/oracle.rs`.

use std::ops::RangeInclusive;

use firewall_common::{
    address::{Address, Family},
    classify::{self, MatchKey, verdict},
    compact::{CompactChain, CompactKey},
    image::{ChainDescriptor, NO_BLOCK, UNTAGGED},
    tables::{Image, SliceImage},
    verdict::{Verdict, VerdictRecord, verdict_flags},
    wire::protocol,
};

use super::*;
use crate::policy::model::{
    AddressSet, Defaults, Failsafe, Forwarded, LogRate, Matches, ProtocolMatch, Rule,
};

fn policy(rules: Vec<Rule>) -> ValidPolicy {
    ValidPolicy {
        role: "test".into(),
        host: None,
        settings: PolicySettings {
            defaults: Defaults {
                input: Action::Drop,
                output: Action::Reject,
                forward: Action::Drop,
            },
            timers: Timers::default(),
            interfaces: vec!["eth*".into()],
            forwarded: Forwarded::default(),
            tcp_midflow_pickup: false,
            keep_live_flows: false,
            allow_icmp_redirects: false,
            allow_source_routing: false,
            allowed_ether_types: Vec::new(),
        },
        failsafe: Failsafe::default(),
        rules,
        lists: Vec::new(),
    }
}

fn rule(name: &str) -> Rule {
    Rule {
        name: name.into(),
        origin: Origin {
            file: "test.toml".into(),
            line: 1,
            span: 0..0,
        },
        direction: Direction::In,
        matches: Matches {
            protocols: vec![ProtocolMatch::Any],
            source: None,
            destination: None,
            interfaces: None,
            vlans: None,
        },
        action: Action::Allow,
        log: None,
        owner: None,
        reason: None,
        review: None,
        term: None,
    }
}

fn to_port(name: &str, port: u16) -> Rule {
    let mut rule = rule(name);
    rule.matches.protocols = vec![ProtocolMatch::Ports {
        protocol: 6,
        source: vec![0..=u16::MAX],
        destination: vec![port..=port],
    }];
    rule
}

fn from_v4(name: &str, ranges: Vec<RangeInclusive<u32>>) -> Rule {
    let mut rule = rule(name);
    rule.matches.source = Some(AddressSet {
        v4: ranges,
        v6: Vec::new(),
    });
    rule
}

fn on_interface(name: &str, glob: &str) -> Rule {
    let mut rule = rule(name);
    rule.matches.interfaces = Some(vec![glob.into()]);
    rule
}

fn header_of(blocks: &[Block]) -> ImageHeader {
    bytemuck::pod_read_unaligned(&bytemuck::cast_slice(blocks)[..size_of::<ImageHeader>()])
}

fn chain_of(blocks: &[Block], chain: Chain) -> ChainDescriptor {
    bytemuck::cast(blocks[header_of(blocks).chains[chain as usize] as usize])
}

fn syn_to(port: u16) -> MatchKey {
    MatchKey {
        family: Family::V4,
        source: Address::from_v4([10, 0, 0, 1]),
        destination: Address::from_v4([10, 0, 0, 2]),
        protocol: 6,
        source_port: 40_000,
        destination_port: port,
        vlan: UNTAGGED,
        interface_slot: 0,
    }
}

fn judge(blocks: &[Block], chain: Chain, key: &MatchKey) -> VerdictRecord {
    let image = SliceImage(blocks);
    let header = classify::header(&image).expect("an image has a header");
    classify::classify(&image, &header, chain, key, 0).expect("the image is whole")
}

#[test]
fn an_empty_policy_decides_by_its_defaults() {
    let image = compile(&policy(Vec::new())).expect("compiles");
    let header = header_of(image.blocks());
    assert_eq!(header.magic, MAGIC);
    assert_eq!(header.abi_version, ABI_VERSION);
    assert_eq!(header.blocks as usize, image.blocks().len());
    assert_eq!(header.verdict_count, 3);
    for (chain, counter, verdict) in [
        (Chain::InputV4, 0, Verdict::Drop),
        (Chain::OutputV4, 1, Verdict::Reject),
        (Chain::ForwardV4, 2, Verdict::Drop),
    ] {
        let record = judge(image.blocks(), chain, &syn_to(22));
        assert_eq!((record.rule, record.verdict), (counter, verdict as u8));
        assert_eq!(record.flags, verdict_flags::DEFAULT);
    }
}

#[test]
fn the_same_policy_gives_the_same_bytes_and_another_one_another_hash() {
    let rules = || {
        (1..500)
            .map(|port| to_port(&format!("r{port}"), port * 3))
            .collect()
    };
    let (one, same) = (
        compile(&policy(rules())).expect("compiles"),
        compile(&policy(rules())).expect("compiles"),
    );
    assert_eq!(one.blocks(), same.blocks());
    assert_eq!(one.hash(), same.hash());

    let mut renamed: Vec<Rule> = rules();
    renamed[7].name = "other".into();
    assert_ne!(
        one.hash(),
        compile(&policy(renamed)).expect("compiles").hash(),
        "a name"
    );
    let mut slower = policy(rules());
    slower.settings.timers.icmp_seconds += 1;
    assert_ne!(one.hash(), compile(&slower).expect("compiles").hash(), "a timer");
}

#[test]
fn only_dimensions_in_use_have_tries() {
    let image = compile(&policy(vec![to_port("ssh", 22)])).expect("compiles");
    let used = |chain| chain_of(image.blocks(), chain).tries.map(|trie| trie != NO_BLOCK);
    assert_eq!(used(Chain::InputV4), [false, false, true, false, false]);
    assert_eq!(used(Chain::InputV6), [false, false, true, false, false]);
    assert_eq!(used(Chain::OutputV4), [false; 5]);
    assert_eq!(chain_of(image.blocks(), Chain::OutputV4).rules, 0);
}

#[test]
fn a_condition_of_one_family_gives_nothing_in_the_other() {
    let mut echo = rule("echo");
    echo.matches.protocols = vec![ProtocolMatch::Icmp4(vec![0x0800..=0x0800])];
    let image = compile(&policy(vec![from_v4("v4", vec![1..=1]), echo])).expect("compiles");
    assert_eq!(chain_of(image.blocks(), Chain::InputV4).rules, 2);
    assert_eq!(chain_of(image.blocks(), Chain::InputV6).rules, 0);
}

#[test]
fn a_range_over_everything_is_no_condition() {
    let image = compile(&policy(vec![from_v4("all", vec![0..=u32::MAX])])).expect("compiles");
    assert_eq!(chain_of(image.blocks(), Chain::InputV4).tries, [NO_BLOCK; 5]);
    assert_eq!(judge(image.blocks(), Chain::InputV4, &syn_to(1)).rule, 3);
}

#[test]
fn first_match_wins_across_block_boundaries() {
    let mut rules: Vec<Rule> = (1..=1100)
        .map(|port| to_port(&format!("r{port}"), port))
        .collect();
    rules.push(rule("rest"));
    let image = compile(&policy(rules)).expect("compiles");
    for (port, ordinal) in [
        (1, 3),
        (512, 514),
        (513, 515),
        (1100, 1102),
        (1101, 1103),
        (0, 1103),
    ] {
        assert_eq!(
            judge(image.blocks(), Chain::InputV4, &syn_to(port)).rule,
            ordinal,
            "port {port}"
        );
    }
}

#[test]
fn binding_numbers_the_rules_and_leaves_the_defaults() {
    let mut logged = to_port("logged", 443);
    logged.log = Some(LogRate { events_per_second: 7 });
    let image = compile(&policy(vec![to_port("ssh", 22), logged])).expect("compiles");
    assert_eq!(
        image
            .rules()
            .iter()
            .map(|rule| (rule.ordinal, &*rule.name))
            .collect::<Vec<_>>(),
        [(3, "ssh"), (4, "logged")]
    );
    let counters = |name: &str| if name == "ssh" { 900 } else { 17 };
    let bound = image.bind(&counters, []).expect("binds");
    assert_eq!(judge(bound.blocks(), Chain::InputV4, &syn_to(22)).rule, 900);
    let record = judge(bound.blocks(), Chain::InputV4, &syn_to(443));
    assert_eq!((record.rule, record.log_per_second), (17, 7));
    assert_eq!(judge(bound.blocks(), Chain::InputV4, &syn_to(80)).rule, 0);
    assert_eq!(bound.policy_hash(), image.hash());
    assert_eq!(bound.digest(), image.bind(&counters, []).expect("binds").digest());
}

#[test]
fn interface_rules_match_named_slots_only() {
    let image = compile(&policy(vec![
        on_interface("outside", "eth*"),
        on_interface("inside", "br-?"),
        to_port("anywhere", 22),
    ]))
    .expect("compiles");
    let ordinal = |name: &str| {
        let found = image.rules().iter().find(|rule| &*rule.name == name);
        found.map_or(0, |rule| rule.ordinal)
    };
    let mut bound = image.bind(&ordinal, [(1, "eth0"), (63, "br-1")]).expect("binds");
    let seen = |bound: &BoundImage, slot, port| {
        let key = MatchKey {
            interface_slot: slot,
            ..syn_to(port)
        };
        judge(bound.blocks(), Chain::InputV4, &key).rule
    };
    assert_eq!(seen(&bound, 1, 80), ordinal("outside"));
    assert_eq!(seen(&bound, 63, 80), ordinal("inside"));
    assert_eq!(seen(&bound, 2, 22), ordinal("anywhere"));
    for slot in [0, 2] {
        assert_eq!(seen(&bound, slot, 80), 0, "the default: slot {slot} has no name");
    }

    let patch = bound.interface_patch(2, Some("br-22")).expect("a slot");
    bound.apply(&patch);
    assert_eq!(seen(&bound, 2, 80), 0, "`?` is one character");
    let patch = bound.interface_patch(2, Some("eth7")).expect("a slot");
    bound.apply(&patch);
    assert_eq!(seen(&bound, 2, 80), ordinal("outside"));
    assert_eq!(seen(&bound, 1, 80), ordinal("outside"), "other slots stay");
    let patch = bound.interface_patch(2, None).expect("a slot");
    bound.apply(&patch);
    assert_eq!(seen(&bound, 2, 80), 0);
}

#[test]
fn slots_outside_the_table_are_refused() {
    let image = compile(&policy(vec![on_interface("outside", "eth*")])).expect("compiles");
    for slot in [0, 64, 255] {
        let error = image.bind(&|_| 3, [(slot, "eth0")]).expect_err("no such slot");
        assert_eq!(error, BindError::InterfaceSlot { slot });
    }
}

#[test]
fn settings_reach_the_header() {
    let mut policy = policy(Vec::new());
    policy.settings.keep_live_flows = true;
    policy.settings.allowed_ether_types = vec![0x88f7];
    policy.failsafe.management_ports = vec![22, 2222];
    policy.failsafe.management_sources.v4 = vec![5..=9, 12..=12];
    let image = compile(&policy).expect("compiles");
    let header = header_of(image.blocks());
    assert_eq!(header.flags, image_flags::KEEP_LIVE_FLOWS);
    assert_eq!(header.ether_types, [0x88f7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(header.management_ports, [22, 2222, 0, 0]);
    assert_eq!(header.management_v6, NO_BLOCK);
    for (address, member) in [
        (0, 0),
        (4, 0),
        (5, 1),
        (9, 1),
        (10, 0),
        (11, 0),
        (12, 1),
        (13, 0),
        (u64::from(u32::MAX), 0),
    ] {
        let address = Address {
            high: 0,
            low: address,
        };
        let found = classify::find_address(
            &SliceImage(image.blocks()),
            header.management_v4,
            Family::V4,
            &address,
        );
        assert_eq!(found, Some(member), "{address:?}");
    }

    policy.settings.forwarded.networks.v6 = vec![0..=u128::MAX];
    let image = compile(&policy).expect("compiles");
    let header = header_of(image.blocks());
    assert_eq!(header.flags, image_flags::KEEP_LIVE_FLOWS | image_flags::FORWARDS);
    assert_ne!(header.forwarded_v6, NO_BLOCK);
}

#[test]
fn forwarded_interfaces_stand_in_the_header_when_they_are_there() {
    let mut policy = policy(Vec::new());
    let nothing = compile(&policy).expect("compiles");
    policy.settings.forwarded.interfaces = vec!["docker*".into()];
    let image = compile(&policy).expect("compiles");
    assert_ne!(image.hash(), nothing.hash());
    assert_eq!(header_of(image.blocks()).flags, image_flags::FORWARDS);
    let interfaces = [(1, "eth0"), (33, "docker0"), (63, "docker1")];
    let mut bound = image.bind(&|_| 0, interfaces).expect("slots that there are");
    assert_eq!(
        header_of(bound.blocks()).forwarded_interfaces,
        [0, 1 << 1 | 1 << 31]
    );
    let patch = bound.interface_patch(33, None).expect("a slot that there is");
    bound.apply(&patch);
    assert_eq!(header_of(bound.blocks()).forwarded_interfaces, [0, 1 << 31]);
    let patch = bound
        .interface_patch(2, Some("docker7"))
        .expect("a slot that there is");
    bound.apply(&patch);
    assert_eq!(header_of(bound.blocks()).forwarded_interfaces, [1 << 2, 1 << 31]);
    let unnamed = nothing.bind(&|_| 0, interfaces).expect("slots that there are");
    assert_eq!(header_of(unnamed.blocks()).forwarded_interfaces, [0, 0]);
}

#[test]
fn lists_with_fixed_places_are_never_cut() {
    let mut too_many = policy(Vec::new());
    too_many.failsafe.management_ports = vec![1, 2, 3, 4, 5];
    assert_eq!(
        compile(&too_many).expect_err("five ports"),
        CompileError::TooMany {
            what: "management ports",
            count: 5,
            limit: 4
        }
    );
    let mut too_many = policy(Vec::new());
    too_many.settings.allowed_ether_types = (0x9000..0x9009).collect();
    assert_eq!(
        compile(&too_many).expect_err("nine types"),
        CompileError::TooMany {
            what: "further EtherTypes",
            count: 9,
            limit: 8
        }
    );
    let mut zero = policy(Vec::new());
    zero.failsafe.management_ports = vec![0];
    assert_eq!(
        compile(&zero).expect_err("port zero"),
        CompileError::Zero {
            what: "management ports"
        }
    );
}

#[test]
fn chains_and_ordinals_have_exact_limits() {
    // One rule with many source ports has as many entries.
    let with_entries = |count: u32| {
        let from_port = |number: u32| {
            let port = u16::try_from(number % 65_536).expect("16 bits");
            ProtocolMatch::Ports {
                protocol: 6,
                source: if number < 65_536 {
                    vec![port..=port]
                } else {
                    vec![port..=u16::MAX]
                },
                destination: vec![443..=443],
            }
        };
        let mut rule = rule("many");
        rule.matches.protocols = (0..count).map(from_port).collect();
        compile(&policy(vec![rule]))
    };
    assert!(with_entries(65_536).is_ok());
    assert_eq!(
        with_entries(65_537).expect_err("one too many"),
        CompileError::ChainTooLong {
            chain: Chain::InputV4,
            records: 65_537,
            limit: 65_536
        }
    );
    // Rules that match nothing take an ordinal and no entry.
    let with_rules = |count: usize| {
        let nothing = from_v4("nothing", Vec::new());
        compile(&policy(vec![nothing; count]))
    };
    let most = with_rules(MAX_RULES).expect("compiles");
    assert_eq!(most.rules().last().map(|rule| rule.ordinal), Some(NO_RULE - 1));
    assert_eq!(
        with_rules(MAX_RULES + 1).expect_err("one too many"),
        CompileError::TooManyRules {
            rules: MAX_RULES + 1,
            limit: MAX_RULES
        }
    );
}

#[test]
fn broken_promises_of_the_model_are_errors() {
    let unsorted = compile(&policy(vec![from_v4("r", vec![5..=9, 7..=8])])).expect_err("overlap");
    assert_eq!(
        unsorted,
        CompileError::Unsorted {
            what: "addresses",
            owner: "r".into()
        }
    );
    let mut tagged = rule("tagged");
    tagged.matches.vlans = Some(vec![1..=UNTAGGED]);
    assert_eq!(
        compile(&policy(vec![tagged])).expect_err("no such VLAN"),
        CompileError::Vlan {
            rule: "tagged".into(),
            vlan: UNTAGGED
        }
    );
    let bad = compile(&policy(vec![on_interface("bad", "eth[")])).expect_err("no glob");
    assert!(
        matches!(bad, CompileError::Glob { ref rule, .. } if &**rule == "bad"),
        "{bad}"
    );
}

#[test]
fn rules_alike_share_their_tables() {
    let one = compile(&policy(vec![to_port("a", 80)])).expect("compiles");
    let v6_too = chain_of(one.blocks(), Chain::InputV6);
    let v4 = chain_of(one.blocks(), Chain::InputV4);
    assert_eq!(v4.tries, v6_too.tries, "the families differ in addresses only");
}

#[test]
fn a_rule_that_ends_is_never_bound_without_its_end() {
    let term = Term {
        since: jiff::Timestamp::UNIX_EPOCH,
        until: jiff::Timestamp::MAX,
    };
    let timed = Rule {
        term: Some(term),
        ..to_port("timed", 443)
    };
    let image = compile(&policy(vec![timed, to_port("lasting", 443)])).expect("compiles");
    assert_eq!(image.bind(&|_| 3, []).err(), Some(BindError::NoClock));
    let bound = image.bind_until(&|name| if name == "timed" { 7 } else { 8 }, &|_| 1000, []);
    let bound = bound.expect("no interfaces");
    let at = |now| {
        let image = SliceImage(bound.blocks());
        let header = classify::header(&image).expect("an image has a header");
        let record = classify::classify(&image, &header, Chain::InputV4, &syn_to(443), now);
        let record = record.expect("the image is whole");
        (record.rule, record.expires_ticks)
    };
    assert_eq!((at(999), at(1000)), ((7, 1000), (8, 0)));
}

fn compact_of(rules: Vec<Rule>) -> Option<CompactChain> {
    let image = compile(&policy(rules)).expect("compiles");
    SliceImage(image.blocks()).compact(0).copied()
}

fn ports(count: u16) -> Vec<Rule> {
    (1..=count)
        .map(|port| to_port(&format!("r{port}"), port))
        .collect()
}

#[test]
fn short_chains_have_a_compact_form() {
    let words = |rules| compact_of(rules).map(|chain| chain.head.words);
    assert_eq!(words(Vec::new()), Some(1));
    assert_eq!(words(ports(64)), Some(1));
    assert_eq!(words(ports(65)), Some(2));
    assert_eq!(words(ports(128)), Some(2));
    assert_eq!(words(ports(129)), None, "too many entries");
    assert_eq!(
        words(vec![on_interface("outside", "eth*")]),
        None,
        "rows that change"
    );
    let apart = |step: u32| {
        (0..300)
            .map(move |number| number * step..=number * step)
            .collect()
    };
    assert_eq!(words(vec![from_v4("few", vec![1..=1, 3..=3])]), Some(1));
    assert_eq!(
        words(vec![from_v4("many", apart(1000))]),
        None,
        "too many intervals"
    );
}

#[test]
fn the_compact_form_takes_the_first_entry_over_the_edges_of_words_and_roots() {
    let mut rules = ports(100);
    rules.push(from_v4("a network", vec![0x0a00_0000..=0x0aff_ffff]));
    let image = compile(&policy(rules)).expect("compiles");
    let image = SliceImage(image.blocks());
    let chain = image.compact(0).expect("short enough");
    let rule = |source, protocol, port| {
        let key = CompactKey {
            source,
            destination: 1,
            protocol,
            source_port: 40_000,
            destination_port: port,
        };
        let number = chain.verdict(&key).expect("no index is past the end");
        verdict(&image, chain.head.verdicts, number).expect("whole").rule
    };
    for (port, expected) in [
        (1, 3),
        (64, 66),
        (65, 67),
        (100, 102),
        (101, 0),
        (0, 0),
        (0x0101, 0),
    ] {
        assert_eq!(rule(1, protocol::TCP, port), expected, "port {port}");
    }
    assert_eq!(rule(1, protocol::UDP, 1), 0, "the rules are for TCP");
    for (source, expected) in [
        (0x09ff_ffff, 0),
        (0x0a00_0000, 103),
        (0x0aff_ffff, 103),
        (0x0b00_0000, 0),
    ] {
        assert_eq!(rule(source, protocol::UDP, 9), expected, "source {source:#x}");
    }
}
