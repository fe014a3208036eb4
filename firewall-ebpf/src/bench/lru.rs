//! The bare minimum of the usual design: parse, one look-up in an LRU hash, one reading of the clock. It keeps no
//! state, counts nothing and knows neither IPv6 nor options: what a firewall does beside comes on top.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::bpf_ktime_get_ns,
    macros::{map, xdp},
    maps::LruHashMap,
    programs::XdpContext,
};

/// Both ends and the protocol, as they stand on the wire.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Key {
    source: [u8; 4],
    destination: [u8; 4],
    ports: [u8; 4],
    protocol: [u8; 4],
}

#[map]
static LRU: LruHashMap<Key, u64> = LruHashMap::with_max_entries(1, 0);

/// Idle time after which a flow is over, in nanoseconds.
const TIMEOUT_NANOSECONDS: u64 = 7440 * 1_000_000_000;

#[inline(always)]
fn load<const N: usize>(context: &XdpContext, at: usize) -> Option<[u8; N]> {
    let start = context.data() + at;
    if start + N > context.data_end() {
        return None;
    }
    // SAFETY: the N bytes were just found to lie inside the frame.
    Some(unsafe { *(start as *const [u8; N]) })
}

#[inline(always)]
fn key(context: &XdpContext) -> Option<Key> {
    if load::<2>(context, 12)? != [8, 0] {
        return None;
    }
    let [version] = load::<1>(context, 14)?;
    let header_bytes = usize::from(version & 15) * 4;
    if header_bytes < 20 {
        return None;
    }
    let [protocol] = load::<1>(context, 23)?;
    Some(Key {
        source: load(context, 26)?,
        destination: load(context, 30)?,
        ports: load(context, 14 + header_bytes)?,
        protocol: [protocol, 0, 0, 0],
    })
}

/// Passes packets of known flows.
#[xdp(frags)]
pub fn bench_lru(context: XdpContext) -> u32 {
    let Some(key) = key(&context) else {
        return xdp_action::XDP_DROP;
    };
    // SAFETY: a value is one word.
    let Some(&seen) = (unsafe { LRU.get(key) }) else {
        return xdp_action::XDP_DROP;
    };
    // SAFETY: the helper has no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if now.wrapping_sub(seen) > TIMEOUT_NANOSECONDS {
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}
