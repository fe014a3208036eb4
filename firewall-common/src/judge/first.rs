//! The short way of a first packet: a plain packet of no flow, which the policy most probably drops. In a flood nearly
//! every packet is one.
//!
//! What is decided here is what the whole path decides, in the same order and for the same reason; everything that
//! would take more than a few look-ups is left to that.

use super::{Env, Work, failsafe, rules};
use crate::{
    address::{Address, Family},
    classify::{self, MatchKey},
    compact::CompactKey,
    flow::FlowKey,
    image::{Chain, NO_BLOCK, UNTAGGED, image_flags},
    opaque::afresh,
    plain::{Plain, PlainRecord},
    prefix_set::Entry,
    reason::Reason,
    tables::{Buckets, Image, SlowTables},
    verdict::{Decision, Verdict},
    wire::protocol,
};

/// The verdict on a plain packet that has come in and that no assured flow knows; `None` where more has to be looked
/// at. The mode in force is [`crate::cell::Mode::Normal`].
#[inline(always)]
pub fn first<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    packet: &PlainRecord,
    work: &mut Work,
) -> Option<Decision> {
    let key = &packet.key;
    let family = key.address_family();
    if is_odd(key, family) || may_have_flow(env, packet.hash, || packet.opens != 0) {
        return None;
    }
    // A call and its return cost more than most of what is looked at here, so there is one only where it is needed.
    let is_management =
        key.protocol == protocol::TCP && failsafe::is_one_of(env.slot.management_ports, key.local_port);
    let is_of_failsafe = is_management || key.remote_port == failsafe::DNS_PORT;
    if is_of_failsafe && env.image.forget(may_be_failsafe(env, key)) != 0 {
        return None;
    }
    if env.has_bans && env.slow.is_banned(family, key.remote, env.now_ticks) {
        return Some(Decision::by(Reason::Banned));
    }
    let root = Entry(packet.list_root);
    if root != Entry::NONE && env.slow.is_listed(root, family, key.remote) {
        return Some(Decision::by(Reason::Listed));
    }
    let record = if family == Family::V4
        && let Some(chain) = env.image.compact(env.slot_number)
    {
        if let Some(decision) = out_of_state(packet, chain.head.flags) {
            return decision;
        }
        let number = chain.verdict(&compact_key(key))?;
        classify::verdict(env.image, chain.head.verdicts, number)?
    } else {
        let image = classify::header(env.image)?;
        if let Some(decision) = out_of_state(packet, image.flags()) {
            return decision;
        }
        ask(afresh(packet), work, env.now_ticks);
        let image = classify::header(env.image)?;
        classify::answer(env.image, &image, &mut work.question)?
    };
    (record.verdict == Verdict::Drop as u8).then(|| rules::decision(&record))
}

/// What is said of a packet before the rules are asked, by the flags of the image: that it belongs to no connection, or
/// (`Some(None)`) that more has to be looked at.
#[expect(
    clippy::option_option,
    reason = "outer: the rules are not asked; inner: what is decided"
)]
#[inline(always)]
fn out_of_state(packet: &PlainRecord, flags: u32) -> Option<Option<Decision>> {
    if packet.key.protocol == protocol::TCP && packet.opens == 0 {
        let picked_up = flags & image_flags::MIDFLOW_PICKUP != 0;
        return Some((!picked_up).then_some(Decision::by(Reason::TcpNoState)));
    }
    (flags & image_flags::FORWARDS != 0).then_some(None)
}

/// Whether the policy's block lists refuse a plain packet that has come in and that no assured flow knows: what
/// [`first`] would say of it, without the slot's image. `None` where something comes before the lists. `root` is what
/// [`SlowTables::list_root`] says.
#[inline(always)]
pub fn listed<I, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    packet: &Plain,
    hash: u64,
    root: Entry,
) -> Option<bool> {
    let key = &packet.key;
    let family = key.address_family();
    let is_management =
        key.protocol == protocol::TCP && failsafe::is_one_of(env.slot.management_ports, key.local_port);
    let is_of_failsafe = is_management || key.remote_port == failsafe::DNS_PORT;
    if env.has_bans || is_of_failsafe || is_odd(key, family) || may_have_flow(env, hash, || packet.opens) {
        return None;
    }
    Some(env.slow.is_listed(root, family, key.remote))
}

/// 1 where the failsafe may let the packet in.
#[cfg_attr(target_arch = "bpf", inline(never))]
fn may_be_failsafe<I: Image, A, H, S>(env: &Env<'_, I, A, H, S>, key: &FlowKey) -> u32 {
    let Some(image) = classify::header(env.image) else {
        return 1;
    };
    let is_v4 = key.family == Family::V4 as u8;
    let (management, resolvers) = if is_v4 {
        (image.management_v4(), image.resolvers_v4())
    } else {
        (image.management_v6(), image.resolvers_v6())
    };
    let is_management = key.protocol == protocol::TCP && failsafe::is_management_port(&image, key.local_port);
    if is_management && may_be_member(env.image, management, key) {
        return 1;
    }
    u32::from(key.remote_port == failsafe::DNS_PORT && may_be_member(env.image, resolvers, key))
}

/// Whether the remote end is in an address set, or its trie is damaged.
#[inline(always)]
fn may_be_member<I: Image>(image: &I, set: u32, key: &FlowKey) -> bool {
    if set == NO_BLOCK {
        return false;
    }
    let family = key.address_family();
    let found = classify::find_address(image, set, family, &key.remote);
    found != Some(0)
}

/// Leaves the question for the classifier in memory.
#[inline(always)]
fn ask(packet: &PlainRecord, work: &mut Work, now_ticks: u32) {
    let (family, chain) = if packet.key.family == Family::V4 as u8 {
        (Family::V4, Chain::InputV4)
    } else {
        (Family::V6, Chain::InputV6)
    };
    work.question.put(chain, &match_key(packet, family), now_ticks);
}

/// Addresses that are refused or let through before the rules, and DHCP: see [`super::spoof`] and
/// [`super::protected`].
#[inline(always)]
fn is_odd(key: &FlowKey, family: Family) -> bool {
    let no_source = |address: Address| {
        address.is_multicast(family)
            || address.is_loopback(family)
            || address.is_limited_broadcast(family)
            || address.is_unspecified()
    };
    no_source(key.remote)
        || key.local.is_loopback(family)
        || key.local.is_unspecified()
        || (key.protocol == protocol::UDP && matches!(key.remote_port, 67 | 547))
}

/// Whether a flow that the entry has not looked for may know the packet. What it `opens` is read late: the verifier
/// would keep both kinds apart from there on.
#[inline(always)]
fn may_have_flow<I, A: Buckets, H: Buckets, S>(
    env: &Env<'_, I, A, H, S>,
    hash: u64,
    opens: impl FnOnce() -> bool,
) -> bool {
    env.half_flows.may_hold(hash) || (opens() && env.flows.may_hold(hash))
}

#[inline(always)]
const fn compact_key(key: &FlowKey) -> CompactKey {
    CompactKey {
        source: key.remote.low as u32,
        destination: key.local.low as u32,
        protocol: key.protocol,
        source_port: key.remote_port,
        destination_port: key.local_port,
    }
}

#[inline(always)]
const fn match_key(packet: &PlainRecord, family: Family) -> MatchKey {
    MatchKey {
        family,
        source: packet.key.remote,
        destination: packet.key.local,
        protocol: packet.key.protocol,
        source_port: packet.key.remote_port,
        destination_port: packet.key.local_port,
        vlan: UNTAGGED,
        interface_slot: packet.interface_slot,
    }
}
