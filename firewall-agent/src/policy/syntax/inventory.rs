//! `[hosts.NAME]`, `[networks]` and `[services]` of an inventory file.

use std::{net::IpAddr, sync::Arc};

use toml::{Spanned, de::DeValue};

use super::{
    findings::{Findings, Located, Problem},
    member::{self, Member},
    name,
    table::{self, Keys, Table},
    what::{self, What},
};
use crate::{
    diagnostic::{Code, Diagnostic, Place},
    policy::model::AddressSet,
};

/// One host.
#[derive(Debug, Clone)]
pub(crate) struct HostEntry {
    /// Its name.
    pub(crate) name: Located<Arc<str>>,
    /// Its role, if it is one of ours.
    pub(crate) role: Option<Located<Arc<str>>>,
    /// Further groups that it is in.
    pub(crate) groups: Vec<Located<Arc<str>>>,
    /// Its own addresses.
    pub(crate) addresses: Vec<Located<IpAddr>>,
    /// Addresses that it may take over, such as those of VRRP.
    pub(crate) virtual_addresses: Vec<Located<IpAddr>>,
}

/// One named network.
#[derive(Debug, Clone)]
pub(crate) struct NetworkEntry {
    /// Its name.
    pub(crate) name: Located<Arc<str>>,
    /// What it consists of.
    pub(crate) members: Vec<Located<Member>>,
}

/// One named service.
#[derive(Debug, Clone)]
pub(crate) struct ServiceEntry {
    /// Its name.
    pub(crate) name: Located<Arc<str>>,
    /// What it consists of.
    pub(crate) what: Vec<Located<What>>,
}

/// Everything in an inventory file.
#[derive(Debug, Default)]
pub(crate) struct InventoryEntries {
    /// Hosts.
    pub(crate) hosts: Vec<HostEntry>,
    /// Networks.
    pub(crate) networks: Vec<NetworkEntry>,
    /// Services.
    pub(crate) services: Vec<ServiceEntry>,
}

impl InventoryEntries {
    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty() && self.services.is_empty()
    }
}

pub(super) const HOST_KEYS: Keys = Keys {
    what: "a host",
    known: &["role", "groups", "addresses", "virtual"],
    reserved: &[],
    instead: &[
        ("roles", "write `role`; a host has one, and further `groups`"),
        ("address", "write `addresses`"),
        ("group", "write `groups`"),
    ],
};

pub(super) fn read(file: &Table<'_>, findings: &mut Findings) -> InventoryEntries {
    InventoryEntries {
        hosts: named(file, "hosts", host, findings),
        networks: named(
            file,
            "networks",
            |name, value, findings| Some(network(name, value, findings)),
            findings,
        ),
        services: named(
            file,
            "services",
            |name, value, findings| Some(service(name, value, findings)),
            findings,
        ),
    }
}

type ReadEntry<T> = fn(Located<Arc<str>>, &Spanned<DeValue<'_>>, &mut Findings) -> Option<T>;

/// The entries of a table whose keys are the operator's names.
fn named<T>(file: &Table<'_>, key: &str, read: ReadEntry<T>, findings: &mut Findings) -> Vec<T> {
    let Some(table) = file
        .value(key)
        .and_then(|value| table::named_table(value, findings))
    else {
        return Vec::new();
    };
    let entries = table.entries(findings);
    entries
        .into_iter()
        .filter_map(|(name, value)| {
            findings.check(&name.place, name::check_new(name.value))?;
            read(name.map(Arc::from), value, findings)
        })
        .collect()
}

fn host(name: Located<Arc<str>>, value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Option<HostEntry> {
    let table = table::table(value, &HOST_KEYS, findings)?;
    let role = table
        .string("role", findings)
        .filter(|role| is_name(role, findings));
    let mut groups = table.strings("groups", findings).unwrap_or_default();
    groups.retain(|group| is_name(group, findings));
    if table.value("addresses").is_none() {
        let message = format!("the host `{}` has no addresses", name.value);
        let missing = Diagnostic::new(Code::MissingKey, &name.place, message);
        table.missing(
            missing.hint("say `addresses = [\"10.0.0.1\", \"fd00::1\"]`"),
            findings,
        );
    }
    let addresses = addresses(&table, "addresses", findings);
    let virtual_addresses = self::addresses(&table, "virtual", findings);
    Some(HostEntry {
        name,
        role,
        groups,
        addresses,
        virtual_addresses,
    })
}

fn is_name(text: &Located<Arc<str>>, findings: &mut Findings) -> bool {
    findings
        .check(&text.place, name::check_new(&text.value))
        .is_some()
}

fn addresses(table: &Table<'_>, key: &str, findings: &mut Findings) -> Vec<Located<IpAddr>> {
    let texts = table.strings(key, findings).unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|text| {
            let address = findings.check(&text.place, unicast(&text.value))?;
            Some(Located::new(address, text.place))
        })
        .collect()
}

fn unicast(text: &str) -> Result<IpAddr, Problem> {
    let address = member::address(text)?;
    if AddressSet::group_addressed().contains(address) || address.is_unspecified() || address.is_loopback() {
        return Err(Problem::new(format!(
            "{address} cannot be the address of a host on the network"
        )));
    }
    Ok(address)
}

fn network(name: Located<Arc<str>>, value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> NetworkEntry {
    let members: Vec<_> = items(&name, value, member::parse, findings)
        .into_iter()
        .filter(|item| {
            let context = !item.value.negated
                && matches!(item.value.who, member::Who::Addresses(_) | member::Who::Name(_));
            if !context {
                findings.push(
                    Diagnostic::new(
                        Code::BadValue,
                        &item.place,
                        "a network consists of addresses and names only",
                    )
                    .hint("`any`, `self`, `stranger` and `not` stand in rules"),
                );
            }
            context
        })
        .collect();
    NetworkEntry { name, members }
}

fn service(name: Located<Arc<str>>, value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> ServiceEntry {
    if let Some(problem) = taken(&name.value) {
        findings.push(problem.at(Code::NameTwice, &name.place));
    }
    let what = items(&name, value, what::parse, findings);
    ServiceEntry { name, what }
}

/// Why the name cannot be a service's: it already means something in `allow`, `drop` and `reject`.
fn taken(name: &str) -> Option<Problem> {
    match what::parse(name) {
        Ok(What::Protocol(_)) => Some(Problem::new(format!("`{name}` is already a protocol"))),
        Ok(What::Service(_)) if what::BUILT_IN.iter().any(|(built_in, _)| *built_in == name) => {
            Some(Problem::new(format!("`{name}` is a built-in service")).hint("choose a name of your own"))
        }
        _ => None,
    }
}

fn items<T>(
    name: &Located<Arc<str>>,
    value: &Spanned<DeValue<'_>>,
    parse: fn(&str) -> Result<T, Problem>,
    findings: &mut Findings,
) -> Vec<Located<T>> {
    let texts = table::strings(&name.value, value, findings);
    let read = |text: Located<Arc<str>>, findings: &mut Findings| -> Option<Located<T>> {
        let place: Place = text.place;
        findings
            .check(&place, parse(&text.value))
            .map(|item| Located::new(item, place))
    };
    texts
        .into_iter()
        .filter_map(|text| read(text, findings))
        .collect()
}
