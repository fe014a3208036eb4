//! One bulk TCP stream.

use std::time::Duration;

use anyhow::Result;
use firewall_agent::settings::AttachMode;

use crate::{
    Bench,
    guard::Guard,
    pair::{INTERFACE, Pair},
    policies::load_balancer,
    report::Report,
    results::{Case, Unit},
    rounds::take_turns,
    tcp,
};

const PORT: u16 = 443;
const NOTHING: &str = "no firewall";
const NATIVE: &str = "native XDP";

/// A pair with nothing between, with us as `auto` attaches on veth, and natively attached.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let pairs = [Pair::new()?, Pair::new()?, Pair::new()?];
    let guard = |pair: &Pair, mode| Guard::new(&pair.server, INTERFACE, mode, load_balancer(&[], 0)?);
    let _guards = [
        guard(&pairs[1], AttachMode::Auto)?,
        guard(&pairs[2], AttachMode::Native)?,
    ];
    let span = Duration::from_millis(bench.effort.either(500, 300));
    let figures = take_turns(bench.effort.rounds, &[0, 1, 2], |place: usize| {
        tcp::stream(&pairs[place], PORT, span)
    })?;
    let case = Case::new("mode auto", Unit::GigabitsPerSecond)
        .ours(figures[1].clone())
        .with(NOTHING, figures[0].clone())
        .with(NATIVE, figures[2].clone())
        .better_than(0.95, NOTHING);
    report.add(11, case);
    Ok(())
}
