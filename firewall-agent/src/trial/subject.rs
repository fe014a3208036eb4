//! A policy with an engine that judges by it.

use std::{net::IpAddr, sync::Arc};

use firewall_common::{
    cell::Mode,
    control::ClockScale,
    counters::{DEFAULT_COUNTERS, Hook},
    image::Block,
    interface::LinkType,
    verdict::{Decision, NO_RULE, Verdict},
};

use crate::{
    compile::{BindError, CompileError, compile, timeouts::timeouts},
    daemon::{default_name, default_names},
    engine::{HostEngine, Sizes},
    policy::model::ValidPolicy,
    prefix_set::{Full, Members},
};

/// The interface of the packets, where it has a name.
const INTERFACE_SLOT: u8 = 1;

/// Why a policy cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It cannot be compiled.
    #[error("the policy cannot be compiled: {0}")]
    Compile(#[from] CompileError),
    /// The interface has no place.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its block lists are larger than there is room for.
    #[error("the policy's block lists take more than {blocks} blocks of memory")]
    Lists {
        /// The room.
        blocks: u32,
    },
}

/// A verdict with the name of whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicted {
    /// The verdict.
    pub verdict: Verdict,
    /// Name of the reason.
    pub reason: firewall_common::reason::Reason,
    /// The rule, or a default such as `(default in)`; none where neither was asked.
    pub rule: Option<Arc<str>>,
    /// `file:line` of the rule.
    pub origin: Option<Arc<str>>,
}

/// What a counter number stands for.
#[derive(Debug, Clone)]
struct Name {
    rule: Arc<str>,
    /// `file:line`; none of a default.
    origin: Option<Arc<str>>,
}

/// A policy and its engine.
#[derive(Debug)]
pub struct Subject {
    /// The policy.
    pub policy: ValidPolicy,
    /// What judges by it.
    pub engine: HostEngine,
    /// Names and places by counter number.
    names: Vec<Option<Name>>,
    interface_slot: u8,
}

impl Subject {
    /// A policy as files say it. `interface` is the one that packets come in and go out on.
    pub fn of_policy(
        policy: ValidPolicy,
        interface: Option<&str>,
        sizes: Sizes,
    ) -> Result<Self, SubjectError> {
        let compiled = compile(&policy)?;
        let mut ordinals = std::collections::HashMap::new();
        for rule in compiled.rules() {
            ordinals.insert(rule.name.clone(), rule.ordinal);
        }
        let number = |name: &str| ordinals.get(name).copied().unwrap_or(NO_RULE);
        let bound = compiled.bind(&number, interface.map(|name| (INTERFACE_SLOT, name)))?;
        let numbers: Vec<u16> = (DEFAULT_COUNTERS..).take(policy.rules.len()).collect();
        let listed = policy.listed();
        let mut subject = Self::of_image(policy, &numbers, bound.blocks(), sizes);
        subject.load_lists(&listed, sizes)?;
        if interface.is_some() {
            subject.set_interface_slot(INTERFACE_SLOT);
        }
        Ok(subject)
    }

    /// A policy with the image that is loaded for it, whose rules have these counter numbers.
    #[must_use]
    pub fn of_image(policy: ValidPolicy, numbers: &[u16], blocks: &[Block], sizes: Sizes) -> Self {
        let timers = policy.settings.timers;
        let engine = HostEngine::with_sizes(blocks, |clock| timeouts(&timers, clock), sizes);
        let mut names: Vec<_> = default_names()
            .map(|name| {
                Some(Name {
                    rule: name.into(),
                    origin: None,
                })
            })
            .collect();
        for (rule, number) in policy.rules.iter().zip(numbers) {
            let at = usize::from(*number);
            if names.len() <= at {
                names.resize(at + 1, None);
            }
            let origin = format!("{}:{}", rule.origin.file, rule.origin.line);
            names[at] = Some(Name {
                rule: rule.name.clone(),
                origin: Some(origin.into()),
            });
        }
        Self {
            policy,
            engine,
            names,
            interface_slot: 0,
        }
    }

    /// Gives it the members of block lists.
    pub fn load_lists(&mut self, members: &Members, sizes: Sizes) -> Result<(), SubjectError> {
        if members.is_empty() {
            return Ok(());
        }
        let full = |_: Full| SubjectError::Lists {
            blocks: sizes.list_blocks,
        };
        self.engine.load_lists(0, members).map_err(full)
    }

    /// Gives the host an address, whose packets do not come from elsewhere.
    pub fn add_local(&mut self, address: IpAddr) {
        self.engine.tables().add_local(address);
    }

    /// The mode that it judges in.
    pub fn set_mode(&mut self, mode: Mode) {
        self.engine.switch(firewall_common::cell::Cell {
            slot: 0,
            fallback: 0,
            mode,
            deadline_ticks: None,
        });
    }

    /// The length of its ticks.
    #[must_use]
    pub fn clock(&self) -> ClockScale {
        self.engine.clock()
    }

    /// Its packets come in and go out on the interface of this slot; on one without a name where it is zero.
    pub const fn set_interface_slot(&mut self, slot: u8) {
        self.interface_slot = slot;
    }

    /// The slot of that interface.
    #[must_use]
    pub const fn interface_slot(&self) -> u8 {
        self.interface_slot
    }

    /// What becomes of a frame.
    #[must_use]
    pub fn judge(&self, frame: &[u8], link: LinkType, hook: Hook, now_ticks: u32) -> Verdicted {
        self.named(
            self.engine
                .packet_on(frame, link, hook, self.interface_slot, now_ticks),
        )
    }

    /// A decision of its engine with names.
    #[must_use]
    pub fn named(&self, decision: Decision) -> Verdicted {
        let known = self.names.get(usize::from(decision.rule)).cloned().flatten();
        let (rule, origin) = match known {
            Some(name) => (Some(name.rule), name.origin),
            None if decision.rule == NO_RULE => (None, None),
            None => (Some(format!("#{}", decision.rule).into()), None),
        };
        Verdicted {
            verdict: decision.verdict,
            reason: decision.reason,
            rule,
            origin,
        }
    }

    /// The name of a direction's default.
    pub(super) const fn default_of(direction: crate::policy::model::Direction) -> &'static str {
        default_name(direction)
    }
}
