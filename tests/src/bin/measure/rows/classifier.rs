//! The classifier by itself, on sets of rules like those of `ClassBench`.

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::Array,
    programs::{ProgramFd, Xdp},
};
use firewall_agent::compile::compile;
use firewall_common::{address::Family, counters::DEFAULT_COUNTERS, image, wire::tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{Net, end, nets},
    rule_sets::{LAST_PORT, Shape, policy, rules_before_last},
};

use crate::{
    Bench,
    report::Report,
    results::{Case, Figure, Unit},
    rounds::take_turns,
    shim::{Own, Shim, Target, Way},
};

/// The row that asks for such sets.
const ROW: u8 = 6;
/// Numbers of rules.
const SIZES: [usize; 3] = [10, 10_000, 50_000];
const SEED: u64 = 1;
const REMOTES: u32 = 1 << 14;
const OF_TEN: &str = "10 rules";

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Block(image::Block);

// SAFETY: words only, without padding.
unsafe impl Pod for Block {}

/// A set of rules, in the image of a program of its own.
struct Loaded {
    /// Keeps the program.
    _object: Ebpf,
    program: ProgramFd,
    rules: usize,
}

impl Loaded {
    fn new(object: &[u8], shape: Shape, family: Family, rules: usize) -> Result<Self> {
        let image = compile(&policy(rules_before_last(shape, family, rules, SEED)))?;
        let blocks = image.blocks();
        let mut object = EbpfLoader::new()
            .map_max_entries("IMAGE", u32::try_from(blocks.len())?)
            .load(object)
            .context("the bench object")?;
        let mut map = Array::<_, Block>::try_from(object.map_mut("IMAGE").context("IMAGE")?)?;
        for (place, block) in (0..).zip(blocks) {
            map.set(place, Block(*block), 0)?;
        }
        let name = "bench_classify";
        let program: &mut Xdp = object.program_mut(name).context(name)?.try_into()?;
        program.load()?;
        Ok(Self {
            program: program.fd()?.try_clone()?,
            _object: object,
            rules,
        })
    }

    /// What the program returns where the last rule decides.
    fn last(&self) -> Result<u32> {
        Ok(u32::try_from(self.rules)? - 1 + u32::from(DEFAULT_COUNTERS))
    }
}

/// Each shape and family.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut shim = Shim::load(&bench.object, REMOTES)?;
    for shape in Shape::LIKE_CLASSBENCH {
        for net in nets() {
            sizes(bench, &mut shim, shape, &net, report)?;
        }
    }
    Ok(())
}

fn sizes(bench: &Bench, shim: &mut Shim, shape: Shape, net: &Net, report: &mut Report) -> Result<()> {
    let (family, name) = if net.server.is_ipv4() {
        (Family::V4, "IPv4")
    } else {
        (Family::V6, "IPv6")
    };
    eprintln!("  {shape}, {name}");
    let sets: Vec<Loaded> = SIZES
        .iter()
        .map(|size| Loaded::new(&bench.object, shape, family, *size))
        .collect::<Result<_>>()?;
    let syn = Packet::tcp(
        end(net.client, 40_000),
        end(net.server, LAST_PORT),
        &Segment::new(SYN),
    )
    .frame();
    let candidates: Vec<Option<&Loaded>> = std::iter::once(None).chain(sets.iter().map(Some)).collect();
    let figures = take_turns(bench.effort.rounds, &candidates, |candidate| {
        let target = candidate.map_or(Target::Own(Own::Empty), |set| Target::Other(&set.program));
        let (code, nanoseconds) = shim.run(Way::Xdp, target, &syn, bench.effort.packets)?;
        if let Some(set) = candidate {
            ensure!(code == set.last()?, "rule {code} of {} has decided", set.rules);
        }
        Ok(nanoseconds)
    })?;
    let net_figures: Vec<Figure> = figures[1..]
        .iter()
        .map(|figure| figure.net_of(&figures[0]))
        .collect();
    for (size, figure) in SIZES.iter().zip(&net_figures) {
        let case = Case::new(
            format!("classifier alone, {shape}, {name}, {size} rules"),
            Unit::Nanoseconds,
        )
        .ours(figure.clone());
        report.add(
            ROW,
            match size {
                10 => case,
                10_000 => case
                    .with(OF_TEN, net_figures[0].clone())
                    .at_most_times(3.0, OF_TEN),
                _ => case.with(OF_TEN, net_figures[0].clone()).works(),
            },
        );
    }
    Ok(())
}
