//! Programs that do nothing: their time is subtracted from every figure.

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// The floor at XDP.
#[xdp(frags)]
pub fn bench_empty(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The floor at XDP, for programs that know no frames in several buffers.
#[xdp]
pub fn bench_empty_plain(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The floor at tc.
#[classifier]
pub fn bench_empty_tc(_: TcContext) -> i32 {
    TC_ACT_UNSPEC
}
