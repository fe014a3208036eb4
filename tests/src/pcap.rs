//! Captures to replay.

use crate::frames::{Packet, Segment};

/// What a web server sees of its load balancer, and of a stranger who knocks: a packet each millisecond.
#[must_use]
pub fn web_server() -> Vec<u8> {
    let (syn, syn_ack, ack) = (0x02, 0x12, 0x10);
    let [lb, web, stranger] = ["10.77.1.10:40000", "10.77.2.10:443", "203.0.113.7:51000"]
        .map(|end| end.parse().expect("an address"));
    // Magic number, version, zone, accuracy, longest packet, Ethernet.
    let mut bytes: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    for (number, (from, to, flags)) in [
        (lb, web, syn),
        (web, lb, syn_ack),
        (lb, web, ack),
        (stranger, web, syn),
        (stranger, web, ack),
        (web, stranger, syn_ack),
    ]
    .into_iter()
    .enumerate()
    {
        let frame = Packet::tcp(from, to, &Segment::new(flags)).frame();
        let length = frame.len();
        let header = [1_700_000_000, number * 1000, length, length];
        let words = header.map(|word| u32::try_from(word).expect("it is short"));
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(frame);
    }
    bytes
}
