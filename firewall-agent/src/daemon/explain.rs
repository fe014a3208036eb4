//! Why a packet passes or does not, by what is in force.

use std::{collections::BTreeMap, net::IpAddr};

use firewall_common::{
    cell::Cell,
    counters::Hook,
    flow::{Flow, FlowKey, NewFlow, flow_flags},
    headers,
    interface::LinkType,
    wire::protocol,
};

use super::{
    agent::Agent,
    cross_check::{self, Asked, DryRuns},
    in_force::InForce,
    kernel::Kernel,
    report::kernel_failure,
};
use crate::{
    control::protocol::{Enforcing, Failure, FailureKind},
    dataplane::{AttachedInterface, FlowTable, FlowView},
    engine::Sizes,
    policy::model::ValidPolicy,
    trial::{Explanation, KnownFlow, Question, Subject, Surroundings, asked_frame, explain, frame},
};

/// Blocks for the members of block lists: as many as a million random addresses of both families take.
const LIST_BLOCKS: u32 = 1 << 19;

impl Agent {
    /// Explains what becomes of a packet. The image, the lists and the mode are read from the kernel, and its programs are
    /// asked the same; nothing there changes.
    pub fn explain(&self, question: Question) -> Result<Explanation, Failure> {
        question
            .check()
            .map_err(|error| Failure::new(FailureKind::BadRequest, error.to_string()))?;
        let mut runs = self.dry_runs();
        let (explanation, is_settled) = self.explain_once(question.clone(), &mut runs)?;
        if is_settled {
            return Ok(explanation);
        }
        // A packet may have changed its flow between two looks at the tables.
        Ok(self.explain_once(question, &mut runs)?.0)
    }

    /// Explains, and says whether the kernel agrees, where it could be asked.
    fn explain_once(
        &self,
        mut question: Question,
        runs: &mut DryRuns,
    ) -> Result<(Explanation, bool), Failure> {
        let prepared = self.prepare_dry_run(runs, question.way.hook());
        // No change goes on meanwhile, so that the kernel holds what is known to be in force.
        let _quiet = self.lock_editor();
        let in_force = self.in_force();
        if in_force.enforcing == Enforcing::Adopted {
            let message = "nothing is known of the policy in force: an earlier agent has loaded it";
            return Err(Failure::new(FailureKind::Conflict, message)
                .hint("put the policy files in force: fwctl reload"));
        }
        let clock = self.read_clock()?;
        let (remote, _) = question.remote();
        let remaining = self.remaining()?;
        let bans = self.lock_bans().live(&clock);
        let is_banned = bans.iter().any(|ban| ban.prefix.contains(&remote));
        let mut kernel = self.kernel();
        let interface = interface(&kernel, &mut question)?;
        let (subject, mut around) = live(&mut kernel, &in_force, &question, interface.as_ref(), is_banned)?;
        let frame = asked_frame(&question, &around);
        let asked = match prepared {
            Ok(()) => cross_check::ask(runs, &kernel, &subject, &question, interface.as_ref(), &frame),
            Err(error) => Err(error),
        };
        drop(kernel);
        let asked = asked.unwrap_or_else(|error| Asked::Impossible(kernel_failure(&error).message));
        let terms = in_force.policy.rules.iter().filter_map(|rule| rule.term);
        around.left = terms.map(|term| (term, remaining.left(term))).collect();
        let mut explanation = explain(&subject, &label(&in_force), &question, &around);
        let is_settled = cross_check::enter(&mut explanation, asked);
        Ok((explanation, is_settled))
    }
}

/// The attached interface of this name; without a name the only one that there is.
fn interface(kernel: &Kernel, question: &mut Question) -> Result<Option<AttachedInterface>, Failure> {
    let mut attached = kernel.dataplane.interfaces();
    let Some(name) = question.interface.clone() else {
        let only = if attached.len() == 1 { attached.pop() } else { None };
        question.interface = only.as_ref().map(|interface| interface.name.clone());
        return Ok(only);
    };
    let names: Vec<String> = attached.iter().map(|one| one.name.clone()).collect();
    match attached.into_iter().find(|one| one.name == name) {
        Some(found) => Ok(Some(found)),
        None => Err(
            Failure::new(FailureKind::NotFound, format!("{name} is not filtered"))
                .hint(format!("filtered interfaces: {}", names.join(", "))),
        ),
    }
}

/// The policy in force with what is loaded for it, and what is around it.
fn live(
    kernel: &mut Kernel,
    in_force: &InForce,
    question: &Question,
    interface: Option<&AttachedInterface>,
    is_banned: bool,
) -> Result<(Subject, Surroundings), Failure> {
    let failed = |error| kernel_failure(&error);
    let dataplane = &mut kernel.dataplane;
    let cell = dataplane.cell().map_err(failed)?;
    let clock = dataplane.clock().map_err(failed)?;
    let (slot, mode) = Cell::effective(cell.pack(), clock.now_ticks);
    let blocks = dataplane.read_back(slot).map_err(failed)?;
    let sizes = Sizes {
        list_blocks: LIST_BLOCKS,
        ..Sizes::default()
    };
    let policy = ValidPolicy::clone(&in_force.policy);
    let has_lists = !policy.lists.is_empty();
    let mut subject = Subject::of_image(policy, &in_force.numbers, &blocks, sizes);
    if has_lists {
        let members = dataplane.list_members(slot).map_err(failed)?;
        let loaded = subject.load_lists(&members, sizes);
        loaded.map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))?;
    }
    subject.set_mode(mode);
    subject.set_interface_slot(interface.map_or(0, |interface| interface.slot));
    let local: Vec<IpAddr> = dataplane.local_addresses().map_err(failed)?.into_iter().collect();
    for address in &local {
        subject.add_local(*address);
    }
    if is_banned {
        subject.engine.ban(question.remote().0, 0);
    }
    let slots = dataplane.slots().map_err(failed)?;
    let epoch = slots
        .iter()
        .find(|status| status.slot == slot)
        .map(|status| status.epoch);
    let flow = flow_of(kernel, question)?;
    let around = Surroundings {
        is_live: true,
        flow: flow.map(|view| {
            let is_current = Some(view.epoch) == epoch;
            known(
                &mut subject,
                &view,
                in_force,
                question,
                (is_current, clock.now_ticks),
            )
        }),
        is_banned,
        mode,
        local,
        now_ticks: clock.now_ticks,
        left: BTreeMap::new(),
    };
    Ok((subject, around))
}

/// The live flow between the packet's ends.
fn flow_of(kernel: &Kernel, question: &Question) -> Result<Option<FlowView>, Failure> {
    let frame = frame(question, true);
    let Ok(headers) = headers::parse(&frame.as_slice(), LinkType::Ethernet) else {
        return Ok(None);
    };
    let key = FlowKey::of(&headers, question.way.hook());
    let mut found = None;
    let visited = kernel.dataplane.visit_flows(&mut |view| {
        if view.key == key {
            found = Some(*view);
        }
        found.is_none()
    });
    visited.map_err(|error| kernel_failure(&error))?;
    Ok(found)
}

/// Enters a live flow into the engine's table, as it stands in the kernel's.
fn known(
    subject: &mut Subject,
    view: &FlowView,
    in_force: &InForce,
    question: &Question,
    (is_current, now_ticks): (bool, u32),
) -> KnownFlow {
    let epoch = subject.engine.epoch();
    let flow = Flow {
        seen_ticks: now_ticks,
        ..view.flow
    };
    let entered = NewFlow {
        key: view.key,
        flow: flow.pack(),
        epoch: if is_current { epoch } else { epoch - 1 },
        // Zero is for no end.
        expires_ticks: if view.rule_ended { now_ticks.max(1) } else { 0 },
        local_acknowledgement: 0,
        opened_ticks: now_ticks,
    };
    // The table is empty but for this one.
    subject.engine.enter(&entered, view.table == FlowTable::Assured);
    let opened_by_remote = view.flow.flags & flow_flags::OPENED_BY_REMOTE != 0;
    let is_openers_way = opened_by_remote == (question.way.hook() == Hook::Ingress);
    let is_half = view.table == FlowTable::Half;
    KnownFlow {
        state: view.flow.state.name().to_owned(),
        rule: in_force
            .counter_name(view.flow.rule)
            .map_or_else(|| format!("#{}", view.flow.rule), |name| name.to_string()),
        remaining_seconds: view.remaining.as_secs(),
        is_current: is_current && !view.rule_ended,
        rule_ended: view.rule_ended,
        is_opening: view.key.protocol != protocol::TCP || (is_half && is_openers_way),
    }
}

fn label(in_force: &InForce) -> String {
    let who = match &in_force.policy.host {
        Some(host) => format!("host {host}, role {}", in_force.policy.role),
        None => format!("role {}", in_force.policy.role),
    };
    let revision = in_force
        .revision
        .as_ref()
        .map(|revision| format!("revision {}, ", revision.number));
    format!(
        "in force: {}generation {} for {who}",
        revision.unwrap_or_default(),
        in_force.epoch
    )
}
