//! The kernel's own table of prefixes: parse, one look-up in an LPM trie.

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::{LpmTrie, lpm_trie::Key},
    programs::XdpContext,
};

/// `BPF_F_NO_PREALLOC`, which the kernel demands.
const NO_PREALLOC: u32 = 1;
const IPV4_SOURCE: usize = 26;

#[map]
static PREFIXES: LpmTrie<[u8; 4], u8> = LpmTrie::with_max_entries(1, NO_PREALLOC);

#[inline(always)]
fn source(context: &XdpContext) -> Option<[u8; 4]> {
    let start = context.data();
    if start + IPV4_SOURCE + 4 > context.data_end() {
        return None;
    }
    // SAFETY: the bytes were just found to lie inside the frame.
    let (ether_type, source) = unsafe {
        (
            *((start + 12) as *const [u8; 2]),
            *((start + IPV4_SOURCE) as *const [u8; 4]),
        )
    };
    (ether_type == [8, 0]).then_some(source)
}

/// Drops what comes from one of the prefixes.
#[xdp(frags)]
pub fn bench_lpm(context: XdpContext) -> u32 {
    let Some(source) = source(&context) else {
        return xdp_action::XDP_ABORTED;
    };
    if PREFIXES.get(Key::new(32, source)).is_some() {
        xdp_action::XDP_DROP
    } else {
        xdp_action::XDP_PASS
    }
}
