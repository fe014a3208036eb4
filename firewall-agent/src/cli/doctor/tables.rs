//! Tables that fill up, and drops that should not be.

use super::finding::{Finding, Level};
use crate::control::protocol::{Counters, Status, TableUse};

/// From here on a table is nearly full, in percent.
const FULL: u64 = 95;
const FILLING: u64 = 80;

pub(super) fn of_status(status: &Status) -> Vec<Finding> {
    let mut found: Vec<Finding> = status.tables.iter().filter_map(table).collect();
    if found.is_empty() {
        found.push(Finding::new("table", Level::Good, "all tables have room"));
    }
    found
}

fn table(table: &TableUse) -> Option<Finding> {
    let percent = (table.used * 100).checked_div(table.capacity)?;
    // An image's map is made to measure; half-open flows make room for each other.
    if percent < FILLING || table.table.starts_with("IMAGE") {
        return None;
    }
    let level = match percent {
        FULL.. if table.table != "HALF_FLOWS" => Level::Problem,
        _ => Level::Warning,
    };
    let finding = format!(
        "{} is {percent} % full ({} of {})",
        table.table, table.used, table.capacity
    );
    let key = match &*table.table {
        "FLOWS" => "tables.flows",
        "HALF_FLOWS" => "tables.half_open_flows",
        "RULE_COUNTERS" => "tables.rule_counters",
        "LIST_BLOCKS" => "tables.list_blocks",
        name if name.starts_with("BANS") => "tables.bans",
        _ => return Some(Finding::new("table", level, finding)),
    };
    Some(Finding::new("table", level, finding).advice(format!(
        "raise {key} in the agent's settings; it holds from the next start after `firewall-agent unload`"
    )))
}

/// Reasons that say that something is wrong here, not with the packets.
const TELLING: [(&str, Level, &str); 3] = [
    (
        "internal",
        Level::Problem,
        "look at the agent's log, and report it",
    ),
    ("no-policy", Level::Problem, "put a policy in force: fwctl reload"),
    (
        "flow-table-full",
        Level::Warning,
        "raise tables.half_open_flows in the agent's settings",
    ),
];

pub(super) fn of_counters(counters: &Counters) -> Vec<Finding> {
    let found: Vec<Finding> = TELLING
        .iter()
        .filter_map(|(name, level, advice)| {
            let reasons = counters.reasons.iter().filter(|reason| reason.reason == *name);
            let packets: u64 = reasons.map(|reason| reason.total.packets).sum();
            let finding = format!("{packets} packets were dropped by reason {name}");
            (packets > 0).then(|| Finding::new("drops", *level, finding).advice(*advice))
        })
        .collect();
    if found.is_empty() {
        return vec![Finding::new(
            "drops",
            Level::Good,
            "none for a fault of this host",
        )];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Packets, ReasonCounts};

    #[test]
    fn tables_that_fill_up_are_found() {
        let of = |name: &str, used| {
            table(&TableUse {
                table: name.to_owned(),
                used,
                capacity: 100,
            })
            .map(|finding| finding.level)
        };
        assert_eq!(of("FLOWS", 79), None);
        assert_eq!(of("FLOWS", 80), Some(Level::Warning));
        assert_eq!(of("FLOWS", 95), Some(Level::Problem));
        assert_eq!(of("HALF_FLOWS", 100), Some(Level::Warning));
        assert_eq!(of("IMAGE_1", 100), None);
    }

    #[test]
    fn drops_for_a_fault_of_this_host_are_found() {
        let counters = |reason: &str| Counters {
            rules: Vec::new(),
            reasons: vec![ReasonCounts {
                reason: reason.to_owned(),
                hook: "ingress".to_owned(),
                drops: true,
                total: Packets {
                    packets: 3,
                    bytes: 200,
                },
                meaning: String::new(),
            }],
            interfaces: Vec::new(),
        };
        assert_eq!(of_counters(&counters("internal"))[0].level, Level::Problem);
        assert_eq!(of_counters(&counters("default"))[0].level, Level::Good);
    }
}
