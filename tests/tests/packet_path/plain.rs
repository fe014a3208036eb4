//! Plain packets, which take the shortest way, against the parser that reads all packets.

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
    frames::{Packet, Segment},
    host::{end, nets},
    random::{Random, seed},
};

use crate::noise::{damage, sound};

const FRAMES: usize = 300_000;

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
            protocol::TCP => headers.tcp_flags & (SYN | FIN | RST | ACK) == ACK,
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
            });
        assert_eq!(read, expected, "seed {seed}: {frame:02x?}");
        plain += usize::from(read.is_some());
    }
    assert!(plain > FRAMES / 50, "seed {seed}: only {plain} plain packets");
}

#[test]
fn what_opens_or_closes_is_not_plain() {
    for net in nets() {
        for (flags, expected) in [
            (ACK, true),
            (ACK | 0x08, true),
            (SYN, false),
            (SYN | ACK, false),
            (FIN | ACK, false),
            (RST, false),
            (RST | ACK, false),
        ] {
            let segment = Segment::new(flags);
            let frame = Packet::tcp(end(net.client, 40_000), end(net.server, 443), &segment).frame();
            let read = Plain::read(&frame.as_slice(), Hook::Ingress);
            assert_eq!(read.is_some(), expected, "flags {flags:#x}");
        }
    }
}
