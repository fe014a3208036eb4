//! The part that rules and expectations share: verdict, what, who, where.

use std::sync::Arc;

use toml::{Spanned, de::DeValue};

use super::{
    super::model::{Action, AddressSet, Ranges},
    findings::{Findings, Located, Problem},
    member::{self, Member, Who},
    number,
    table::{self, Table},
    what::{self, What},
};
use crate::diagnostic::{Code, Diagnostic, Place};

/// Items of `from`, `to` or `among`.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    /// The items; at least one of them adds.
    pub(crate) items: Vec<Located<Member>>,
    /// The key.
    pub(crate) key: Place,
}

/// The symmetric form: each of the members may reach each other.
#[derive(Debug, Clone)]
pub(crate) struct Among {
    /// The peers.
    pub(crate) members: Members,
    /// Multicast groups by which they reach each other too.
    pub(crate) multicast: AddressSet,
}

/// Who may reach whom.
#[derive(Debug, Clone)]
pub(crate) enum Parties {
    /// `from` alone: incoming.
    From(Members),
    /// `to` alone: outgoing.
    To(Members),
    /// Both: what it means depends on the host.
    FromTo(Members, Members),
    /// Peers.
    Among(Among),
    /// Forwarded traffic.
    Forward {
        /// Where it comes from.
        from: Option<Members>,
        /// Where it goes.
        to: Option<Members>,
    },
}

impl Parties {
    /// All lists of members in it.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Members> {
        let (first, second) = match self {
            Self::From(one) | Self::To(one) | Self::Among(Among { members: one, .. }) => (Some(one), None),
            Self::FromTo(from, to) => (Some(from), Some(to)),
            Self::Forward { from, to } => (from.as_ref(), to.as_ref()),
        };
        first.into_iter().chain(second)
    }
}

/// Verdict, what, who and where.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The verdict; its place is the key.
    pub(crate) action: Located<Action>,
    /// What it speaks of.
    pub(crate) what: Vec<Located<What>>,
    /// Who it speaks of.
    pub(crate) parties: Parties,
    /// Source ports.
    pub(crate) from_port: Option<Located<Ranges<u16>>>,
    /// Interface name globs.
    pub(crate) interfaces: Option<Vec<Located<Arc<str>>>>,
    /// VLAN identifiers.
    pub(crate) vlans: Option<Located<Ranges<u16>>>,
}

/// The verdict keys.
pub(super) const VERDICTS: [(&str, Action); 3] = [
    ("allow", Action::Allow),
    ("drop", Action::Drop),
    ("reject", Action::Reject),
];

/// Whether the entry says anything that a statement consists of.
pub(super) fn is_present(table: &Table<'_>) -> bool {
    VERDICTS
        .iter()
        .map(|(key, _)| *key)
        .chain(["from", "to", "among", "forward"])
        .any(|key| table.value(key).is_some())
}

/// Reads a statement; `None` if something essential is wrong with it, which is then among the findings.
pub(super) fn read(table: &Table<'_>, what: &str, findings: &mut Findings) -> Option<Statement> {
    let verdict = verdict(table, what, findings);
    let parties = parties(table, what, findings);
    let from_port = table
        .value("from_port")
        .map(|value| number::spans("from_port", "a port", &(0..=u16::MAX), value, findings));
    let vlans = table
        .value("vlan")
        .map(|value| number::spans("vlan", "a VLAN", &(1..=number::MAX_VLAN), value, findings));
    let interfaces = table
        .strings("interface", findings)
        .map(|globs| checked_globs(globs, findings));
    let (action, what) = verdict?;
    Some(Statement {
        action,
        what,
        parties: parties?,
        from_port,
        interfaces,
        vlans,
    })
}

fn verdict(
    table: &Table<'_>,
    what: &str,
    findings: &mut Findings,
) -> Option<(Located<Action>, Vec<Located<What>>)> {
    let mut written: Vec<_> = VERDICTS
        .iter()
        .filter_map(|(key, action)| Some((*key, Located::new(*action, table.key_place(key, findings)?))))
        .collect();
    let Some((key, action)) = written.pop() else {
        table.missing(
            Diagnostic::new(Code::Verdicts, &table.place, format!("{what} needs a verdict"))
                .hint("say `allow = …`, `drop = …` or `reject = …`, such as `allow = \"https\"`"),
            findings,
        );
        return None;
    };
    if let Some((other, place)) = written.pop() {
        findings.push(
            Diagnostic::new(Code::Verdicts, &action.place, format!("{what} has two verdicts"))
                .label(format!("here `{key}`"))
                .also(&place.place, format!("here `{other}`"))
                .hint("write two entries, or leave one verdict out"),
        );
        return None;
    }
    let items = table.items(key, findings)?;
    let what = items
        .into_iter()
        .filter_map(|item| one_what(item, findings))
        .collect();
    Some((action, what))
}

fn one_what(item: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Option<Located<What>> {
    if let DeValue::Integer(number) = item.get_ref() {
        let place = findings.place(item.span());
        findings.push(what::port_without_protocol(number.as_str()).at(Code::BadValue, &place));
        return None;
    }
    located(&table::string(item, findings)?, what::parse, findings)
}

fn located<T>(
    text: &Located<Arc<str>>,
    parse: fn(&str) -> Result<T, Problem>,
    findings: &mut Findings,
) -> Option<Located<T>> {
    let value = findings.check(&text.place, parse(&text.value))?;
    Some(Located::new(value, text.place.clone()))
}

fn parties(table: &Table<'_>, what: &str, findings: &mut Findings) -> Option<Parties> {
    let from = members(table, "from", findings);
    let to = members(table, "to", findings);
    let among = members(table, "among", findings);
    let multicast = multicast(table, findings);
    let forward = table.boolean("forward", findings).filter(|forward| forward.value);
    if among.is_some() || table.value("among").is_some() {
        excluded(table, "among", &["from", "to", "forward"], findings);
        return among.map(|members| {
            Parties::Among(Among {
                members,
                multicast: multicast.unwrap_or_default(),
            })
        });
    }
    if multicast.is_some() {
        excluded(table, "multicast", &["from", "to", "forward"], findings);
        return None;
    }
    let missing = |key| table.value(key).is_none();
    match (from, to, forward) {
        (from, to, Some(_)) if (from.is_some() || missing("from")) && (to.is_some() || missing("to")) => {
            Some(Parties::Forward { from, to })
        }
        (Some(from), Some(to), None) => Some(Parties::FromTo(from, to)),
        (Some(from), None, None) if missing("to") => Some(Parties::From(from)),
        (None, Some(to), None) if missing("from") => Some(Parties::To(to)),
        (None, None, None) if missing("from") && missing("to") => {
            table.missing(nobody(table, what), findings);
            None
        }
        _ => None,
    }
}

fn nobody(table: &Table<'_>, what: &str) -> Diagnostic {
    Diagnostic::new(
        Code::MissingKey,
        &table.place,
        format!("{what} needs `from`, `to` or `among`"),
    )
    .label("nobody is named")
    .hint("`from = \"any\"` is everybody to this host, `to = \"any\"` this host to everybody")
}

/// Notes each of `others` that stands beside `key`.
fn excluded(table: &Table<'_>, key: &str, others: &[&str], findings: &mut Findings) {
    let Some(place) = table.key_place(key, findings) else {
        return;
    };
    for other in others {
        if let Some(beside) = table.key_place(other, findings) {
            findings.push(
                Diagnostic::new(
                    Code::Contradiction,
                    &beside,
                    format!("`{other}` and `{key}` exclude each other"),
                )
                .also(&place, format!("`{key}` is here"))
                .hint(if key == "multicast" {
                    "`multicast` goes with `among`; elsewhere a multicast address stands in `to`"
                } else {
                    "`among` already says both directions"
                }),
            );
        }
    }
}

fn members(table: &Table<'_>, key: &str, findings: &mut Findings) -> Option<Members> {
    let texts = table.strings(key, findings)?;
    let key_place = table.key_place(key, findings)?;
    let items: Vec<_> = texts
        .iter()
        .filter_map(|text| located(text, member::parse, findings))
        .collect();
    if !items.is_empty() && items.iter().all(|item| item.value.negated) {
        findings.push(
            Diagnostic::new(
                Code::BadValue,
                &items[0].place,
                format!("`{key}` only says who is not meant"),
            )
            .hint(format!(
                "write `{key} = [\"any\", …]` to take away from everybody"
            )),
        );
        return None;
    }
    (items.len() == texts.len() && !items.is_empty()).then_some(Members {
        items,
        key: key_place,
    })
}

fn multicast(table: &Table<'_>, findings: &mut Findings) -> Option<AddressSet> {
    let texts = table.strings("multicast", findings)?;
    if table.value("among").is_none()
        && let Some(place) = table.key_place("multicast", findings)
        && table.value("from").is_none()
        && table.value("to").is_none()
    {
        findings.push(
            Diagnostic::new(Code::MissingKey, &place, "`multicast` needs `among`")
                .hint("`among` names the peers that reach each other through the multicast group"),
        );
    }
    let groups = AddressSet::group_addressed();
    Some(
        texts
            .iter()
            .filter_map(|text| {
                let address = located(text, member::address, findings)?;
                if groups.contains(address.value) {
                    return Some(address.value);
                }
                let problem = Problem::new(format!("{} is not a multicast address", address.value));
                findings.push(problem.at(Code::BadValue, &address.place));
                None
            })
            .collect(),
    )
}

/// Interface names have at most 15 bytes (IFNAMSIZ less its final zero).
const MAX_INTERFACE: usize = 15;

/// Keeps the globs that can match an interface.
pub(super) fn checked_globs(
    globs: Vec<Located<Arc<str>>>,
    findings: &mut Findings,
) -> Vec<Located<Arc<str>>> {
    globs
        .into_iter()
        .filter(|glob| findings.check(&glob.place, check_glob(&glob.value)).is_some())
        .collect()
}

fn check_glob(glob: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-_.:@".contains(&byte);
    let literal = glob.bytes().filter(|byte| *byte != b'*').count();
    if glob.is_empty() || literal > MAX_INTERFACE || !glob.bytes().all(allowed) {
        return Err(Problem::new(format!(
            "`{}` is not an interface name or pattern",
            glob.escape_debug()
        ))
        .hint("write a name such as \"eth0\", or a pattern with `*` (any characters) and `?` (any one)"));
    }
    Ok(())
}

impl Who {
    /// Whether it is written as addresses, not as a name.
    pub(crate) const fn is_literal(&self) -> bool {
        matches!(self, Self::Addresses(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_patterns() {
        for glob in ["eth0", "en*", "*", "eth?.100", "br-0", "wlan*"] {
            assert_eq!(check_glob(glob), Ok(()), "{glob}");
        }
        for glob in ["", "eth[0]", "a/b", "{a,b}", "abcdefghijklmnop", "eth 0", "\\"] {
            assert!(check_glob(glob).is_err(), "{glob}");
        }
    }
}
