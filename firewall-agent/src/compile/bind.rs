//! Puts into an image what belongs to this machine: numbers of counters, and the interfaces that are there.

use std::{mem::offset_of, sync::Arc};

use firewall_common::{
    image::{BLOCK_BYTES, Block, HEADER_BLOCKS, ImageHeader},
    interface::INTERFACE_SLOTS,
    verdict::{VERDICTS_PER_BLOCK, VerdictRecord, verdict_flags},
};
use sha2::{Digest, Sha256};

use super::{
    CompiledImage, ImageHash,
    interfaces::{ChainInterfaces, Patterns},
};
use crate::policy::model::Term;

/// Why an image cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Slot 0 stands for all interfaces without a slot, and there are only so many.
    #[error("interface slot {slot} is not one of 1 to {last}", last = INTERFACE_SLOTS - 1)]
    InterfaceSlot {
        /// The slot asked for.
        slot: u8,
    },
    /// Somebody has to say what their ends are on the kernel's clock.
    #[error("the policy has rules that end by themselves, and there is no clock to end them by")]
    NoClock,
}

/// An image as it goes into a slot's map.
#[derive(Debug, Clone)]
pub struct BoundImage {
    blocks: Vec<Block>,
    policy: ImageHash,
    live: LiveImage,
}

/// What is kept of an image that a slot holds: as much as it takes to say what changes with the interfaces.
#[derive(Debug, Clone)]
pub struct LiveImage {
    header: ImageHeader,
    interfaces: Arc<[ChainInterfaces]>,
    forwarded: Patterns,
}

impl CompiledImage {
    /// Replaces ordinals by the numbers of the rules' counters, by name, and fills in the interfaces that are there,
    /// by slot and name. For policies whose rules hold for good.
    pub fn bind<'a>(
        &self,
        counters: &dyn Fn(&str) -> u16,
        interfaces: impl IntoIterator<Item = (u8, &'a str)>,
    ) -> Result<BoundImage, BindError> {
        if self.rules.iter().any(|rule| rule.term.is_some()) {
            return Err(BindError::NoClock);
        }
        self.bind_until(counters, &|_| 0, interfaces)
    }

    /// As [`Self::bind`], and fills in when rules end: `ends` gives ticks of the kernel's clock, none of them zero.
    pub fn bind_until<'a>(
        &self,
        counters: &dyn Fn(&str) -> u16,
        ends: &dyn Fn(Term) -> u32,
        interfaces: impl IntoIterator<Item = (u8, &'a str)>,
    ) -> Result<BoundImage, BindError> {
        let mut bound = BoundImage {
            blocks: self.blocks.clone(),
            policy: self.hash,
            live: LiveImage {
                header: header(&self.blocks),
                interfaces: self.interfaces.clone(),
                forwarded: self.forwarded.clone(),
            },
        };
        let rules = self.rules.iter();
        let rules = rules.map(|rule| (counters(&rule.name), rule.term.map_or(0, ends)));
        bound.number(&rules.collect::<Vec<_>>());
        for (at, block) in self.ends.iter().flat_map(|chain| chain.filled(ends)) {
            bound.blocks[at as usize] = block;
        }
        for (slot, name) in interfaces {
            let patch = bound.live.interface_patch(slot, Some(name))?;
            bound.apply(&patch);
        }
        Ok(bound)
    }
}

impl BoundImage {
    /// The image.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The hash of the policy that it was compiled from.
    #[must_use]
    pub fn policy_hash(&self) -> ImageHash {
        self.policy
    }

    /// SHA-256 of these blocks, to compare with what is read back.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(bytemuck::cast_slice::<_, u8>(&self.blocks)).into()
    }

    /// What to keep once a slot holds the image.
    #[must_use]
    pub fn into_live(self) -> LiveImage {
        self.live
    }

    /// See [`LiveImage::interface_patch`].
    pub fn interface_patch(&self, slot: u8, name: Option<&str>) -> Result<Vec<(u32, Block)>, BindError> {
        self.live.interface_patch(slot, name)
    }

    /// Does to this copy what [`Self::interface_patch`] says.
    pub fn apply(&mut self, patch: &[(u32, Block)]) {
        for &(at, block) in patch {
            self.blocks[at as usize] = block;
        }
        self.live.apply(patch);
    }

    /// Replaces ordinals by counter numbers, which are given in the order of the ordinals, each with its rule's end.
    fn number(&mut self, rules: &[(u16, u32)]) {
        let header = self.live.header;
        let first = header.verdicts as usize;
        let end = first + header.verdict_count.div_ceil(VERDICTS_PER_BLOCK) as usize;
        let records: &mut [VerdictRecord] = bytemuck::cast_slice_mut(&mut self.blocks[first..end]);
        for record in &mut records[..header.verdict_count as usize] {
            if record.flags & verdict_flags::DEFAULT == 0 {
                let place = record.rule - firewall_common::counters::DEFAULT_COUNTERS;
                (record.rule, record.expires_ticks) = rules[usize::from(place)];
            }
        }
    }
}

impl LiveImage {
    /// What to write into a live image, block by block, when `slot` is given to the interface `name`, or freed
    /// (`None`). Empty where the policy speaks of no interfaces. The interface must not be attached yet, or no longer: its
    /// packets could meet half a vector.
    pub fn interface_patch(&self, slot: u8, name: Option<&str>) -> Result<Vec<(u32, Block)>, BindError> {
        if slot == 0 || usize::from(slot) >= INTERFACE_SLOTS {
            return Err(BindError::InterfaceSlot { slot });
        }
        let vectors = self.interfaces.iter().flat_map(|chain| chain.slot(slot, name));
        Ok(vectors.chain(self.forwards_on(slot, name)).collect())
    }

    /// The header's block with the slot's bit; none where no interface can be declared as forwarded.
    fn forwards_on(&self, slot: u8, name: Option<&str>) -> Option<(u32, Block)> {
        if self.forwarded.is_empty() {
            return None;
        }
        let mut header = self.header;
        let bit = 1 << (slot % 32);
        let word = &mut header.forwarded_interfaces[usize::from(slot / 32)];
        *word &= !bit;
        if name.is_some_and(|name| self.forwarded.is_match(name)) {
            *word |= bit;
        }
        let place = offset_of!(ImageHeader, forwarded_interfaces) / BLOCK_BYTES;
        Some((u32::try_from(place).ok()?, head(&header)[place]))
    }

    /// Remembers what [`Self::interface_patch`] has said once it is written.
    pub fn apply(&mut self, patch: &[(u32, Block)]) {
        let mut head = head(&self.header);
        for &(at, block) in patch.iter().filter(|(at, _)| *at < HEADER_BLOCKS) {
            head[at as usize] = block;
        }
        self.header = header(&head);
    }
}

/// The header of an image.
fn header(blocks: &[Block]) -> ImageHeader {
    bytemuck::pod_read_unaligned(&bytemuck::cast_slice(blocks)[..size_of::<ImageHeader>()])
}

/// A header as blocks.
fn head(header: &ImageHeader) -> [Block; HEADER_BLOCKS as usize] {
    let mut head = [Block([0; 8]); HEADER_BLOCKS as usize];
    bytemuck::cast_slice_mut::<_, u8>(&mut head)[..size_of::<ImageHeader>()]
        .copy_from_slice(bytemuck::bytes_of(header));
    head
}
