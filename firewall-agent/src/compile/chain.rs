//! Lays the tables of one chain, and the verdicts of all.

use bytemuck::Zeroable;
use firewall_common::{
    image::{Block, CHAINS, Chain, ChainDescriptor, DIMENSIONS, Dimension, MAX_CHAIN_RULES, NO_BLOCK},
    verdict::{VERDICTS_PER_BLOCK, Verdict, VerdictRecord, verdict_flags},
};

use super::{
    CompileError,
    arrange::Arrangement,
    compact,
    ends::ChainEnds,
    interfaces::ChainInterfaces,
    partition,
    pool::Pool,
    records::{self, Addresses, Record},
};
use crate::policy::model::{Action, Defaults, Direction, Rule, ValidPolicy};

/// Verdict records in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Vec<VerdictRecord>);

impl Verdicts {
    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).expect("six chains of at most MAX_CHAIN_RULES")
    }

    /// Adds the three defaults and names them in the chains' descriptors.
    pub(super) fn defaults(&mut self, defaults: Defaults, pool: &mut Pool, chains: &[u32; CHAINS]) {
        let first = self.count();
        for (counter, action) in (0..).zip([defaults.input, defaults.output, defaults.forward]) {
            self.0.push(VerdictRecord {
                rule: counter,
                verdict: verdict(action) as u8,
                flags: verdict_flags::DEFAULT,
                ..VerdictRecord::zeroed()
            });
        }
        // Two families share a direction's default.
        for (number, &at) in (0..).zip(chains) {
            let mut descriptor: ChainDescriptor = bytemuck::cast(*pool.get(at));
            descriptor.default_verdict = first + number / 2;
            pool.set(at, bytemuck::cast(descriptor));
        }
    }

    /// Lays the records; returns their first block and their number.
    pub(super) fn append(&self, pool: &mut Pool) -> Result<(u32, u32), CompileError> {
        let blocks: Vec<Block> = self
            .0
            .chunks(VERDICTS_PER_BLOCK as usize)
            .map(|records| {
                let mut places = [VerdictRecord::zeroed(); VERDICTS_PER_BLOCK as usize];
                places[..records.len()].copy_from_slice(records);
                bytemuck::cast(places)
            })
            .collect();
        Ok((pool.append(&blocks)?, self.count()))
    }
}

fn verdict(action: Action) -> Verdict {
    match action {
        Action::Allow => Verdict::Pass,
        Action::Drop => Verdict::Drop,
        Action::Reject => Verdict::Reject,
    }
}

fn verdict_record(ordinal: u16, rule: &Rule) -> VerdictRecord {
    VerdictRecord {
        rule: ordinal,
        verdict: verdict(rule.action) as u8,
        log_per_second: rule.log.map_or(0, |rate| rate.events_per_second),
        ..VerdictRecord::zeroed()
    }
}

/// A chain that is laid, and what of it is filled in later.
pub(super) struct Laid {
    pub(super) descriptor: ChainDescriptor,
    pub(super) interfaces: Option<ChainInterfaces>,
    pub(super) ends: Option<ChainEnds>,
}

/// Lays everything of one chain but its default.
pub(super) fn build(
    pool: &mut Pool,
    verdicts: &mut Verdicts,
    policy: &ValidPolicy,
    chain: Chain,
) -> Result<Laid, CompileError> {
    let rules = &policy.rules;
    match chain {
        Chain::InputV4 => {
            let mut laid = lay::<u32>(pool, verdicts, rules, Direction::In, chain)?;
            laid.descriptor.compact = compact::lay(pool, rules, &laid)?;
            Ok(laid)
        }
        Chain::InputV6 => lay::<u128>(pool, verdicts, rules, Direction::In, chain),
        Chain::OutputV4 => lay::<u32>(pool, verdicts, rules, Direction::Out, chain),
        Chain::OutputV6 => lay::<u128>(pool, verdicts, rules, Direction::Out, chain),
        Chain::ForwardV4 => lay::<u32>(pool, verdicts, rules, Direction::Forward, chain),
        Chain::ForwardV6 => lay::<u128>(pool, verdicts, rules, Direction::Forward, chain),
    }
}

fn lay<A: Addresses>(
    pool: &mut Pool,
    verdicts: &mut Verdicts,
    rules: &[Rule],
    direction: Direction,
    chain: Chain,
) -> Result<Laid, CompileError> {
    let records = records::expand::<A>(rules, direction)?;
    if records.len() > MAX_CHAIN_RULES as usize {
        return Err(CompileError::ChainTooLong {
            chain,
            records: records.len(),
            limit: MAX_CHAIN_RULES,
        });
    }
    let arrangement = Arrangement::new(&records);
    let interfaces = ChainInterfaces::lay(pool, &arrangement, &records)?;
    let ends = ChainEnds::lay(pool, &arrangement, &records)?;
    let descriptor = ChainDescriptor {
        tries: tries(pool, &arrangement, &records)?,
        interfaces: interfaces.as_ref().map_or(NO_BLOCK, ChainInterfaces::first_block),
        row_blocks: interfaces.as_ref().map_or(0, ChainInterfaces::row_blocks),
        summary_words: u32::try_from(arrangement.summary_words()).expect("at most 16"),
        order: if arrangement.summary_words() == 0 {
            NO_BLOCK
        } else {
            pool.intern(&arrangement.order())?
        },
        first_verdict: verdicts.count(),
        rules: u32::try_from(records.len()).expect("checked against MAX_CHAIN_RULES"),
        ends: ends.as_ref().map_or(NO_BLOCK, ChainEnds::first_block),
        ..ChainDescriptor::zeroed()
    };
    let own = records
        .iter()
        .map(|record| verdict_record(record.ordinal, record.rule));
    verdicts.0.extend(own);
    Ok(Laid {
        descriptor,
        interfaces,
        ends,
    })
}

fn tries<A: Addresses>(
    pool: &mut Pool,
    arrangement: &Arrangement,
    records: &[Record<'_, A>],
) -> Result<[u32; DIMENSIONS], CompileError> {
    let records = records.iter();
    let sources = records.clone().map(|record| record.source);
    let destinations = records.clone().map(|record| record.destination);
    let services = records.clone().map(|record| record.services.as_deref());
    let source_ports = records.clone().map(|record| record.source_port);
    let vlans = records.clone().map(|record| record.vlan);

    let mut tries = [NO_BLOCK; DIMENSIONS];
    tries[Dimension::Source as usize] = partition::lay(pool, arrangement, sources)?;
    tries[Dimension::Destination as usize] = partition::lay(pool, arrangement, destinations)?;
    tries[Dimension::Service as usize] = partition::lay(pool, arrangement, services)?;
    tries[Dimension::SourcePort as usize] = partition::lay(pool, arrangement, source_ports)?;
    tries[Dimension::Vlan as usize] = partition::lay(pool, arrangement, vlans)?;
    Ok(tries)
}
