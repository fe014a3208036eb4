//! Plain packets, which take the shortest way, against the parser that reads all packets.

use firewall_agent::prefix_set::Members;
use firewall_common::{
    counters::Hook,
    flow::FlowKey,
    headers::{self, FragmentKind, Headers, Progress, marks},
    interface::LinkType,
    plain::Plain,
    wire::{
        protocol,
        tcp::{ACK, FIN, RST, SYN},
    },
};
use firewall_tests::{
    engine::{Engine, Interface},
    frames::{Packet, Segment},
    host::{end, nets},
    random::{Random, seed},
};

use crate::{
    Host,
    lists::members,
    noise::{damage, sound},
};

const FRAMES: usize = 300_000;

const RULES: &str = r#"
[[rule]]
name = "web"
allow = ["tcp/443", "udp/7000"]
from = "any"

[[rule]]
name = "refused"
reject = "tcp/80"
from = "any"

[[rule]]
name = "dropped"
drop = "udp/80"
from = "any"
"#;

/// What the parser finds in a frame, where it gets to the end without extension headers.
fn parsed(frame: &[u8]) -> Option<Headers> {
    let mut headers = Headers::unknown(u32::try_from(frame.len()).expect("a short frame"));
    match headers::parse_into(&frame, LinkType::Ethernet, &mut headers) {
        Ok(Progress::Complete) => Some(headers),
        _ => None,
    }
}

/// Whether a packet is plain, said in terms of the parser.
fn is_plain(frame: &[u8], headers: &Headers) -> bool {
    let is_whole = headers.family != 0
        && headers.l3_offset == 14
        && headers.fragment == FragmentKind::Whole as u8
        && !headers.marked(marks::IPV4_OPTIONS | marks::MORE_FRAGMENTS | marks::FRAGMENT_HEADER);
    is_whole
        && match headers.protocol {
            protocol::TCP => matches!(headers.tcp_flags & (SYN | FIN | RST | ACK), ACK | SYN),
            // A length of zero is a jumbogram's.
            protocol::UDP => frame[usize::from(headers.l4_offset) + 4..][..2] != [0, 0],
            _ => false,
        }
}

#[test]
fn what_is_plain_is_read_as_the_parser_reads_it_and_nothing_else_is() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut sound = sound();
    for net in nets() {
        let (client, server) = (end(net.client, 40_000), end(net.server, 443));
        let data = Segment::new(ACK).acknowledgement(0x0102_0304).data(30);
        sound.push(Packet::tcp(client, server, &data).frame());
        sound.push(Packet::udp(client, server, 20).frame());
    }
    let mut plain = 0;
    for _ in 0..FRAMES {
        let mut frame = random.pick(&sound).clone();
        if random.percent(90) {
            damage(&mut frame, &mut random);
        }
        let hook = *random.pick(&[Hook::Ingress, Hook::Egress]);
        let read = Plain::read(&frame.as_slice(), hook);
        let expected = parsed(&frame)
            .filter(|headers| is_plain(&frame, headers))
            .map(|headers| Plain {
                key: FlowKey::of(&headers, hook),
                tcp_acknowledgement: headers.tcp_acknowledgement,
                opens: headers.protocol == protocol::TCP && headers.tcp_flags & SYN != 0,
            });
        assert_eq!(read, expected, "seed {seed}: {frame:02x?}");
        plain += usize::from(read.is_some());
    }
    assert!(plain > FRAMES / 50, "seed {seed}: only {plain} plain packets");
}

/// Every kind of first packet from many places: what the short way decides has to be what the whole path decides.
fn stranger(random: &mut Random) -> Packet {
    let net = *random.pick(&nets());
    let remote = match random.below(8) {
        0 => net.manager,
        1 => net.resolver,
        2 => net.other,
        3 => "0.0.0.0".parse().expect("an address"),
        4 => "224.0.0.1".parse().expect("an address"),
        5 => "ff02::1".parse().expect("an address"),
        6 => net.server,
        _ => net.client,
    };
    let server = if remote.is_ipv4() {
        nets()[0].server
    } else {
        nets()[1].server
    };
    let port = |random: &mut Random| *random.pick(&[22u16, 53, 67, 68, 80, 443, 546, 547, 7000, 40_000]);
    let (from, to) = (end(remote, port(random)), end(server, port(random)));
    match random.below(4) {
        0 => Packet::udp(from, to, 10),
        1 => Packet::tcp(from, to, &Segment::new(ACK)),
        _ => Packet::tcp(from, to, &Segment::new(SYN)),
    }
}

/// Some of the places that packets of [`stranger`] come from, those too that something before the lists decides on.
fn listed() -> Members {
    let everything_but_clients = nets()
        .into_iter()
        .flat_map(|net| [net.manager, net.resolver, net.other, net.server]);
    let odd = ["0.0.0.0", "224.0.0.1", "ff02::1"].map(|odd| odd.parse().expect("an address"));
    members(&everything_but_clients.chain(odd).collect::<Vec<_>>())
}

#[test]
fn the_short_ways_decide_as_the_whole_path() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut decided = [0; 3];
    let pickup = "[options]\ntcp_midflow_pickup = true\n";
    for (options, lists) in [("", false), (pickup, false), ("", true), (pickup, true)] {
        let rules = format!("{options}{RULES}");
        let mut short = Host::new(&rules);
        let mut whole = Host::new(&rules);
        whole.engine.take_no_short_ways();
        for host in [&mut short, &mut whole] {
            if lists {
                host.engine.load_lists(0, &listed());
            } else {
                host.engine.ban(nets()[0].other, 0);
            }
        }
        for number in 0..FRAMES / 10 {
            let frame = stranger(&mut random).frame();
            let now_ticks = u32::try_from(number / 50).expect("some thousands");
            let [one, other] = [&short, &whole].map(|host| {
                host.engine
                    .judge(&frame, Interface::Eth0, Hook::Ingress, now_ticks)
            });
            assert_eq!(one, other, "seed {seed}: {frame:02x?}");
            decided[one.verdict as usize] += 1;
        }
    }
    assert!(
        decided.iter().all(|&count| count > 100),
        "seed {seed}: {decided:?}"
    );
}

#[test]
fn what_answers_or_closes_is_not_plain() {
    for net in nets() {
        for (flags, opens) in [
            (ACK, Some(false)),
            (ACK | 0x08, Some(false)),
            (SYN, Some(true)),
            (SYN | ACK, None),
            (FIN | ACK, None),
            (RST, None),
            (RST | ACK, None),
        ] {
            let segment = Segment::new(flags);
            let frame = Packet::tcp(end(net.client, 40_000), end(net.server, 443), &segment).frame();
            let read = Plain::read(&frame.as_slice(), Hook::Ingress);
            assert_eq!(read.map(|packet| packet.opens), opens, "flags {flags:#x}");
        }
    }
}
