//! The classifier by itself: a plain TCP or UDP packet is asked of the image, and nothing is done with the answer.

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::PerCpuArray,
    programs::XdpContext,
};
use firewall_common::{
    address::{Address, Family},
    classify::{self, MatchKey, Question},
    image::{Chain, UNTAGGED},
};

use crate::image::SlotImage;

#[map]
static QUESTION: PerCpuArray<Question> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of the headers that are read: Ethernet, IPv4 without options or IPv6, ports.
const IPV4_BYTES: usize = 38;
const IPV6_BYTES: usize = 58;
const ETHER_TYPE: usize = 12;

#[inline(always)]
fn load<const N: usize>(context: &XdpContext) -> Option<&[u8; N]> {
    let start = context.data();
    if start + N > context.data_end() {
        return None;
    }
    // SAFETY: the N bytes were just found to lie inside the frame.
    Some(unsafe { &*(start as *const [u8; N]) })
}

#[inline(always)]
fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[inline(always)]
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    part(bytes, at).map(u16::from_be_bytes)
}

#[inline(always)]
fn key(context: &XdpContext) -> Option<(Chain, MatchKey)> {
    if part(load::<IPV4_BYTES>(context)?, ETHER_TYPE)? == [8, 0] {
        let bytes = load::<IPV4_BYTES>(context)?;
        let key = MatchKey {
            family: Family::V4,
            source: Address::from_v4(part(bytes, 26)?),
            destination: Address::from_v4(part(bytes, 30)?),
            protocol: bytes[23],
            source_port: number(bytes, 34)?,
            destination_port: number(bytes, 36)?,
            vlan: UNTAGGED,
            interface_slot: 0,
        };
        return Some((Chain::InputV4, key));
    }
    let bytes = load::<IPV6_BYTES>(context)?;
    let key = MatchKey {
        family: Family::V6,
        source: Address::from_v6(part(bytes, 22)?),
        destination: Address::from_v6(part(bytes, 38)?),
        protocol: bytes[20],
        source_port: number(bytes, 54)?,
        destination_port: number(bytes, 56)?,
        vlan: UNTAGGED,
        interface_slot: 0,
    };
    Some((Chain::InputV6, key))
}

#[inline(always)]
fn deciding_rule(context: &XdpContext) -> Option<u16> {
    let (chain, key) = key(context)?;
    let question = QUESTION.get_ptr_mut(0)?;
    // SAFETY: a per-CPU map value; the benchmark runs on one CPU at a time.
    let question = unsafe { &mut *question };
    question.put(chain, &key, 0);
    let image = SlotImage {
        forgetting: &raw mut question.forgetting,
    };
    let header = classify::header(&image)?;
    classify::answer(&image, &header, question).map(|record| record.rule)
}

/// Returns the ordinal of the rule that decides.
#[xdp(frags)]
pub fn bench_classify(context: XdpContext) -> u32 {
    deciding_rule(&context).map_or(xdp_action::XDP_ABORTED, u32::from)
}
