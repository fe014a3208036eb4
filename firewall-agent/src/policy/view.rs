//! The network as one host sees it: what names stand for there, and what a sentence means for it.

use std::sync::Arc;

use super::{
    inventory::{Host, Inventory},
    model::{AddressSet, Direction},
    syntax::{Among, Member, Members, Parties, Who},
};

/// For whom a policy is resolved.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    /// What names mean.
    pub(super) inventory: &'a Inventory,
    /// The role.
    pub(super) role: Arc<str>,
    /// The host, if the inventory names it; otherwise its addresses are unknown.
    pub(super) host: Option<&'a Host>,
    /// What `stranger` stands for.
    pub(super) strangers: AddressSet,
}

/// One direction of a sentence: `None` is every address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) direction: Direction,
    pub(super) source: Option<AddressSet>,
    pub(super) destination: Option<AddressSet>,
}

/// What a sentence means for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// One rule for each; none if the sentence does not concern the host.
    pub(super) halves: Vec<Half>,
    /// The sentence names nobody at all, on whatever host.
    pub(super) names_nobody: bool,
}

/// A host's own part of a set of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    /// It has no part in it.
    Nothing,
    /// These of its addresses.
    These(AddressSet),
    /// Whatever its addresses are.
    Anything,
}

impl Own {
    fn these(set: AddressSet) -> Self {
        if set.is_empty() {
            Self::Nothing
        } else {
            Self::These(set)
        }
    }

    /// As a condition on a packet, if the host has a part at all.
    fn condition(self) -> Option<Condition> {
        match self {
            Self::Nothing => None,
            Self::These(set) => Some(Condition(Some(set))),
            Self::Anything => Some(Condition(None)),
        }
    }
}

/// A condition on an address; without a set every address will do.
#[derive(Debug, Clone)]
struct Condition(Option<AddressSet>);

impl View<'_> {
    /// How findings name the host or role.
    pub(super) fn label(&self) -> Arc<str> {
        match self.host {
            Some(host) => host.name.clone(),
            None => format!("role {}", self.role).into(),
        }
    }

    /// What the sentence means for this host.
    pub(super) fn meaning(&self, parties: &Parties) -> Meaning {
        let halves = match parties {
            Parties::From(from) => self.incoming(from, Condition(None)).into_iter().collect(),
            Parties::To(to) => self.outgoing(Condition(None), to).into_iter().collect(),
            Parties::FromTo(from, to) => {
                let incoming = self
                    .reached_by(to)
                    .condition()
                    .and_then(|own| self.incoming(from, own));
                let outgoing = self
                    .reaches_from(from)
                    .condition()
                    .and_then(|own| self.outgoing(own, to));
                incoming.into_iter().chain(outgoing).collect()
            }
            Parties::Among(among) => self.among(among),
            Parties::Forward { from, to } => {
                let side = |members: &Option<Members>| {
                    members
                        .as_ref()
                        .and_then(|members| unless_everything(self.everyone(members)))
                };
                vec![Half {
                    direction: Direction::Forward,
                    source: side(from),
                    destination: side(to),
                }]
            }
        };
        let names_nobody = parties.members().any(|members| self.everyone(members).is_empty());
        Meaning {
            halves: if names_nobody { Vec::new() } else { halves },
            names_nobody,
        }
    }

    /// Whether the role or host of this name is the one that is resolved for.
    pub(super) fn is_called(&self, name: &str) -> bool {
        *self.role == *name
            || self
                .host
                .is_some_and(|host| *host.name == *name || host.is_in(name))
    }

    /// All addresses of one item.
    pub(super) fn addresses_of(&self, member: &Member) -> AddressSet {
        self.addresses(&member.who, &|_| true)
    }

    fn incoming(&self, from: &Members, own: Condition) -> Option<Half> {
        let others = self.others(from);
        (!others.is_empty()).then(|| Half {
            direction: Direction::In,
            source: unless_everything(others),
            destination: own.0,
        })
    }

    fn outgoing(&self, own: Condition, to: &Members) -> Option<Half> {
        let others = self.others(to);
        (!others.is_empty()).then(|| Half {
            direction: Direction::Out,
            source: own.0,
            destination: unless_everything(others),
        })
    }

    /// Peers reach each other, and their multicast groups; a host without peers still sends to the groups.
    fn among(&self, among: &Among) -> Vec<Half> {
        let Some(Condition(own)) = self.reaches_from(&among.members).condition() else {
            return Vec::new();
        };
        let destination = own.as_ref().map(|own| own.union(&among.multicast));
        let incoming = self.incoming(&among.members, Condition(destination));
        let others = self.others(&among.members).union(&among.multicast);
        let outgoing = (!others.is_empty()).then(|| Half {
            direction: Direction::Out,
            source: own,
            destination: unless_everything(others),
        });
        incoming.into_iter().chain(outgoing).collect()
    }

    /// This host's part of those to whom packets go; group addresses reach it as well.
    fn reached_by(&self, to: &Members) -> Own {
        let set = self.everyone(to);
        let groups = AddressSet::group_addressed();
        match self.host {
            _ if set.is_everything() => Own::Anything,
            Some(host) => Own::these(set.intersection(&host.own.union(&groups))),
            None if self.names_role(to) => Own::Anything,
            None => Own::these(set.intersection(&groups)),
        }
    }

    /// This host's part of those from whom packets come.
    fn reaches_from(&self, from: &Members) -> Own {
        let set = self.everyone(from);
        match self.host {
            _ if set.is_everything() => Own::Anything,
            Some(host) => Own::these(set.intersection(&host.own)),
            None if self.names_role(from) => Own::Anything,
            None => Own::Nothing,
        }
    }

    /// For a host whose addresses are unknown: whether its role is among the members and not taken away.
    fn names_role(&self, members: &Members) -> bool {
        let is_mine = |member: &Member| match &member.who {
            Who::Any | Who::This => true,
            Who::Name(name) => **name == *self.role,
            Who::Stranger | Who::Addresses(_) => false,
        };
        let mut mine = members
            .items
            .iter()
            .map(|item| &item.value)
            .filter(|member| is_mine(member))
            .peekable();
        mine.peek().is_some() && mine.all(|member| !member.negated)
    }

    /// All addresses of the members.
    pub(super) fn everyone(&self, members: &Members) -> AddressSet {
        self.resolved(members, &|_| true)
    }

    /// The members' addresses where this host does not talk to itself: its own name and its groups do not mean it.
    fn others(&self, members: &Members) -> AddressSet {
        self.resolved(members, &|host| self.host.is_none_or(|own| own.name != host.name))
    }

    /// What is added less what is taken away; of what is added, only hosts that count.
    fn resolved(&self, members: &Members, counts: &dyn Fn(&Host) -> bool) -> AddressSet {
        let side = |negated: bool, counts: &dyn Fn(&Host) -> bool| -> AddressSet {
            let items = members.items.iter().map(|item| &item.value);
            items
                .filter(|item| item.negated == negated)
                .map(|item| self.addresses(&item.who, counts))
                .collect()
        };
        let (added, taken) = (side(false, counts), side(true, &|_| true));
        if taken.is_empty() {
            added
        } else {
            added.difference(&taken)
        }
    }

    fn addresses(&self, who: &Who, counts: &dyn Fn(&Host) -> bool) -> AddressSet {
        match who {
            Who::Any => AddressSet::everything(),
            Who::This => match self.host {
                Some(host) if counts(host) => host.own.clone(),
                Some(_) => AddressSet::default(),
                None => AddressSet::everything(),
            },
            Who::Stranger => self.strangers.clone(),
            Who::Addresses(set) => set.clone(),
            Who::Name(name) => self.named(name, counts),
        }
    }

    fn named(&self, name: &str, counts: &dyn Fn(&Host) -> bool) -> AddressSet {
        if let Some(network) = self.inventory.network(name) {
            return network.clone();
        }
        let hosts = self
            .inventory
            .host(name)
            .into_iter()
            .chain(self.inventory.members(name));
        hosts
            .filter(|host| counts(host))
            .map(|host| host.own.clone())
            .collect()
    }
}

fn unless_everything(set: AddressSet) -> Option<AddressSet> {
    (!set.is_everything()).then_some(set)
}
