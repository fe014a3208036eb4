//! Edits of rules that end by themselves. They stand in a file of the agent's, with the rules of the policy files beside
//! which they are tried.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    agent::Agent,
    change::no_such_rule,
    edits::{Edited, refused},
    timed::{FILE, is_own, path},
};
use crate::{
    control::protocol::{Edit, Failure, FailureKind, NewRule, RulePlace},
    diagnostic::SourceSet,
    policy::{
        edit::{self, Anchor, EditError, Position, RuleDraft, TimedDraft, sentence_name},
        model::Term,
    },
    settings::Settings,
    state::LONGEST,
};

const HEADER: &str = "\
# Rules that end by themselves. The agent writes this file: `fwctl rule add … --for 2h`, `fwctl rule delete`.
layer = \"timed\"
";

/// Where a rule is to stand: in the file, and among the rules of the policy files.
type TimedPlace = (Position, Anchor);

impl Agent {
    /// The file with a rule more, which ends so many seconds from `now`.
    pub(super) fn with_timed_rule(
        &self,
        sources: &SourceSet,
        new: &NewRule,
        seconds: u64,
        now: Timestamp,
    ) -> Result<Edited, Failure> {
        if new.file.is_some() {
            let message = "a rule that ends by itself stands beside the policy files, in none of them";
            return Err(Failure::new(FailureKind::BadRequest, message).hint("leave out --file, or --for"));
        }
        let term = term(seconds, now)?;
        let name = &new.rule.name;
        if let Some(file) = edit::file_with_rule(sources, name) {
            let message = format!("{} already has a rule `{name}`", sources.file(file).name());
            return Err(Failure::new(FailureKind::Conflict, message));
        }
        let before = own_text(sources, &self.settings);
        let text = if before.is_empty() { HEADER } else { &before };
        let (position, anchor) = self.place_of_new(sources, text, new)?;
        let draft = TimedDraft {
            rule: &new.rule,
            anchor,
            term,
        };
        let after = edit::add_timed_rule(text, &draft, &position).map_err(|error| not_edited(&error))?;
        Ok(self.own_edited(before, after))
    }

    /// What an edit makes of the file, where it changes a rule of it in another way than by deleting it.
    pub(super) fn timed_edit(
        &self,
        sources: &SourceSet,
        edit: &Edit,
        now: Timestamp,
    ) -> Result<Option<Edited>, Failure> {
        let name = match edit {
            Edit::RuleReplace(rule) => &rule.name,
            Edit::RuleMove { name, .. }
            | Edit::RuleTerm { name, .. }
            | Edit::RuleEnable { name }
            | Edit::RuleDisable { name } => name,
            Edit::RuleAdd(_) | Edit::RuleDelete { .. } | Edit::SetAdd { .. } | Edit::SetDelete { .. } => {
                return Ok(None);
            }
        };
        let found = edit::file_with_rule(sources, name);
        if found.is_none_or(|file| !is_own(sources.file(file), &self.settings)) {
            return match (edit, found) {
                (Edit::RuleTerm { .. }, None) => Err(no_such_rule(name)),
                (Edit::RuleTerm { .. }, Some(file)) => Err(lasts(name, sources.file(file).name())),
                _ => Ok(None),
            };
        }
        let name = sentence_name(name);
        let text = own_text(sources, &self.settings);
        if !matches!(edit, Edit::RuleTerm { .. } | Edit::RuleDisable { .. }) {
            self.refuse_ended(&text, name)?;
        }
        let after = match edit {
            Edit::RuleReplace(rule) => self.replaced(sources, &text, rule)?,
            Edit::RuleMove { place, .. } => self.moved(sources, &text, name, place)?,
            Edit::RuleTerm { seconds, .. } => {
                let term = term(*seconds, now)?;
                edit::set_term(&text, name, term).map_err(|error| not_edited(&error))?
            }
            _ => {
                let enabled = matches!(edit, Edit::RuleEnable { .. });
                edit::enable_rule(&text, name, enabled).map_err(|error| not_edited(&error))?
            }
        };
        Ok(Some(self.own_edited(text, after)))
    }

    fn own_edited(&self, before: String, after: String) -> Edited {
        Edited {
            path: path(&self.settings),
            before,
            after,
        }
    }

    /// The text with a rule that says something else; it stays where it is unless the draft says where it is tried.
    fn replaced(&self, sources: &SourceSet, text: &str, rule: &RuleDraft) -> Result<String, Failure> {
        let name = sentence_name(&rule.name);
        let text = match &rule.before {
            None => text.to_owned(),
            Some(other) => self.moved(sources, text, name, &RulePlace::Before(other.clone()))?,
        };
        let draft = RuleDraft {
            name: name.to_owned(),
            ..rule.clone()
        };
        edit::replace_timed_rule(&text, &draft).map_err(|error| not_edited(&error))
    }

    fn moved(
        &self,
        sources: &SourceSet,
        text: &str,
        name: &str,
        place: &RulePlace,
    ) -> Result<String, Failure> {
        if let RulePlace::Before(other) | RulePlace::After(other) = place
            && sentence_name(other) == name
        {
            return Ok(text.to_owned());
        }
        let (position, anchor) = self.place(sources, text, place, name)?;
        edit::move_timed_rule(text, name, &position, &anchor).map_err(|error| not_edited(&error))
    }

    /// The agent is about to take it out.
    fn refuse_ended(&self, text: &str, name: &str) -> Result<(), Failure> {
        let mut entries = edit::timed_entries(text).into_iter();
        let Some(entry) = entries.find(|entry| entry.name == name) else {
            return Ok(());
        };
        if !self.remaining()?.has_ended(entry.term) {
            return Ok(());
        }
        let message = format!("the time of `{name}` is over");
        Err(Failure::new(FailureKind::Conflict, message)
            .hint("add it anew, or say how long it is to hold from now on: --for 2h"))
    }

    fn place_of_new(&self, sources: &SourceSet, text: &str, new: &NewRule) -> Result<TimedPlace, Failure> {
        let place = match (&new.rule.before, &new.place) {
            (Some(name), RulePlace::End) => &RulePlace::Before(name.clone()),
            (Some(_), _) => {
                let message = "the rule is to stand at two places";
                return Err(Failure::new(FailureKind::BadRequest, message)
                    .hint("say --before, or the place beside a rule"));
            }
            (None, place) => place,
        };
        self.place(sources, text, place, &new.rule.name)
    }

    /// Where in the file, and where among the rules of the policy files, the rule `own` is to stand.
    fn place(
        &self,
        sources: &SourceSet,
        text: &str,
        place: &RulePlace,
        own: &str,
    ) -> Result<TimedPlace, Failure> {
        let (beside, is_before) = match place {
            RulePlace::End => return Ok((Position::End, Anchor::Last)),
            RulePlace::First => match self.first_but(sources, own) {
                Some(first) => (first, true),
                None => return Ok((Position::End, Anchor::Last)),
            },
            RulePlace::Before(name) => (sentence_name(name).to_owned(), true),
            RulePlace::After(name) => (sentence_name(name).to_owned(), false),
        };
        if let Some(anchor) = edit::anchor_of(text, &beside) {
            let position = if is_before {
                Position::Before(beside)
            } else {
                Position::After(beside)
            };
            return Ok((position, anchor));
        }
        if edit::file_with_rule(sources, &beside).is_none() {
            return Err(no_such_rule(&beside));
        }
        // The last one before a rule is the one directly before it, and the first one behind it directly behind.
        Ok(if is_before {
            (Position::End, Anchor::Before(beside))
        } else {
            (Position::First, Anchor::After(beside))
        })
    }

    /// The first rule in force that is another one and is there yet.
    fn first_but(&self, sources: &SourceSet, own: &str) -> Option<String> {
        let in_force = self.in_force();
        let names = in_force.policy.rules.iter().map(|rule| sentence_name(&rule.name));
        let mut others = names.filter(|name| *name != own);
        let first = others.find(|name| edit::file_with_rule(sources, name).is_some());
        first.map(str::to_owned)
    }

    /// Notes when rules end that are switched off: whatever becomes of the calendar until they take part again.
    pub(super) fn note_ends(&self) {
        let terms = super::timed::disabled_terms(&self.in_force());
        if terms.is_empty() {
            return;
        }
        let mut kernel = self.kernel();
        if let Ok(clock) = kernel.dataplane.clock() {
            for term in terms {
                kernel.ends.ticks(term, &clock);
            }
        }
    }
}

/// A rule that lasts, where one is to stand beside another that does not.
pub(super) fn not_beside_timed(
    sources: &SourceSet,
    settings: &Settings,
    place: &RulePlace,
) -> Result<(), Failure> {
    let (RulePlace::Before(name) | RulePlace::After(name)) = place else {
        return Ok(());
    };
    let file = edit::file_with_rule(sources, name);
    if file.is_none_or(|file| !is_own(sources.file(file), settings)) {
        return Ok(());
    }
    let message = format!(
        "a rule that lasts cannot stand beside one that ends by itself: its place would end with `{}`",
        sentence_name(name)
    );
    Err(Failure::new(FailureKind::Conflict, message).hint(
        "name a rule of a policy file, or say how long a new one is to hold: --for 2h; a rule that ends by itself can \
         be moved beside any other",
    ))
}

fn lasts(name: &str, file: &str) -> Failure {
    let name = sentence_name(name);
    let message = format!("`{name}` stands in {file} and has no end");
    Failure::new(FailureKind::Conflict, message).hint(format!(
        "leave out --for; or delete it and add it anew: fwctl rule delete {name}, fwctl rule add {name} … --for 2h"
    ))
}

fn not_edited(error: &EditError) -> Failure {
    refused(error, FILE)
}

/// The text of the file; empty where there is none.
fn own_text(sources: &SourceSet, settings: &Settings) -> String {
    let mut all = sources.iter();
    let own = all.find(|(_, source)| is_own(source, settings));
    own.map(|(_, source)| source.text().to_owned())
        .unwrap_or_default()
}

impl Edited {
    /// Without rules there is no file.
    pub(super) fn settled(mut self, settings: &Settings) -> Self {
        if self.path == path(settings) && edit::rule_count(&self.after) == 0 {
            self.after.clear();
        }
        self
    }
}

/// From now on, for so long.
fn term(seconds: u64, now: Timestamp) -> Result<Term, Failure> {
    let length = Duration::from_secs(seconds);
    if length.is_zero() || length > LONGEST {
        let days = LONGEST.as_secs() / 86_400;
        let message = format!("a rule can hold for 1 second to {days} days");
        return Err(Failure::new(FailureKind::BadRequest, message)
            .hint("without --for it holds for good; `review` says when to look at it again"));
    }
    let since = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let until = SignedDuration::try_from(length).ok();
    let until = until.and_then(|length| since.checked_add(length).ok());
    until
        .map(|until| Term { since, until })
        .ok_or_else(|| Failure::new(FailureKind::BadRequest, "the calendar does not go that far"))
}
