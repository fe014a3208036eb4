//! What the dashboard knows and what was chosen on it.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use super::rates::{ReasonRate, RuleRate, Sample, drops, rules};
use crate::control::protocol::{EventInfo, Events};

/// How long an event counts, in seconds.
const EVENT_SECONDS: f64 = 60.0;

/// Most events that are kept.
const MOST_EVENTS: usize = 10_000;

/// What the rules are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// As they are tried.
    Policy,
    /// Packets in a second.
    Rate,
    /// Packets in all.
    Packets,
    /// Bytes in all.
    Bytes,
    /// Name.
    Name,
}

impl Sort {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Packets,
            Self::Packets => Self::Bytes,
            Self::Bytes => Self::Name,
            Self::Name => Self::Policy,
            Self::Policy => Self::Rate,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy order",
            Self::Rate => "rate",
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Name => "name",
        }
    }
}

/// What a key asks for beyond the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Quit,
    /// The text of this rule.
    Rule(String),
}

/// How often something was seen in logged packets.
pub(super) type Seen = (String, usize);

/// The dashboard.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what was chosen by independent keys, not a state"
)]
pub(super) struct App {
    before: Option<Sample>,
    now: Option<Sample>,
    /// With the second in which they were read.
    events: VecDeque<(f64, EventInfo)>,
    pub(super) lost: u64,
    pub(super) has_colour: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) shows_ports: bool,
    pub(super) selected: usize,
    /// The rule that everything is shown of.
    pub(super) detail: Option<String>,
    pub(super) detail_text: Option<String>,
    pub(super) trouble: Option<String>,
}

/// For programs.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    rules: Vec<RuleRate>,
    drops: Vec<ReasonRate>,
    sources: Vec<Seen>,
    ports: Vec<Seen>,
    generation: Option<u32>,
}

impl App {
    pub(super) fn new(has_colour: bool) -> Self {
        Self {
            before: None,
            now: None,
            events: VecDeque::new(),
            lost: 0,
            has_colour,
            sort: Sort::Rate,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            shows_ports: false,
            selected: 0,
            detail: None,
            detail_text: None,
            trouble: None,
        }
    }

    /// Takes a look at the counters in.
    pub(super) fn take(&mut self, sample: Sample) {
        while self
            .events
            .front()
            .is_some_and(|(at, _)| sample.seconds - at > EVENT_SECONDS)
        {
            self.events.pop_front();
        }
        self.before = self.now.replace(sample);
        self.trouble = None;
        self.keep_selected();
    }

    /// Takes events in, unless the picture is to stay as it is.
    pub(super) fn log(&mut self, seconds: f64, batch: Events) {
        self.lost += batch.lost;
        if self.is_paused {
            return;
        }
        for event in batch.events {
            if self.events.len() == MOST_EVENTS {
                self.events.pop_front();
            }
            self.events.push_back((seconds, event));
        }
    }

    pub(super) fn keep_selected(&mut self) {
        self.selected = self.selected.min(self.rules().len().saturating_sub(1));
    }

    pub(super) fn now(&self) -> Option<&Sample> {
        self.now.as_ref()
    }

    /// The rules that are shown, in order.
    pub(super) fn rules(&self) -> Vec<RuleRate> {
        let Some(now) = &self.now else { return Vec::new() };
        let mut rules = rules(self.before.as_ref(), now);
        rules.retain(|rule| rule.rule.contains(&self.filter));
        match self.sort {
            Sort::Policy => {}
            Sort::Rate => rules.sort_by(|one, other| {
                let order = other.packets_per_second.total_cmp(&one.packets_per_second);
                order.then(other.packets.cmp(&one.packets))
            }),
            Sort::Packets => rules.sort_by_key(|rule| std::cmp::Reverse(rule.packets)),
            Sort::Bytes => rules.sort_by_key(|rule| std::cmp::Reverse(rule.bytes)),
            Sort::Name => rules.sort_by(|one, other| one.rule.cmp(&other.rule)),
        }
        rules
    }

    pub(super) fn drops(&self) -> Vec<ReasonRate> {
        let now = self.now.as_ref();
        now.map(|now| drops(self.before.as_ref(), now))
            .unwrap_or_default()
    }

    /// Sources of logged packets, the most frequent first.
    pub(super) fn sources(&self) -> Vec<Seen> {
        self.seen(|event| event.source.map(|source| source.to_string()))
    }

    /// Destination ports of logged packets.
    pub(super) fn ports(&self) -> Vec<Seen> {
        self.seen(|event| {
            Some(format!(
                "{}/{}",
                event.protocol.as_ref()?,
                event.destination_port?
            ))
        })
    }

    fn seen(&self, what: impl Fn(&EventInfo) -> Option<String>) -> Vec<Seen> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for key in self.events.iter().filter_map(|(_, event)| what(event)) {
            *counts.entry(key).or_default() += 1;
        }
        let mut seen: Vec<Seen> = counts.into_iter().collect();
        seen.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        seen
    }

    /// Logged packets of a rule, the latest first.
    pub(super) fn events_of<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = &'a EventInfo> {
        let events = self.events.iter().rev().map(|(_, event)| event);
        events.filter(move |event| event.rule.as_deref() == Some(rule))
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            rules: self.rules(),
            drops: self.drops(),
            sources: self.sources(),
            ports: self.ports(),
            generation: self.now.as_ref().map(|now| now.status.generation),
        }
    }
}
