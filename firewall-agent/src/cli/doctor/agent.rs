//! The agent, its policy and its interfaces.

use super::finding::{Finding, Level};
use crate::control::protocol::{
    Enforcing, FileState, Inspection, InterfaceInspection, InterfaceStatus, SettingsState, SettingsStatus,
    Status,
};

/// Larger frames reach XDP in pieces (`xdp.frags`), which the driver has to know how to do: a page less headroom and
/// the end of the buffer (`XDP_PACKET_HEADROOM`, `skb_shared_info`).
const LARGEST_WHOLE_FRAME: u32 = 3500;

/// What the kernel calls the agent's program for outgoing packets.
const EGRESS_PROGRAM: &str = "fw_egress";

pub(super) fn of_status(status: &Status) -> Vec<Finding> {
    let mut found = vec![version(status), enforcing(status)];
    found.extend(mode(status));
    found.push(files(status));
    found.extend(status.settings.as_ref().map(settings));
    let failed = status
        .last_reload
        .as_ref()
        .and_then(|reload| reload.failure.as_ref());
    found.extend(failed.map(|failure| {
        let finding = format!("the last change failed: {}", failure.message);
        let advice = failure.hint.clone();
        Finding::new("policy", Level::Warning, finding)
            .advice(advice.unwrap_or_else(|| "see `fwctl status`".to_owned()))
    }));
    let notes = status.notes.iter();
    found.extend(notes.map(|note| {
        Finding::new("agent", Level::Warning, note.clone())
            .advice("see the log: journalctl -u firewall-agent")
    }));
    found.extend(status.interface_failures.iter().map(|failure| {
        let finding = format!("{} is not filtered: {}", failure.name, failure.error);
        Finding::new("interface", Level::Problem, finding)
            .advice("take away what is in the way, or leave the interface out of `interfaces` in the policy")
    }));
    if status.interfaces.is_empty() {
        found.push(
            Finding::new("interface", Level::Problem, "no interface is filtered")
                .advice("name the interfaces to filter in the policy: interfaces = [\"eth*\"]"),
        );
    }
    found.extend(status.interfaces.iter().flat_map(interface));
    found
}

fn version(status: &Status) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    if status.agent_version == own {
        return Finding::new("agent", Level::Good, format!("runs, version {own}"));
    }
    let finding = format!(
        "the agent is of version {}, this fwctl of {own}",
        status.agent_version
    );
    Finding::new("agent", Level::Warning, finding).advice("systemctl restart firewall-agent")
}

fn enforcing(status: &Status) -> Finding {
    match status.enforcing {
        Enforcing::Policy => Finding::new("policy", Level::Good, format!("{} rules in force", status.rules)),
        Enforcing::FailsafeOnly => Finding::new(
            "policy",
            Level::Problem,
            "no policy is in force: everything but the failsafe is dropped",
        )
        .advice("fwctl check --settings /etc/firewall-agent/agent.toml; then fwctl reload"),
        Enforcing::Adopted => Finding::new(
            "policy",
            Level::Problem,
            "an earlier agent has loaded the policy in force, and nothing is known of it",
        )
        .advice("fwctl reload"),
        Enforcing::Nothing => Finding::new(
            "policy",
            Level::Problem,
            "nothing is filtered: no policy was ever put in force",
        )
        .advice("set failsafe.management_sources in the agent's settings, restart the agent, then fwctl apply --confirm 60s"),
    }
}

fn mode(status: &Status) -> Option<Finding> {
    let (level, finding) = match &*status.mode {
        "normal" => return None,
        "pause" => (Level::Problem, "paused: every packet passes"),
        _ => (
            Level::Warning,
            "panic mode: everything but the failsafe is dropped",
        ),
    };
    Some(Finding::new("policy", level, finding).advice("see `fwctl status`"))
}

fn files(status: &Status) -> Finding {
    let differ = status
        .files
        .iter()
        .filter(|file| file.state != FileState::InForce);
    let names: Vec<String> = differ
        .map(|file| format!("{} ({})", file.path.display(), file.state.name()))
        .collect();
    if names.is_empty() {
        return Finding::new("drift", Level::Good, "the policy files are what is in force");
    }
    let finding = format!("policy files differ from what is in force: {}", names.join(", "));
    Finding::new("drift", Level::Warning, finding)
        .advice("fwctl check, then fwctl reload; or put the files back")
}

fn settings(settings: &SettingsStatus) -> Finding {
    let path = settings.path.display();
    match settings.state {
        SettingsState::InUse => Finding::new("drift", Level::Good, "the agent's settings are those on disk"),
        SettingsState::Changed => {
            let finding = format!("{path} differs from the settings that the agent runs with");
            Finding::new("drift", Level::Warning, finding).advice("systemctl restart firewall-agent")
        }
        SettingsState::Broken => {
            let fault = settings.fault.as_deref().unwrap_or_default();
            let first = fault.lines().next().unwrap_or_default();
            let finding = format!(
                "the settings on disk cannot be used, and the agent runs with those that it last started with: {first}"
            );
            Finding::new("drift", Level::Problem, finding).advice(
                "firewall-agent check-settings, until they are right; then systemctl restart firewall-agent",
            )
        }
    }
}

fn interface(interface: &InterfaceStatus) -> Vec<Finding> {
    let name = &interface.name;
    let mut attached = Finding::new(
        "interface",
        Level::Good,
        format!(
            "{name} is filtered in {} mode ({})",
            interface.mode, interface.reason
        ),
    );
    if let Some(cost) = &interface.cost {
        attached.level = Level::Note;
        attached.text = format!("{}: {cost}", attached.text);
        attached = attached.advice("[[attach]] in the agent's settings chooses the mode");
    }
    let mut found = vec![attached];
    if interface.vlan_offload_disabled {
        found.push(Finding::new(
            "interface",
            Level::Note,
            format!(
                "{name}: receive VLAN offload is off, as the policy needs the tags; unloading restores it"
            ),
        ));
    }
    found
}

/// How the largest frames reach the program, where the agent knows their size.
fn frames(interface: &InterfaceInspection) -> Option<Finding> {
    let (name, mtu) = (&interface.name, interface.mtu?);
    let driver = interface.driver.as_deref().unwrap_or("without a name");
    let finding = |how| format!("{name}: frames of up to {mtu} bytes reach XDP {how} (driver {driver})");
    if mtu <= LARGEST_WHOLE_FRAME || interface.mode.as_deref() != Some("native") {
        return Some(Finding::new("interface", Level::Good, finding("whole")));
    }
    let found = Finding::new("interface", Level::Note, finding("in pieces"));
    Some(found.advice(
        "headers are always in the first piece; a driver that cannot do it refuses to attach, see `fwctl status`",
    ))
}

pub(super) fn of_inspection(inspection: &Inspection) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(inspection.is_image_intact.map(|intact| {
        if intact {
            return Finding::new(
                "drift",
                Level::Good,
                "the kernel holds what the policy in force makes",
            );
        }
        Finding::new(
            "drift",
            Level::Problem,
            "the kernel holds something else than the policy in force makes",
        )
        .advice("systemctl restart firewall-agent; it loads the policy anew, and filtering goes on meanwhile")
    }));
    found.extend(inspection.interfaces.iter().flat_map(programs));
    let filtered = inspection
        .interfaces
        .iter()
        .filter(|interface| interface.is_filtered);
    found.extend(filtered.clone().filter_map(frames));
    found.extend(filtered.map(|interface| vlan_offload(interface, inspection.needs_vlan_tags)));
    if !inspection.has_management_sources {
        found.push(
            Finding::new(
                "policy",
                Level::Warning,
                "the failsafe lets nobody in, whatever goes wrong",
            )
            .advice("set failsafe.management_sources in the agent's settings"),
        );
    }
    if inspection.lost_events > 0 {
        let finding = format!("{} log events found no room", inspection.lost_events);
        found.push(Finding::new("table", Level::Note, finding).advice("let rules log less: `log = \"1/s\"`"));
    }
    found
}

/// Whether tags reach the programs that need them.
fn vlan_offload(interface: &InterfaceInspection, is_needed: bool) -> Finding {
    let name = &interface.name;
    match (is_needed, interface.vlan_offload) {
        (true, Some(true)) => {
            let finding = format!(
                "{name}: the device takes VLAN tags off before XDP sees them, and the policy names VLANs or rejects packets that may have one"
            );
            Finding::new("interface", Level::Problem, finding).advice(format!(
                "ethtool -K {name} rxvlan off; where the driver refuses, filter the VLAN interfaces and not {name}"
            ))
        }
        (true, None) => {
            let finding = format!(
                "{name}: the device does not say whether it takes VLAN tags off, which the policy needs"
            );
            Finding::new("interface", Level::Note, finding).advice(format!(
                "ethtool -k {name} | grep rx-vlan-offload: it has to be off"
            ))
        }
        (true, Some(false)) => Finding::new(
            "interface",
            Level::Good,
            format!("{name}: VLAN tags reach the programs"),
        ),
        (false, _) => Finding::new(
            "interface",
            Level::Good,
            format!("{name}: the policy needs no VLAN tags, so the device may take them off"),
        ),
    }
}

/// What is on an interface beside the agent's programs, and whether those are there.
fn programs(interface: &InterfaceInspection) -> Vec<Finding> {
    let name = &interface.name;
    let mut found = Vec::new();
    let restart = "systemctl restart firewall-agent attaches again; find out who has detached it";
    if interface.is_filtered && interface.xdp_program.is_none() {
        let finding = format!("{name}: no XDP program is attached: incoming packets are not filtered");
        found.push(Finding::new("drift", Level::Problem, finding).advice(restart));
    }
    if interface.is_filtered && interface.xdp_program.is_some() && interface.mode != interface.xdp_mode {
        let finding = format!("{name}: XDP is attached in another mode than the agent has attached it in");
        found.push(Finding::new("drift", Level::Warning, finding).advice(restart));
    }
    if !interface.is_filtered && interface.xdp_program.is_some() {
        let finding = format!("{name}: is not filtered, and has another XDP program");
        found.push(
            Finding::new("interface", Level::Note, finding)
                .advice("the agent does not attach beside it; see `bpftool net show`"),
        );
    }
    let others: Vec<&str> = interface
        .egress_programs
        .iter()
        .flatten()
        .map(String::as_str)
        .filter(|program| *program != EGRESS_PROGRAM)
        .collect();
    if !others.is_empty() {
        let finding = format!(
            "{name}: other tcx programs see outgoing packets, too: {}",
            others.join(", ")
        );
        found.push(
            Finding::new("interface", Level::Note, finding)
                .advice("what passes here goes on to them; see `bpftool net show`"),
        );
    }
    let before: Vec<&str> = interface
        .ingress_programs
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if interface.is_filtered && !before.is_empty() {
        let finding = format!(
            "{name}: tcx programs see incoming packets after XDP, and may drop what has passed: {}",
            before.join(", ")
        );
        found.push(Finding::new("interface", Level::Note, finding).advice(
            "where a packet is missing that `fwctl explain` lets in, look there: `bpftool net show`",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eth0() -> InterfaceInspection {
        InterfaceInspection {
            name: "eth0".to_owned(),
            is_filtered: true,
            mode: Some("native".to_owned()),
            xdp_program: Some(7),
            xdp_mode: Some("native".to_owned()),
            egress_programs: Some(vec![EGRESS_PROGRAM.to_owned()]),
            ingress_programs: Some(Vec::new()),
            vlan_offload: Some(false),
            mtu: Some(1500),
            driver: Some("virtio_net".to_owned()),
        }
    }

    fn inspected(change: impl FnOnce(&mut InterfaceInspection)) -> Vec<Level> {
        let mut interface = eth0();
        change(&mut interface);
        programs(&interface).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn missing_and_foreign_programs_are_found() {
        assert_eq!(inspected(|_| {}), []);
        assert_eq!(inspected(|it| it.xdp_program = None), [Level::Problem]);
        assert_eq!(
            inspected(|it| it.xdp_mode = Some("generic".to_owned())),
            [Level::Warning]
        );
        assert_eq!(
            inspected(|it| (it.is_filtered, it.mode) = (false, None)),
            [Level::Note]
        );
        assert_eq!(
            inspected(|it| it.egress_programs = Some(vec!["cil_to_netdev".to_owned()])),
            [Level::Note]
        );
        assert_eq!(inspected(|it| it.egress_programs = None), []);
        assert_eq!(
            inspected(|it| it.ingress_programs = Some(vec!["cil_from_netdev".to_owned()])),
            [Level::Note]
        );
        assert_eq!(
            inspected(|it| (it.is_filtered, it.mode, it.xdp_program) = (false, None, None)),
            [],
            "what is not filtered is nobody's business"
        );
    }

    #[test]
    fn tags_that_the_device_takes_off_are_a_problem_only_where_they_are_needed() {
        let finding = |is_needed, vlan_offload_is| {
            let interface = InterfaceInspection {
                vlan_offload: vlan_offload_is,
                ..eth0()
            };
            vlan_offload(&interface, is_needed)
        };
        let problem = finding(true, Some(true));
        assert_eq!(problem.level, Level::Problem);
        assert!(
            problem
                .advice
                .is_some_and(|advice| advice.starts_with("ethtool -K eth0 rxvlan off"))
        );
        assert_eq!(finding(true, None).level, Level::Note);
        assert_eq!(finding(true, Some(false)).level, Level::Good);
        assert_eq!(finding(false, Some(true)).level, Level::Good);
    }

    #[test]
    fn large_frames_are_told_of_where_they_come_in_pieces() {
        let finding = |mode: &str, mtu| {
            frames(&InterfaceInspection {
                mode: Some(mode.to_owned()),
                mtu,
                ..eth0()
            })
        };
        let level = |mode, mtu| finding(mode, Some(mtu)).map(|finding| finding.level);
        assert_eq!(level("native", 1500), Some(Level::Good));
        assert_eq!(level("generic", 9000), Some(Level::Good));
        assert_eq!(level("native", 9000), Some(Level::Note));
        let large = finding("native", Some(9000));
        assert!(
            large.is_some_and(|large| large.advice.is_some() && large.text.contains("driver virtio_net"))
        );
        assert!(finding("native", None).is_none(), "an older agent does not say");
    }

    #[test]
    fn an_image_that_was_written_to_is_found() {
        let inspection = |is_image_intact| Inspection {
            is_image_intact,
            interfaces: Vec::new(),
            needs_vlan_tags: true,
            lost_events: 0,
            has_management_sources: true,
        };
        let levels = |inspection: &Inspection| -> Vec<Level> {
            of_inspection(inspection)
                .iter()
                .map(|finding| finding.level)
                .collect()
        };
        assert_eq!(levels(&inspection(Some(true))), [Level::Good]);
        assert_eq!(levels(&inspection(Some(false))), [Level::Problem]);
        assert_eq!(levels(&inspection(None)), []);
    }
}
