//! Services that one rule can speak of: those that the same other ends use.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    draft::quoted,
    observations::{Service, Traffic},
    sources::{Sources, sources},
};

/// Services that the name of a rule says; a longer name is read by nobody.
const MOST_NAMED: usize = 3;

/// Services of one direction with the same other ends.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) services: Vec<(&'a Service, &'a Traffic)>,
    members: Vec<String>,
}

/// Puts services together whose rules would say the same of the other ends; each group stands where its first service
/// stood. A rule for all of them lets in what the single ones would.
pub(super) fn groups<'a>(services: impl Iterator<Item = (&'a Service, &'a Traffic)>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (service, traffic) in services {
        let members = sources_of(traffic).members;
        let known = groups.iter_mut().find(|group| {
            let (first, _) = group.services[0];
            let is_alike = first.direction == service.direction && first.has_rule() == service.has_rule();
            is_alike && group.members == members
        });
        match known {
            Some(group) => group.services.push((service, traffic)),
            None => groups.push(Group {
                services: vec![(service, traffic)],
                members,
            }),
        }
    }
    groups
}

/// The other ends as a rule names them.
pub(super) fn sources_of(traffic: &Traffic) -> Sources {
    let remotes: BTreeSet<IpAddr> = traffic.remotes.keys().copied().collect();
    sources(&remotes, traffic.has_more)
}

impl Group<'_> {
    /// What the rule lets in: `tcp/443`.
    pub(super) fn what(&self) -> Vec<String> {
        self.services.iter().map(|(service, _)| service.what()).collect()
    }

    /// The rule.
    pub(super) fn sentence(&self) -> String {
        let (first, _) = self.services[0];
        let end = if first.direction == "in" { "from" } else { "to" };
        format!(
            "[[rule]]\nname = {}\nallow = {}\n{end} = {}\n",
            quoted(&self.name()),
            value(&self.what()),
            value(&self.members)
        )
    }

    /// Each service is in one rule only, so that no other has the name.
    fn name(&self) -> String {
        let (first, _) = self.services[0];
        let what: Vec<String> = self.what().iter().map(|what| what.replace('/', "-")).collect();
        let direction = &first.direction;
        if what.len() <= MOST_NAMED {
            return format!("{direction}-{}", what.join("-"));
        }
        format!("{direction}-{}-and-{}-more", what[0], what.len() - 1)
    }
}

/// One string, or a list of them.
fn value(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    match &texts[..] {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
