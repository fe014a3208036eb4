//! Who a peer is, and what it may do.

use std::ffi::CString;

use nix::{
    errno::Errno,
    unistd::{Gid, Group, Uid, User, getgrouplist},
};
use tokio::net::unix::UCred;

use crate::{
    settings::{ControlSettings, GroupName},
    state::Actor,
};

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// Nothing.
    None,
    /// Look.
    Read,
    /// Look and change.
    Write,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRules {
    operators: Option<Gid>,
    readers: Option<Gid>,
}

/// The groups of the settings cannot be made out.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no such group.
    #[error(
        "the settings name the group `{group}`, which does not exist; make it with: groupadd --system {group}"
    )]
    NoSuchGroup {
        /// Its name.
        group: String,
    },
    /// The group database cannot be read.
    #[error("cannot look up the group `{group}`: {source}")]
    LookUp {
        /// The group.
        group: String,
        /// Why not.
        source: Errno,
    },
}

impl AccessRules {
    /// Looks up the groups that the settings name.
    pub fn new(settings: &ControlSettings) -> Result<Self, AccessError> {
        Ok(Self {
            operators: settings.operators.as_ref().map(gid).transpose()?,
            readers: settings.readers.as_ref().map(gid).transpose()?,
        })
    }

    /// The same, with the groups that there are: a group that is missing lets nobody in, and is returned.
    pub fn of_groups_that_exist(settings: &ControlSettings) -> (Self, Vec<AccessError>) {
        let mut missing = Vec::new();
        let mut known = |group: &Option<GroupName>| match group.as_ref().map(gid).transpose() {
            Ok(gid) => gid,
            Err(error) => {
                missing.push(error);
                None
            }
        };
        let rules = Self {
            operators: known(&settings.operators),
            readers: known(&settings.readers),
        };
        (rules, missing)
    }

    /// What a user with these groups may do.
    #[must_use]
    pub fn privilege(&self, uid: u32, groups: &[Gid]) -> Privilege {
        let is_in = |group: Option<Gid>| group.is_some_and(|group| groups.contains(&group));
        if uid == 0 || is_in(self.operators) {
            Privilege::Write
        } else if is_in(self.readers) {
            Privilege::Read
        } else {
            Privilege::None
        }
    }
}

fn gid(name: &GroupName) -> Result<Gid, AccessError> {
    match name {
        GroupName::Number(number) => Ok(Gid::from_raw(*number)),
        GroupName::Name(name) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid),
            Ok(None) => Err(AccessError::NoSuchGroup { group: name.clone() }),
            Err(source) => Err(AccessError::LookUp {
                group: name.clone(),
                source,
            }),
        },
    }
}

/// The process at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// User number and name.
    pub actor: Actor,
    /// Process, if the kernel knows it.
    pub pid: Option<i32>,
    /// What it may do.
    pub privilege: Privilege,
}

impl Peer {
    /// From what the kernel says of the peer (`SO_PEERCRED`), with all groups of its user. Blocks on the user
    /// database.
    #[must_use]
    pub fn identify(credentials: UCred, rules: &AccessRules) -> Self {
        let uid = credentials.uid();
        // A user that is not in the database has the group of its process only.
        let user = User::from_uid(Uid::from_raw(uid))
            .ok()
            .flatten()
            .map(|user| user.name);
        let groups = groups(user.as_deref(), Gid::from_raw(credentials.gid()));
        Self {
            privilege: rules.privilege(uid, &groups),
            actor: actor(uid, user, credentials.pid()),
            pid: credentials.pid(),
        }
    }
}

fn actor(uid: u32, user: Option<String>, pid: Option<i32>) -> Actor {
    let login_uid = pid.and_then(login_uid);
    let login = login_uid.and_then(|login| User::from_uid(Uid::from_raw(login)).ok().flatten());
    Actor {
        login_uid,
        login_user: login.map(|user| user.name),
        ..Actor::new(uid, user)
    }
}

/// Who logged in, as the kernel's audit has it; a process of no session has nobody.
fn login_uid(pid: i32) -> Option<u32> {
    const NOBODY: u32 = u32::MAX;
    let text = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != NOBODY)
}

fn groups(user: Option<&str>, gid: Gid) -> Vec<Gid> {
    user.and_then(|user| CString::new(user).ok())
        .and_then(|user| getgrouplist(&user, gid).ok())
        .unwrap_or_else(|| vec![gid])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> AccessRules {
        AccessRules {
            operators: Some(Gid::from_raw(10)),
            readers: Some(Gid::from_raw(20)),
        }
    }

    #[test]
    fn groups_decide_and_root_may_always() {
        let privilege = |uid, groups: &[u32]| {
            let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
            rules().privilege(uid, &groups)
        };
        assert_eq!(privilege(0, &[]), Privilege::Write);
        assert_eq!(privilege(1000, &[5, 10]), Privilege::Write);
        assert_eq!(privilege(1000, &[20, 10]), Privilege::Write);
        assert_eq!(privilege(1000, &[5, 20]), Privilege::Read);
        assert_eq!(privilege(1000, &[5]), Privilege::None);
        assert_eq!(privilege(1000, &[]), Privilege::None);
    }

    #[test]
    fn without_groups_only_root_may() {
        let rules = AccessRules::new(&ControlSettings::default()).expect("nothing to look up");
        assert_eq!(rules.privilege(0, &[]), Privilege::Write);
        assert_eq!(rules.privilege(1000, &[Gid::from_raw(0)]), Privilege::None);
    }

    #[test]
    fn a_group_that_does_not_exist_is_named() {
        let settings = ControlSettings {
            operators: Some(GroupName::Name("no-such-group-here".into())),
            ..ControlSettings::default()
        };
        let error = AccessRules::new(&settings).expect_err("it does not exist");
        assert!(error.to_string().contains("no-such-group-here"), "{error}");
    }

    #[test]
    fn a_group_that_does_not_exist_lets_nobody_in_and_takes_nothing_from_the_other() {
        let settings = ControlSettings {
            operators: Some(GroupName::Name("no-such-group-here".into())),
            readers: Some(GroupName::Number(20)),
            ..ControlSettings::default()
        };
        let (rules, missing) = AccessRules::of_groups_that_exist(&settings);
        assert_eq!(missing.len(), 1);
        assert_eq!(rules.privilege(0, &[]), Privilege::Write);
        assert_eq!(rules.privilege(1000, &[Gid::from_raw(20)]), Privilege::Read);
        assert_eq!(rules.privilege(1000, &[Gid::from_raw(10)]), Privilege::None);
    }
}
