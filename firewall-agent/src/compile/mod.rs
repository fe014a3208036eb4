//! From a validated policy to the table image that the packet path reads.
//!
//! [`compile`] lays a policy out as [`Block`]s (see [`firewall_common::image`]); the same policy always gives the same
//! bytes. What depends on this machine (the numbers of the rules' counters, the interfaces that are there) is put in
//! by [`CompiledImage::bind`].

mod arrange;
mod bind;
mod chain;
mod compact;
mod ends;
mod error;
mod interfaces;
mod key;
mod membership;
mod partition;
mod pool;
mod records;
mod rows;
pub mod timeouts;
mod trie;

use std::{fmt, sync::Arc};

use bytemuck::Zeroable;
use firewall_common::{
    abi::ABI_VERSION,
    counters::DEFAULT_COUNTERS,
    image::{Block, CHAINS, Chain, HEADER_BLOCKS, ImageHeader, MAGIC, image_flags},
    verdict::NO_RULE,
};
use sha2::{Digest, Sha256};

pub use bind::{BindError, BoundImage, LiveImage};
use ends::ChainEnds;
pub use error::CompileError;
use interfaces::{ChainInterfaces, Patterns};
use pool::Pool;

use crate::policy::model::{Action, Direction, Forwarded, Origin, PolicySettings, Term, Timers, ValidPolicy};

/// Most blocks of an image: 1 GiB.
pub const MAX_IMAGE_BLOCKS: u32 = 1 << 24;

/// Most rules of a policy: their ordinals follow those of the defaults, and the last number means "no rule".
pub const MAX_RULES: usize = (NO_RULE - DEFAULT_COUNTERS) as usize;

/// SHA-256 of everything in a compiled policy that can change a verdict or a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageHash(pub [u8; 32]);

impl fmt::Display for ImageHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ImageHash({self})")
    }
}

/// A rule of a compiled policy, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its number in this policy, from [`DEFAULT_COUNTERS`] on. Verdict records carry it until they are bound.
    pub ordinal: u16,
    /// Its stable name, the key of its counters.
    pub name: Arc<str>,
    /// Where it is written.
    pub origin: Origin,
    /// Which packets it judges.
    pub direction: Direction,
    /// Its verdict.
    pub action: Action,
    /// How long it holds, if it ends by itself.
    pub term: Option<Term>,
}

/// A policy as a table image that does not know of this machine yet.
#[derive(Debug, Clone)]
pub struct CompiledImage {
    blocks: Vec<Block>,
    hash: ImageHash,
    rules: Arc<[RuleInfo]>,
    interfaces: Arc<[ChainInterfaces]>,
    ends: Arc<[ChainEnds]>,
    forwarded: Patterns,
    timers: Timers,
    interface_globs: Arc<[String]>,
}

impl CompiledImage {
    /// The image, with ordinals of rules in its verdict records and no interface known.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Identifies the policy.
    #[must_use]
    pub fn hash(&self) -> ImageHash {
        self.hash
    }

    /// The rules in the order of their ordinals.
    #[must_use]
    pub fn rules(&self) -> &[RuleInfo] {
        &self.rules
    }

    /// Idle times of flows.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Globs of the interfaces to attach to.
    #[must_use]
    pub fn interface_globs(&self) -> &[String] {
        &self.interface_globs
    }
}

/// Lays `policy` out as a table image.
pub fn compile(policy: &ValidPolicy) -> Result<CompiledImage, CompileError> {
    let rules = rule_infos(policy)?;
    let mut header = header(policy)?;
    let mut pool = Pool::new();
    pool.append(&[Block([0; 8]); HEADER_BLOCKS as usize])?;
    let descriptors = pool.append(&[Block([0; 8]); CHAINS])?;

    let mut verdicts = chain::Verdicts::default();
    let (mut interfaces, mut ends) = (Vec::new(), Vec::new());
    for ((chain, at), place) in Chain::ALL.into_iter().zip(descriptors..).zip(&mut header.chains) {
        let laid = chain::build(&mut pool, &mut verdicts, policy, chain)?;
        pool.set(at, bytemuck::cast(laid.descriptor));
        *place = at;
        interfaces.extend(laid.interfaces);
        ends.extend(laid.ends);
    }
    verdicts.defaults(policy.settings.defaults, &mut pool, &header.chains);
    membership::build(&mut pool, policy, &mut header)?;
    (header.verdicts, header.verdict_count) = verdicts.append(&mut pool)?;
    let compacted = bytemuck::cast(*pool.get(header.chains[Chain::InputV4 as usize]));
    compact::complete(&mut pool, &header, &compacted);

    header.blocks = pool.count();
    let mut head = [Block([0; 8]); HEADER_BLOCKS as usize];
    bytemuck::cast_slice_mut::<_, u8>(&mut head)[..size_of::<ImageHeader>()]
        .copy_from_slice(bytemuck::bytes_of(&header));
    for (at, block) in (0..).zip(head) {
        pool.set(at, block);
    }
    let mut image = CompiledImage {
        blocks: pool.into_blocks(),
        hash: ImageHash([0; 32]),
        rules,
        interfaces: interfaces.into(),
        ends: ends.into(),
        forwarded: Patterns::new(&policy.settings.forwarded.interfaces, "forwarded interfaces")?,
        timers: policy.settings.timers,
        interface_globs: policy.settings.interfaces.clone().into(),
    };
    image.hash = hash(&image);
    Ok(image)
}

fn rule_infos(policy: &ValidPolicy) -> Result<Arc<[RuleInfo]>, CompileError> {
    if policy.rules.len() > MAX_RULES {
        return Err(CompileError::TooManyRules {
            rules: policy.rules.len(),
            limit: MAX_RULES,
        });
    }
    Ok((DEFAULT_COUNTERS..NO_RULE)
        .zip(&policy.rules)
        .map(|(ordinal, rule)| RuleInfo {
            ordinal,
            name: rule.name.clone(),
            origin: rule.origin.clone(),
            direction: rule.direction,
            action: rule.action,
            term: rule.term,
        })
        .collect())
}

/// The parts of the header that do not depend on where things lie.
fn header(policy: &ValidPolicy) -> Result<ImageHeader, CompileError> {
    Ok(ImageHeader {
        magic: MAGIC,
        abi_version: ABI_VERSION,
        flags: flags(&policy.settings),
        management_ports: places(&policy.failsafe.management_ports, "management ports")?,
        ether_types: places(&policy.settings.allowed_ether_types, "further EtherTypes")?,
        ..ImageHeader::zeroed()
    })
}

fn flags(settings: &PolicySettings) -> u32 {
    [
        (settings.forwarded != Forwarded::default(), image_flags::FORWARDS),
        (settings.tcp_midflow_pickup, image_flags::MIDFLOW_PICKUP),
        (settings.keep_live_flows, image_flags::KEEP_LIVE_FLOWS),
        (settings.allow_icmp_redirects, image_flags::ALLOW_REDIRECTS),
        (settings.allow_source_routing, image_flags::ALLOW_SOURCE_ROUTING),
    ]
    .into_iter()
    .filter_map(|(on, flag)| on.then_some(flag))
    .fold(0, |flags, flag| flags | flag)
}

/// Puts numbers into the header's fixed number of places, where zero marks an unused one.
fn places<const N: usize>(numbers: &[u16], what: &'static str) -> Result<[u16; N], CompileError> {
    if numbers.contains(&0) {
        return Err(CompileError::Zero { what });
    }
    if numbers.len() > N {
        return Err(CompileError::TooMany {
            what,
            count: numbers.len(),
            limit: N,
        });
    }
    let mut places = [0; N];
    places[..numbers.len()].copy_from_slice(numbers);
    Ok(places)
}

fn hash(image: &CompiledImage) -> ImageHash {
    let mut hasher = Sha256::new();
    hasher.update(bytemuck::cast_slice::<_, u8>(&image.blocks));
    let mut text = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    for rule in &*image.rules {
        text(&rule.name);
        if let Some(term) = rule.term {
            text(&format!("since {} until {}", term.since, term.until));
        }
    }
    for glob in &*image.interface_globs {
        text(glob);
    }
    for glob in image.forwarded.written() {
        text(glob);
    }
    for chain in &*image.interfaces {
        text(&chain.fingerprint());
    }
    text(&format!("{:?}", image.timers));
    ImageHash(hasher.finalize().into())
}

#[cfg(test)]
mod tests;
