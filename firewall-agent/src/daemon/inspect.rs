//! A close look at what the kernel holds.

use aya::programs::{SchedClassifier, tc::TcAttachType};
use firewall_common::cell::Cell;

use super::{
    agent::Agent,
    in_force::InForce,
    kernel::{Kernel, needs_vlan_tags},
    report::kernel_failure,
};
use crate::{
    compile::compile,
    control::protocol::{Enforcing, Failure, Inspection, InterfaceInspection},
    dataplane::{DataplaneError, Link, driver, image_digest, vlan_offload},
};

impl Agent {
    /// Compares what the kernel holds with what it should hold. Nothing changes.
    pub fn inspect(&self) -> Result<Inspection, Failure> {
        let _quiet = self.lock_editor();
        let (in_force, counters) = self.counted()?;
        let kernel = self.kernel();
        let failed = |error: DataplaneError| kernel_failure(&error);
        Ok(Inspection {
            is_image_intact: is_image_intact(&kernel, &in_force).map_err(failed)?,
            interfaces: interfaces(&kernel).map_err(failed)?,
            needs_vlan_tags: needs_vlan_tags(&in_force.policy),
            lost_events: counters.lost_events,
            has_management_sources: !in_force.policy.failsafe.management_sources.is_empty(),
        })
    }
}

/// `None` where nothing is known of the policy, or an interface has a number without being attached.
fn is_image_intact(kernel: &Kernel, in_force: &InForce) -> Result<Option<bool>, DataplaneError> {
    if in_force.enforcing == Enforcing::Adopted || !kernel.failures.is_empty() {
        return Ok(None);
    }
    let dataplane = &kernel.dataplane;
    let clock = dataplane.clock()?;
    let (slot, _) = Cell::effective(dataplane.cell()?.pack(), clock.now_ticks);
    let loaded = image_digest(&dataplane.read_back(slot)?);
    let numbers: std::collections::HashMap<&str, u16> = in_force
        .rules()
        .map(|(rule, number)| (&*rule.name, number))
        .collect();
    let attached = dataplane.interfaces();
    let slots = attached.iter().map(|attached| (attached.slot, &*attached.name));
    let number = |name: &str| numbers.get(name).copied().unwrap_or_default();
    let Some(bound) = compile(&in_force.policy).ok().and_then(|image| {
        image
            .bind_until(&number, &|term| kernel.ends.peek(term, &clock), slots)
            .ok()
    }) else {
        return Ok(None);
    };
    Ok(Some(bound.digest() == loaded))
}

fn interfaces(kernel: &Kernel) -> Result<Vec<InterfaceInspection>, DataplaneError> {
    let attached = kernel.dataplane.interfaces();
    let links = kernel.dataplane.links()?;
    let inspect = |link: &Link| {
        let own = attached.iter().find(|attached| attached.name == link.name);
        InterfaceInspection {
            name: link.name.clone(),
            is_filtered: own.is_some(),
            mode: own.map(|own| own.mode.to_string()),
            xdp_program: link.xdp_program,
            xdp_mode: link.xdp_mode.map(|mode| mode.to_string()),
            egress_programs: programs(&link.name, TcAttachType::Egress),
            ingress_programs: programs(&link.name, TcAttachType::Ingress),
            vlan_offload: vlan_offload(&link.name).ok(),
            mtu: link.mtu,
            driver: driver(&link.name).ok(),
        }
    };
    Ok(links.iter().filter(|link| !link.loopback).map(inspect).collect())
}

/// The kernel has tcx from 6.6 on.
fn programs(name: &str, side: TcAttachType) -> Option<Vec<String>> {
    let (_, programs) = SchedClassifier::query_tcx(name, side).ok()?;
    let names = programs
        .iter()
        .map(|program| program.name_as_str().unwrap_or("?").to_owned());
    Some(names.collect())
}
