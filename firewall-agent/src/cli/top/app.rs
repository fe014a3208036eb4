//! What the dashboard knows and what was chosen on it.

use std::collections::{HashMap, VecDeque};

use schemars::JsonSchema;
use serde::Serialize;

use super::rates::{ReasonRate, RuleRate, Sample, drops, rules};
use crate::control::protocol::{EventInfo, Events, HistoryEntry};

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
    /// A ban, for good where it says no time.
    Ban {
        address: String,
        seconds: Option<u64>,
    },
}

/// How long a ban from here lasts, unless it is for good.
pub(super) const BAN_SECONDS: u64 = 3600;

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
    /// Whether a source is chosen, and not a rule.
    pub(super) chooses_source: bool,
    pub(super) selected_source: usize,
    /// Of the logged packets of the rule that is shown.
    pub(super) selected_event: usize,
    pub(super) shows_changes: bool,
    /// The address that is to be banned, if the answer is yes.
    pub(super) asks_ban: Option<String>,
    /// What has come of the last wish.
    pub(super) said: Option<String>,
    /// The rule that everything is shown of.
    pub(super) detail: Option<String>,
    pub(super) detail_text: Option<String>,
    pub(super) trouble: Option<String>,
}

/// For programs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Figures {
    rules: Vec<RuleRate>,
    drops: Vec<ReasonRate>,
    sources: Vec<Seen>,
    ports: Vec<Seen>,
    /// The latest first.
    changes: Vec<HistoryEntry>,
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
            chooses_source: false,
            selected_source: 0,
            selected_event: 0,
            shows_changes: false,
            asks_ban: None,
            said: None,
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
        let last = |count: usize| count.saturating_sub(1);
        self.selected = self.selected.min(last(self.rules().len()));
        self.selected_source = self.selected_source.min(last(self.sources().len()));
        let events = self
            .detail
            .as_ref()
            .map_or(0, |rule| self.events_of(rule).count());
        self.selected_event = self.selected_event.min(last(events));
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

    /// The source that is chosen: of the logged packet where a rule is shown, else among the sources.
    pub(super) fn chosen_source(&self) -> Option<String> {
        if let Some(rule) = &self.detail {
            let event = self.events_of(rule).nth(self.selected_event)?;
            return event.source.map(|source| source.to_string());
        }
        if !self.chooses_source || self.shows_ports || self.shows_changes {
            return None;
        }
        let sources = self.sources();
        sources
            .get(self.selected_source)
            .map(|(source, _)| source.clone())
    }

    /// What has changed, the latest first.
    pub(super) fn changes(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.now.iter().flat_map(|now| now.history.iter().rev())
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            rules: self.rules(),
            drops: self.drops(),
            sources: self.sources(),
            ports: self.ports(),
            changes: self.changes().cloned().collect(),
            generation: self.now.as_ref().map(|now| now.status.generation),
        }
    }
}
