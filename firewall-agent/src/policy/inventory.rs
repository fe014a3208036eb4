//! What names mean: hosts, roles, groups, networks and services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    model::{AddressSet, ProtocolMatch},
    suggest::nearest,
    syntax::{self, BUILT_IN, HostEntry, InventoryEntries, Located, NetworkEntry, ServiceEntry, What, Who},
};
use crate::diagnostic::{Code, Diagnostic, Place};

/// One host.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its role.
    pub(super) role: Option<Located<Arc<str>>>,
    /// The groups that it is in, its role not among them.
    pub(super) groups: BTreeSet<Arc<str>>,
    /// Its addresses, those that it may take over among them.
    pub(super) own: AddressSet,
}

impl Host {
    /// Whether it is in the role or group of this name.
    pub(super) fn is_in(&self, group: &str) -> bool {
        self.groups.contains(group) || self.role.as_ref().is_some_and(|role| *role.value == *group)
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Role,
    Group,
    Network,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Role => "role",
            Self::Group => "group",
            Self::Network => "network",
        }
    }
}

/// Every name that rules may use.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    hosts: BTreeMap<Arc<str>, Host>,
    networks: BTreeMap<Arc<str>, AddressSet>,
    services: BTreeMap<Arc<str>, Vec<ProtocolMatch>>,
    names: BTreeMap<Arc<str>, (Kind, Place)>,
}

impl Inventory {
    /// Looks into the inventory file's entries; `roles` are the roles that have a file.
    pub(super) fn new(
        entries: &InventoryEntries,
        roles: &[Located<Arc<str>>],
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut inventory = Self::default();
        inventory.define_names(entries, roles, found);
        inventory.hosts = entries
            .hosts
            .iter()
            .map(|entry| (entry.name.value.clone(), host(entry)))
            .collect();
        address_twice(&entries.hosts, found);
        inventory.resolve_networks(&entries.networks, found);
        inventory.resolve_services(&entries.services, found);
        inventory
    }

    /// All hosts in the order of their names.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    pub(super) fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name)
    }

    pub(super) fn network(&self, name: &str) -> Option<&AddressSet> {
        self.networks.get(name)
    }

    /// Every address that the inventory names.
    pub(super) fn all_addresses(&self) -> AddressSet {
        self.hosts
            .values()
            .map(|host| host.own.clone())
            .chain(self.networks.values().cloned())
            .collect()
    }

    /// The hosts of a role or group.
    pub(super) fn members<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Host> {
        self.hosts.values().filter(move |host| host.is_in(group))
    }

    /// Notes the name if it stands for nothing.
    pub(super) fn check_name(&self, name: &str, place: &Place, found: &mut Vec<Diagnostic>) {
        if self.names.contains_key(name) {
            return;
        }
        let undefined = Diagnostic::new(Code::UndefinedName, place, format!("`{name}` is not defined"))
            .label("no host, role, group or network has this name");
        found.push(match nearest(name, self.names.keys().map(AsRef::as_ref)) {
            Some(known) => undefined.hint(format!("did you mean `{known}`?")),
            None if self.hosts.is_empty() => undefined.hint("is the inventory file among the files?"),
            None => undefined.hint("define it in the inventory file"),
        });
    }

    /// What a list of items stands for; unknown services are noted and left out.
    pub(super) fn protocols(
        &self,
        items: &[Located<What>],
        found: &mut Vec<Diagnostic>,
    ) -> Vec<ProtocolMatch> {
        let mut protocols = Vec::new();
        for item in items {
            match &item.value {
                What::Protocol(protocol) => protocols.push(protocol.clone()),
                What::Service(name) => match self.services.get(name) {
                    Some(service) => protocols.extend(service.iter().cloned()),
                    None => match built_in(name) {
                        Some(service) => protocols.extend(service),
                        None => found.push(self.undefined_service(name, &item.place)),
                    },
                },
            }
        }
        super::protocols::merged(protocols)
    }

    fn undefined_service(&self, name: &str, place: &Place) -> Diagnostic {
        let known = self
            .services
            .keys()
            .map(AsRef::as_ref)
            .chain(BUILT_IN.iter().map(|(name, _)| *name));
        let words = ["any", "tcp", "udp", "udplite", "sctp", "icmp", "icmpv6"];
        let undefined = Diagnostic::new(
            Code::UndefinedName,
            place,
            format!("`{name}` is not a known service"),
        );
        match nearest(name, known.chain(words)) {
            Some(known) => undefined.hint(format!("did you mean `{known}`?")),
            None => undefined.hint(format!(
                "write its port, such as \"tcp/8080\", or define `{name}` under `[services]` in the inventory"
            )),
        }
    }

    fn define_names(
        &mut self,
        entries: &InventoryEntries,
        roles: &[Located<Arc<str>>],
        found: &mut Vec<Diagnostic>,
    ) {
        for role in roles
            .iter()
            .chain(entries.hosts.iter().filter_map(|host| host.role.as_ref()))
        {
            self.define(role, Kind::Role, true, found);
        }
        for group in entries.hosts.iter().flat_map(|host| &host.groups) {
            self.define(group, Kind::Group, true, found);
        }
        for host in &entries.hosts {
            self.define(&host.name, Kind::Host, false, found);
        }
        for network in &entries.networks {
            self.define(&network.name, Kind::Network, false, found);
        }
    }

    fn define(&mut self, name: &Located<Arc<str>>, kind: Kind, again: bool, found: &mut Vec<Diagnostic>) {
        match self.names.get(&name.value) {
            None => {
                self.names.insert(name.value.clone(), (kind, name.place.clone()));
            }
            Some((known, _)) if again && *known == kind => {}
            Some((known, first)) => found.push(
                Diagnostic::new(
                    Code::NameTwice,
                    &name.place,
                    format!(
                        "`{}` names a {} and a {}",
                        name.value,
                        known.as_str(),
                        kind.as_str()
                    ),
                )
                .label(format!("a {} here", kind.as_str()))
                .also(first, format!("a {} here", known.as_str()))
                .hint("hosts, roles, groups and networks share their names; choose another one"),
            ),
        }
    }

    fn resolve_networks(&mut self, entries: &[NetworkEntry], found: &mut Vec<Diagnostic>) {
        let by_name: BTreeMap<&str, &NetworkEntry> = entries
            .iter()
            .map(|entry| (entry.name.value.as_ref(), entry))
            .collect();
        for entry in entries {
            let mut path = Vec::new();
            self.resolve_network(entry, &by_name, &mut path, found);
        }
    }

    fn resolve_network<'a>(
        &mut self,
        entry: &'a NetworkEntry,
        by_name: &BTreeMap<&str, &'a NetworkEntry>,
        path: &mut Vec<&'a str>,
        found: &mut Vec<Diagnostic>,
    ) -> AddressSet {
        if let Some(known) = self.networks.get(&entry.name.value) {
            return known.clone();
        }
        path.push(&entry.name.value);
        let mut sets = Vec::new();
        for member in &entry.members {
            match &member.value.who {
                Who::Addresses(set) => sets.push(set.clone()),
                Who::Name(name) => match by_name.get(name.as_ref()) {
                    Some(inner) if may_descend(&entry.name, name, path, &member.place, found) => {
                        sets.push(self.resolve_network(inner, by_name, path, found));
                    }
                    Some(_) => {}
                    None => {
                        self.check_name(name, &member.place, found);
                        sets.extend(self.host(name).map(|host| host.own.clone()));
                        sets.extend(self.members(name).map(|host| host.own.clone()));
                    }
                },
                Who::Any | Who::This | Who::Stranger => {}
            }
        }
        path.pop();
        let set: AddressSet = sets.into_iter().collect();
        self.networks.insert(entry.name.value.clone(), set.clone());
        set
    }

    fn resolve_services(&mut self, entries: &[ServiceEntry], found: &mut Vec<Diagnostic>) {
        let by_name: BTreeMap<&str, &ServiceEntry> = entries
            .iter()
            .map(|entry| (entry.name.value.as_ref(), entry))
            .collect();
        for entry in entries {
            let mut path = Vec::new();
            self.resolve_service(entry, &by_name, &mut path, found);
        }
    }

    fn resolve_service<'a>(
        &mut self,
        entry: &'a ServiceEntry,
        by_name: &BTreeMap<&str, &'a ServiceEntry>,
        path: &mut Vec<&'a str>,
        found: &mut Vec<Diagnostic>,
    ) {
        if self.services.contains_key(&entry.name.value) {
            return;
        }
        path.push(&entry.name.value);
        let mut usable = Vec::new();
        for item in &entry.what {
            if let What::Service(name) = &item.value
                && let Some(inner) = by_name.get(name.as_ref())
            {
                if !may_descend(&entry.name, name, path, &item.place, found) {
                    continue;
                }
                self.resolve_service(inner, by_name, path, found);
            }
            usable.push(item.clone());
        }
        path.pop();
        let protocols = self.protocols(&usable, found);
        self.services.insert(entry.name.value.clone(), protocols);
    }
}

fn host(entry: &HostEntry) -> Host {
    let addresses = entry
        .addresses
        .iter()
        .chain(&entry.virtual_addresses)
        .map(|address| address.value);
    Host {
        name: entry.name.value.clone(),
        role: entry.role.clone(),
        groups: entry.groups.iter().map(|group| group.value.clone()).collect(),
        own: addresses.collect(),
    }
}

/// An address that is not virtual belongs to one host.
fn address_twice(hosts: &[HostEntry], found: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<IpAddr, (&str, &Place)> = BTreeMap::new();
    for host in hosts {
        for address in &host.addresses {
            let Some((owner, first)) = owners.insert(address.value, (&host.name.value, &address.place))
            else {
                continue;
            };
            found.push(
                Diagnostic::new(
                    Code::NameTwice,
                    &address.place,
                    format!(
                        "{} belongs to `{owner}` and to `{}`",
                        address.value, host.name.value
                    ),
                )
                .also(first, "first here")
                .hint("an address that moves between hosts stands in `virtual` of each of them"),
            );
        }
    }
}

/// How deep definitions may lie in each other.
const MAX_DEPTH: usize = 16;

/// Whether a definition may be entered from another one; notes it if not.
fn may_descend(
    owner: &Located<Arc<str>>,
    name: &str,
    path: &[&str],
    place: &Place,
    found: &mut Vec<Diagnostic>,
) -> bool {
    let problem = if path.contains(&name) {
        Diagnostic::new(
            Code::Cycle,
            place,
            format!("`{}` is defined through itself", owner.value),
        )
        .label(format!("`{name}` leads back"))
    } else if path.len() >= MAX_DEPTH {
        Diagnostic::new(
            Code::BadValue,
            place,
            format!("definitions lie more than {MAX_DEPTH} deep in each other"),
        )
    } else {
        return true;
    };
    found.push(problem.also(&owner.place, "defined here"));
    false
}

fn built_in(name: &str) -> Option<Vec<ProtocolMatch>> {
    let (_, items) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
    let parsed = items.iter().filter_map(|item| match syntax::parse_what(item) {
        Ok(What::Protocol(protocol)) => Some(protocol),
        _ => None,
    });
    Some(parsed.collect())
}
