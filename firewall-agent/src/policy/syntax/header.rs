//! The line with which each file says which layer it is.

use std::sync::Arc;

use super::{
    findings::{Findings, Located, Problem},
    name,
    table::{Keys, Table},
};
use crate::diagnostic::{Code, Diagnostic};

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Rules and settings for every host.
    Base,
    /// Rules and settings for the hosts of one role.
    Role(Arc<str>),
    /// Rules and settings for one host.
    Host(Arc<str>),
    /// Hosts, networks and services.
    Inventory,
    /// Rules that end by themselves, beside the policy files: the agent writes them.
    Timed,
}

const FORMS: &str = "write \"base\", \"role NAME\", \"host NAME\" or \"inventory\"";

const POLICY: Keys = Keys {
    what: "a policy file",
    known: &[
        "layer",
        "interfaces",
        "defaults",
        "timers",
        "options",
        "forwarded",
        "blocklist",
        "rule",
        "expect",
    ],
    reserved: &[],
    instead: &[
        ("hosts", "it belongs in the inventory file"),
        ("networks", "it belongs in the inventory file"),
        ("services", "it belongs in the inventory file"),
        ("rules", "begin each rule with `[[rule]]`"),
        (
            "failsafe",
            "it belongs in the agent's own settings, where no policy layer can change it",
        ),
    ],
};

const INVENTORY: Keys = Keys {
    what: "an inventory file",
    known: &["layer", "hosts", "networks", "services"],
    reserved: &[],
    instead: &[
        ("rule", "it belongs in a policy file (layer base, role or host)"),
        ("expect", "it belongs in a policy file (layer base, role or host)"),
        (
            "interfaces",
            "it belongs in a policy file (layer base, role or host)",
        ),
        (
            "defaults",
            "it belongs in a policy file (layer base, role or host)",
        ),
        ("timers", "it belongs in a policy file (layer base, role or host)"),
        (
            "options",
            "it belongs in a policy file (layer base, role or host)",
        ),
        (
            "forwarded",
            "it belongs in a policy file (layer base, role or host)",
        ),
        ("groups", "it belongs to each host, as `groups = [\"NAME\"]`"),
    ],
};

const TIMED: Keys = Keys {
    what: "the file of rules that end by themselves",
    known: &["layer", "rule"],
    reserved: &[],
    instead: &[],
};

/// Every key there is, for a file that does not say what it is: one finding about that is enough.
const UNDECIDED: Keys = Keys {
    what: "a policy or inventory file",
    known: &[
        "layer",
        "interfaces",
        "defaults",
        "timers",
        "options",
        "forwarded",
        "blocklist",
        "rule",
        "expect",
        "hosts",
        "networks",
        "services",
    ],
    reserved: &[],
    instead: POLICY.instead,
};

/// The keys of all kinds of file.
pub(super) const KEYS: [&Keys; 2] = [&POLICY, &INVENTORY];

pub(super) const fn keys(layer: Option<&Layer>) -> &'static Keys {
    match layer {
        Some(Layer::Inventory) => &INVENTORY,
        Some(Layer::Timed) => &TIMED,
        Some(_) => &POLICY,
        None => &UNDECIDED,
    }
}

pub(super) fn read(table: &Table<'_>, findings: &mut Findings) -> Option<Located<Layer>> {
    if table.value("layer").is_none() {
        findings.push(
            Diagnostic::new(
                Code::MissingKey,
                &table.place,
                "the file does not say which layer it is",
            )
            .hint(format!("begin it with `layer = …`: {FORMS}")),
        );
        return None;
    }
    let text = table.string("layer", findings)?;
    let layer = findings.check(&text.place, parse(&text.value))?;
    Some(Located::new(layer, text.place))
}

fn parse(text: &str) -> Result<Layer, Problem> {
    match text.split_once(' ') {
        Some(("role", name)) => name::check_new(name).map(|()| Layer::Role(name.into())),
        Some(("host", name)) => name::check_new(name).map(|()| Layer::Host(name.into())),
        None if text == "base" => Ok(Layer::Base),
        None if text == "inventory" => Ok(Layer::Inventory),
        None if text == "timed" => Ok(Layer::Timed),
        _ => Err(Problem::new(format!("`{}` is not a layer", text.escape_debug())).hint(FORMS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers() {
        assert_eq!(parse("base"), Ok(Layer::Base));
        assert_eq!(parse("role web"), Ok(Layer::Role("web".into())));
        assert_eq!(parse("host web-1"), Ok(Layer::Host("web-1".into())));
        assert_eq!(parse("inventory"), Ok(Layer::Inventory));
        assert_eq!(parse("timed"), Ok(Layer::Timed));
        for text in ["", "role", "web", "base web", "role  web", "role Web", "Base"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
