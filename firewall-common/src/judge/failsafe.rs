//! Management access that no rule can remove. It keeps no state, so that no table can fill up and break it.

use super::Env;
use crate::{
    address::{Address, Family},
    classify::{self, HeaderView},
    counters::Hook,
    flow::FlowKey,
    headers::Headers,
    image::NO_BLOCK,
    opaque::afresh,
    reason::Reason,
    tables::{Image, SlowTables},
    wire::{protocol, tcp},
};

pub(super) const DNS_PORT: u16 = 53;

/// The failsafe's verdict on a packet, if it has one.
#[inline(always)]
pub(super) fn check<I: Image, A, H, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    family: Family,
    hook: Hook,
    image: &HeaderView<'_>,
) -> Option<Reason> {
    if headers.protocol != protocol::TCP && headers.protocol != protocol::UDP {
        return None;
    }
    let reason = covers(env, image, family, &FlowKey::of(headers, hook))?;
    let headers = afresh(headers);
    if matches!(hook, Hook::Ingress) {
        // Name servers answer; they do not open connections to this host.
        let opens =
            headers.protocol == protocol::TCP && headers.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN;
        if matches!(reason, Reason::FailsafeDns) && opens {
            return None;
        }
        let family = headers.ip_family()?;
        if env.slow.is_local(family, headers.source) {
            return Some(Reason::SpoofedOwn);
        }
    }
    Some(reason)
}

/// Whether packets between these ends, in either direction, are the failsafe's.
#[inline(always)]
pub(super) fn covers<I: Image, A, H, S>(
    env: &Env<'_, I, A, H, S>,
    image: &HeaderView<'_>,
    family: Family,
    ends: &FlowKey,
) -> Option<Reason> {
    if ends.protocol == protocol::TCP && is_management_port(image, ends.local_port) {
        let tree = match family {
            Family::V4 => image.management_v4(),
            Family::V6 => image.management_v6(),
        };
        if is_member(env.image, tree, family, ends.remote) {
            return Some(Reason::FailsafeManagement);
        }
    }
    let ends = afresh(ends);
    if ends.remote_port == DNS_PORT && matches!(ends.protocol, protocol::UDP | protocol::TCP) {
        let tree = match family {
            Family::V4 => image.resolvers_v4(),
            Family::V6 => image.resolvers_v6(),
        };
        if is_member(env.image, tree, family, ends.remote) {
            return Some(Reason::FailsafeDns);
        }
    }
    None
}

#[inline(always)]
pub(super) fn is_management_port(image: &HeaderView<'_>, port: u16) -> bool {
    is_one_of(image.management_ports(), port)
}

/// Whether `port` is one of these; zero is none.
#[inline(always)]
pub(super) const fn is_one_of([a, b, c, d]: [u16; 4], port: u16) -> bool {
    port != 0 && (port == a || port == b || port == c || port == d)
}

#[inline(always)]
fn is_member<I: Image>(image: &I, tree: u32, family: Family, address: Address) -> bool {
    tree != NO_BLOCK && classify::find_address(image, tree, family, &address) == Some(1)
}
