//! For whom the files are checked.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    inventory::Host, link::Linked, model::AddressSet, suggest::nearest, syntax::Located, view::View,
};
use crate::diagnostic::{Code, Diagnostic, FileId, Place, SourceSet};

/// For whom a policy is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The role; may be left out where the inventory gives the host one.
    pub role: Option<Arc<str>>,
    /// The host; its addresses are unknown where the inventory does not name it.
    pub host: Option<Arc<str>>,
}

/// For whom the files are checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// For every host that has a role, and for every role that has no host; each role has to have its file.
    #[default]
    Everybody,
    /// The same, as far as the files go: hosts whose role has no file are left out, and where no role has a file,
    /// the base layer is looked at without its expectations.
    Files,
    /// For one.
    One(Target),
}

/// A view for each host or role that is to be checked.
pub(super) fn views<'a>(
    linked: &'a Linked,
    scope: &Scope,
    strangers: &AddressSet,
    sources: &SourceSet,
    found: &mut Vec<Diagnostic>,
) -> Vec<View<'a>> {
    let view = |role: &Arc<str>, host: Option<&'a Host>| View {
        inventory: &linked.inventory,
        role: role.clone(),
        host,
        strangers: strangers.clone(),
    };
    match scope {
        Scope::One(target) => {
            let start = anywhere(linked, sources);
            one_target(linked, target, &start, found)
                .map(|(role, host)| view(&role, host))
                .into_iter()
                .collect()
        }
        Scope::Everybody | Scope::Files => {
            let mut views = Vec::new();
            let mut missing: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
            for host in linked.inventory.hosts() {
                let Some(role) = &host.role else { continue };
                if linked.roles.contains_key(&role.value) || linked.roles.is_empty() && *scope == Scope::Files
                {
                    views.push(view(&role.value, Some(host)));
                } else if *scope == Scope::Everybody {
                    missing.entry(&role.value).or_default().push(&role.place);
                }
            }
            let without_host = linked
                .roles
                .keys()
                .filter(|role| linked.inventory.members(role).next().is_none());
            views.extend(without_host.map(|role| view(role, None)));
            found.extend(no_role_files(&missing));
            views
        }
    }
}

/// The host and role of a target, if the files have them.
fn one_target<'a>(
    linked: &'a Linked,
    target: &Target,
    start: &Place,
    found: &mut Vec<Diagnostic>,
) -> Option<(Arc<str>, Option<&'a Host>)> {
    let host = target.host.as_ref().and_then(|host| linked.inventory.host(host));
    if let (Some(name), None) = (&target.host, host) {
        let known = target.role.is_some();
        found.push(not_in_inventory(name, known, linked, start));
    }
    let given = host.and_then(|host| host.role.as_ref());
    let role = match (&target.role, given) {
        (Some(asked), Some(given)) if *asked != given.value => {
            found.push(another_role(asked, given));
            return None;
        }
        (Some(asked), _) => asked.clone(),
        (None, Some(given)) => given.value.clone(),
        (None, None) => {
            found.extend(host.map(|host| without_role(host, start)));
            return None;
        }
    };
    if !linked.roles.contains_key(&role) {
        found.push(no_role_file(&role, given.map_or(start, |given| &given.place)));
        return None;
    }
    Some((role, host))
}

/// With a role the host still has a policy, but none of the rules that name it or its groups.
fn not_in_inventory(name: &str, has_role: bool, linked: &Linked, start: &Place) -> Diagnostic {
    let message = format!("the inventory has no host `{name}`");
    let diagnostic = if has_role {
        Diagnostic::new(
            Code::UnknownHost,
            start,
            format!("{message}, so that only rules for its role concern it"),
        )
    } else {
        Diagnostic::new(
            Code::LayerMissing,
            start,
            format!("{message}, so that its role is unknown"),
        )
    };
    let known = linked.inventory.hosts().map(|host| host.name.as_ref());
    diagnostic.hint(match nearest(name, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => {
            format!("add `[hosts.{name}]` to the inventory, or give another name in the agent's settings")
        }
    })
}

fn another_role(asked: &str, given: &Located<Arc<str>>) -> Diagnostic {
    let message = format!(
        "the inventory gives the host the role `{}`, not `{asked}`",
        given.value
    );
    Diagnostic::new(Code::Contradiction, &given.place, message)
        .hint("change the inventory or the agent's settings")
}

fn without_role(host: &Host, start: &Place) -> Diagnostic {
    Diagnostic::new(
        Code::LayerMissing,
        start,
        format!("nobody says which role `{}` has", host.name),
    )
    .hint("give it a `role` in the inventory")
}

/// Says it once for all roles without a file, where the first host has one of them.
fn no_role_files(missing: &BTreeMap<&str, Vec<&Place>>) -> Option<Diagnostic> {
    let hosts: Vec<&Place> = missing.values().flatten().copied().collect();
    let first = hosts.iter().min_by_key(|place| (place.file, place.span.start))?;
    let names: Vec<&str> = missing.keys().copied().collect();
    let diagnostic = match names.as_slice() {
        [role] => no_role_file(role, first),
        _ => Diagnostic::new(
            Code::LayerMissing,
            first,
            format!("no files are the layers of the roles `{}`", names.join("`, `")),
        )
        .hint("write a file for each, or check for one host or role alone: --host NAME, --role NAME"),
    };
    Some(match hosts.len() {
        1 => diagnostic,
        count if names.len() == 1 => diagnostic.label(format!("the role of {count} hosts")),
        count => diagnostic.label(format!("the first of {count} hosts that have them")),
    })
}

fn no_role_file(role: &str, place: &Place) -> Diagnostic {
    Diagnostic::new(
        Code::LayerMissing,
        place,
        format!("no file is the layer `role {role}`"),
    )
    .hint(format!("write one that begins with `layer = \"role {role}\"`"))
}

/// A place for findings that no file is to blame for.
fn anywhere(linked: &Linked, sources: &SourceSet) -> Place {
    let header = linked.layers().map(|layer| layer.header.clone()).next();
    let first = || sources.iter().map(|(file, _)| Place::new(file, 0..0)).next();
    header
        .or_else(first)
        .unwrap_or_else(|| Place::new(FileId::default(), 0..0))
}
