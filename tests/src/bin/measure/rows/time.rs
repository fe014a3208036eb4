//! Time to put a policy in force.

use std::time::Instant;

use anyhow::Result;
use firewall_agent::policy::model::ValidPolicy;

use crate::{
    Bench,
    case::missing,
    firewall::Firewall,
    plain_rule::{DropRule, drop_rules},
    policies::{block_list, load_balancer},
    prefixes::mixed,
    report::Report,
    results::{Case, Figure, Unit},
};

const MANY: u16 = 10_000;
const LISTED: u32 = 1_000_000;

/// Rules, an edit, and a list.
#[expect(
    clippy::unnecessary_wraps,
    reason = "all rows are measured by functions of one type"
)]
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    for (rules, most) in [(100, 50.0), (MANY, 500.0)] {
        eprintln!("  {rules} rules");
        let name = format!("{rules} rules");
        let case = of_rules(bench, &drop_rules(rules), &drop_rules(rules));
        add(report, case, &name, rules.into(), most);
    }
    let rules = drop_rules(MANY);
    let mut edited = rules.clone();
    let middle = usize::from(MANY / 2);
    edited[middle].port = 4001;
    add(
        report,
        of_rules(bench, &rules, &edited),
        &format!("one of {MANY} rules edited"),
        0,
        50.0,
    );
    eprintln!("  a list of {LISTED}");
    let list = mixed(LISTED);
    let full = block_list(list.iter().copied()).and_then(|policy| in_turns(bench, &[policy]));
    add(report, full, &format!("list of {LISTED} prefixes"), 0, 2000.0);
    let entry = block_list(list.iter().copied()).and_then(|policy| one_entry(bench, &policy));
    add(report, entry, &format!("one entry of a list of {LISTED}"), 0, 5.0);
    Ok(())
}

fn add(report: &mut Report, figure: Result<Figure>, name: &str, rules: u64, most: f64) {
    let case = match figure {
        Ok(figure) => {
            let case = Case::new(name, Unit::Milliseconds).ours(figure);
            if rules == 0 {
                case
            } else {
                case.of_series("time to put rules in force", rules)
            }
        }
        Err(error) => missing(name, Unit::Milliseconds, &error),
    };
    report.add(12, case.at_most(most));
}

/// Milliseconds until packets are judged by a list that one entry is added to, or taken out of.
fn one_entry(bench: &Bench, policy: &ValidPolicy) -> Result<Figure> {
    let mut firewall = Firewall::load(policy, 0)?;
    let mut rounds = Vec::new();
    for round in 0..bench.effort.rounds {
        let address = u32::from_be_bytes([198, 18, 0, 1]) + u32::try_from(round / 2)?;
        let inside = (round % 2 == 0).then_some((address, address));
        let start = Instant::now();
        firewall.change_list(address, inside.into_iter().collect())?;
        rounds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figure::of(rounds))
}

/// One policy and the other in turns.
fn of_rules(bench: &Bench, one: &[DropRule], other: &[DropRule]) -> Result<Figure> {
    in_turns(bench, &[load_balancer(one, 0)?, load_balancer(other, 0)?])
}

/// Milliseconds from a checked policy to the packets that it judges: compiled, loaded, read back, switched to. The slot
/// that it takes is ready.
fn in_turns(bench: &Bench, policies: &[ValidPolicy]) -> Result<Figure> {
    let mut firewall = Firewall::load(&policies[0], 0)?;
    let mut rounds = Vec::new();
    for policy in policies.iter().cycle().take(bench.effort.rounds) {
        firewall.prepare(policy)?;
        let start = Instant::now();
        firewall.enforce(policy)?;
        rounds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figure::of(rounds))
}
