//! What holds for every flow and every packet, whatever the order: tried over all states, flags and packets.

use firewall_common::{
    address::{Address, Family},
    counters::Hook,
    flow::{Flow, FlowKey, STATES, Seen, State, Step, advance, flow_flags},
    headers::Headers,
    wire::{icmp, icmpv6, protocol, tcp},
};

const FIN_BITS: u8 = flow_flags::REMOTE_FIN | flow_flags::LOCAL_FIN;

fn states() -> impl Iterator<Item = State> {
    // The highest number is that of `Refused`; further places are spare.
    (0..=State::Refused as u8).map(State::from_number)
}

/// Every flow with every packet that the parser lets through.
fn everything() -> impl Iterator<Item = (Flow, Seen)> {
    let flows = states().flat_map(|state| {
        (0..64).map(move |flags| Flow {
            seen_ticks: 7,
            state,
            flags,
            rule: 9,
        })
    });
    flows.flat_map(|flow| packets().map(move |seen| (flow, seen)))
}

fn packets() -> impl Iterator<Item = Seen> {
    const TCP_FLAGS: [u8; 6] = [
        tcp::SYN,
        tcp::SYN | tcp::ACK,
        tcp::ACK,
        tcp::FIN | tcp::ACK,
        tcp::RST,
        tcp::RST | tcp::ACK,
    ];
    [true, false].into_iter().flat_map(|from_remote| {
        let tcp = TCP_FLAGS.into_iter().flat_map(move |tcp_flags| {
            [true, false].map(|exact_sequence| Seen {
                from_remote,
                protocol: protocol::TCP,
                tcp_flags,
                exact_sequence,
            })
        });
        let udp = Seen {
            from_remote,
            protocol: protocol::UDP,
            tcp_flags: 0,
            exact_sequence: false,
        };
        tcp.chain([udp])
    })
}

#[test]
fn the_space_is_whole() {
    assert_eq!(everything().count(), 12 * 64 * 26);
    assert!(states().count() <= STATES);
}

#[test]
fn who_opened_a_flow_and_the_fins_that_were_seen_are_never_forgotten() {
    let kept = flow_flags::OPENED_BY_REMOTE | flow_flags::REPLIED | FIN_BITS;
    for (flow, seen) in everything() {
        if let Step::Become { flags, .. } = advance(flow, seen) {
            assert_eq!(flow.flags & kept & !flags, 0, "{flow:?} {seen:?}");
            assert_eq!(
                (flow.flags ^ flags) & flow_flags::OPENED_BY_REMOTE,
                0,
                "{flow:?} {seen:?}"
            );
        }
    }
}

#[test]
fn one_side_alone_assures_no_flow() {
    // Only the opener's packets, from any start that has not seen the other side.
    for from_remote in [true, false] {
        for protocol_number in [protocol::TCP, protocol::UDP] {
            let state = if protocol_number == protocol::TCP {
                State::SynSent
            } else {
                State::Unreplied
            };
            let mut reached = vec![Flow {
                seen_ticks: 0,
                state,
                flags: u8::from(from_remote) * flow_flags::OPENED_BY_REMOTE,
                rule: 0,
            }];
            let mut at = 0;
            while at < reached.len() {
                let flow = reached[at];
                at += 1;
                for seen in packets()
                    .filter(|seen| seen.from_remote == from_remote && seen.protocol == protocol_number)
                {
                    if let Step::Become {
                        state,
                        flags,
                        assured,
                    } = advance(flow, seen)
                    {
                        assert!(!assured, "{flow:?} {seen:?}");
                        let next = Flow { state, flags, ..flow };
                        if !reached.contains(&next) {
                            reached.push(next);
                        }
                    }
                }
            }
            assert!(!reached.iter().any(|flow| flow.state == State::Established));
        }
    }
}

#[test]
fn only_a_refusal_belongs_to_a_refused_flow() {
    for (flow, seen) in everything().filter(|(flow, _)| flow.state == State::Refused) {
        let opened_by_remote = flow.flags & flow_flags::OPENED_BY_REMOTE != 0;
        let refusal = seen.tcp_flags & tcp::RST != 0 && seen.from_remote != opened_by_remote;
        let expected = if refusal { Step::Keep } else { Step::Reopen };
        assert_eq!(advance(flow, seen), expected, "{flow:?} {seen:?}");
    }
}

#[test]
fn a_reset_never_lengthens_a_flows_life() {
    let short = [State::Reset, State::ResetInDoubt, State::Refused];
    for (flow, seen) in everything().filter(|(_, seen)| seen.tcp_flags & tcp::RST != 0) {
        match advance(flow, seen) {
            Step::Become { state, assured, .. } => {
                assert!(short.contains(&state) && !assured, "{flow:?} {seen:?}");
            }
            Step::Keep | Step::Reopen => assert!(short.contains(&flow.state), "{flow:?} {seen:?}"),
            Step::Refresh => panic!("{flow:?} {seen:?}"),
        }
    }
}

#[test]
fn a_flow_survives_its_packing() {
    for (flow, _) in everything() {
        assert_eq!(Flow::unpack(flow.pack()), flow);
    }
    let extreme = Flow {
        seen_ticks: u32::MAX,
        state: State::Echo,
        flags: u8::MAX,
        rule: u16::MAX,
    };
    assert_eq!(Flow::unpack(extreme.pack()), extreme);
}

#[test]
fn a_flow_expires_at_its_time_though_the_clock_wraps() {
    let timeouts = [100; STATES];
    for seen_ticks in [0, 50, u32::MAX - 50, u32::MAX] {
        let flow = Flow {
            seen_ticks,
            state: State::Other,
            flags: 0,
            rule: 0,
        };
        assert!(!flow.is_expired(seen_ticks, &timeouts));
        assert!(!flow.is_expired(seen_ticks.wrapping_add(99), &timeouts));
        assert!(flow.is_expired(seen_ticks.wrapping_add(100), &timeouts));
        assert!(
            !flow.is_expired(seen_ticks.wrapping_sub(1), &timeouts),
            "another CPU was a tick ahead"
        );
    }
}

fn packet(family: Family, protocol_number: u8, ports: (u16, u16), addresses: (u64, u64)) -> Headers {
    let address = |low| Address { high: 0, low };
    let mut headers = Headers::unknown(60);
    headers.family = family as u8;
    headers.protocol = protocol_number;
    (headers.source_port, headers.destination_port) = ports;
    (headers.source, headers.destination) = (address(addresses.0), address(addresses.1));
    headers
}

#[test]
fn both_directions_have_one_key() {
    for family in [Family::V4, Family::V6] {
        let request = packet(family, protocol::TCP, (40_000, 443), (1, 2));
        let reply = packet(family, protocol::TCP, (443, 40_000), (2, 1));
        let key = FlowKey::of(&request, Hook::Ingress);
        assert_eq!(key, FlowKey::of(&reply, Hook::Egress));
        assert_eq!((key.remote.low, key.local.low), (1, 2));
        assert_ne!(
            key,
            FlowKey::of(&request, Hook::Egress),
            "the same packet going out"
        );
        assert_eq!(FlowKey::from_words(*key.words()), key);
    }
}

#[test]
fn echo_requests_and_replies_have_one_key_by_who_asks() {
    for (family, number, request, reply) in [
        (Family::V4, protocol::ICMP, icmp::ECHO_REQUEST, icmp::ECHO_REPLY),
        (
            Family::V6,
            protocol::ICMPV6,
            icmpv6::ECHO_REQUEST,
            icmpv6::ECHO_REPLY,
        ),
    ] {
        let message = |kind: u8, addresses| packet(family, number, (77, u16::from(kind) << 8), addresses);
        let ours = FlowKey::of(&message(request, (2, 1)), Hook::Egress);
        assert_eq!(ours, FlowKey::of(&message(reply, (1, 2)), Hook::Ingress));
        let theirs = FlowKey::of(&message(request, (1, 2)), Hook::Ingress);
        assert_eq!(theirs, FlowKey::of(&message(reply, (2, 1)), Hook::Egress));
        assert_ne!(ours, theirs);
    }
}

#[test]
fn the_hash_depends_on_every_field_and_on_the_seed() {
    let seed = [1, 2, 3, 4];
    let key = FlowKey::of(&packet(Family::V4, 6, (1000, 443), (5, 6)), Hook::Ingress);
    let others = [
        FlowKey {
            remote_port: 1001,
            ..key
        },
        FlowKey {
            local_port: 444,
            ..key
        },
        FlowKey { protocol: 17, ..key },
        FlowKey { family: 6, ..key },
        FlowKey {
            remote: key.local,
            local: key.remote,
            ..key
        },
    ];
    for other in others {
        assert_ne!(key.hash(&seed), other.hash(&seed), "{other:?}");
    }
    for word in 0..4 {
        let mut other = seed;
        other[word] += 16;
        assert_ne!(key.hash(&seed), key.hash(&other), "word {word} of the seed");
    }
}

#[test]
fn ports_spread_over_the_buckets() {
    let seed = [
        0x9e37_79b9_7f4a_7c15,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0x2545_f491_4f6c_dd1d,
    ];
    let mut counts = [0u32; 256];
    for port in 0..25_600 {
        let key = FlowKey::of(
            &packet(Family::V4, 6, (port, 443), (0x0a00_0001, 0x0a00_0002)),
            Hook::Ingress,
        );
        counts[(key.hash(&seed) & 255) as usize] += 1;
    }
    // Poisson with mean 100: six standard deviations.
    assert!(
        counts.iter().all(|&count| (40..=160).contains(&count)),
        "{counts:?}"
    );
}
