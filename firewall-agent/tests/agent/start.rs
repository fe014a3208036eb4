//! What a start puts in force.

use std::fs;

use crate::host::{Host, WEB, operator, rule_names};
use firewall_agent::{
    control::protocol::{Enforcing, FileState},
    daemon::StartError,
    dataplane::{Dataplane, fake::FakeKernel},
    state::Cause,
};
use firewall_common::cell::Cell;

const MORE: &str = "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"management\"\n";

#[test]
fn a_first_start_puts_the_files_in_force_as_revision_one() {
    let host = Host::new();
    let status = host.start().status().expect("the kernel answers");
    assert_eq!(status.enforcing, Enforcing::Policy);
    let revision = status.revision.expect("there is one");
    assert_eq!((revision.number, revision.cause), (1, Cause::FirstStart));
    assert_eq!(status.rules, 3, "ssh, web-to-db outgoing, site");
    assert!(!status.pending);
    assert_eq!(status.interfaces[0].name, "eth0");
    assert!(status.notes.is_empty(), "{:?}", status.notes);
}

#[test]
fn a_restart_adopts_what_it_finds_and_loads_nothing() {
    let host = Host::new();
    let before = host.start().status().expect("the kernel answers");
    let after = host.start().status().expect("the kernel answers");
    assert_eq!(after.generation, before.generation);
    assert_eq!(after.policy_hash, before.policy_hash);
    assert!(after.notes.is_empty(), "{:?}", after.notes);
}

#[test]
fn a_restart_mends_an_image_that_something_else_has_written_to() {
    let host = Host::new();
    let before = host.start().status().expect("the kernel answers");
    let mut dataplane = host.kernel.dataplane();
    dataplane.adopt_or_create().expect("it opens");
    host.kernel
        .corrupt(dataplane.cell().expect("it is there").slot, 3);
    let after = host.start().status().expect("the kernel answers");
    assert_ne!(after.generation, before.generation);
    assert_eq!(after.policy_hash, before.policy_hash);
    assert!(
        after.notes.iter().any(|note| note.contains("loaded again")),
        "{:?}",
        after.notes
    );
}

#[test]
fn a_boot_enforces_the_last_confirmed_revision_and_reports_changed_files() {
    let mut host = Host::new();
    drop(host.start());
    host.append("web.toml", MORE);
    host.write("extra.toml", "layer = \"host web-1\"\n");
    fs::remove_file(host.policy_file("db.toml")).expect("removed");
    reboot(&mut host);
    let agent = host.start();
    assert_eq!(rule_names(&agent).len(), 3);
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.revision.as_ref().map(|revision| revision.number), Some(1));
    assert!(status.pending);
    let state = |name: &str| {
        let mut files = status.files.iter();
        files
            .find(|file| file.path.ends_with(name))
            .map(|file| file.state)
    };
    assert_eq!(state("web.toml"), Some(FileState::Changed));
    assert_eq!(state("extra.toml"), Some(FileState::New));
    assert_eq!(state("db.toml"), Some(FileState::Removed));
    assert_eq!(state("base.toml"), Some(FileState::InForce));
}

#[test]
fn a_setting_lets_a_boot_enforce_changed_files() {
    let mut host = Host::new().with_settings("enforce_changed_files_at_boot = true");
    drop(host.start());
    host.append("web.toml", MORE);
    reboot(&mut host);
    let agent = host.start();
    assert!(rule_names(&agent).contains(&"more".to_owned()));
    let revision = agent
        .status()
        .expect("the kernel answers")
        .revision
        .expect("there is one");
    assert_eq!((revision.number, revision.cause), (2, Cause::Start));
}

#[test]
fn changed_files_that_do_not_check_leave_the_last_revision_in_force() {
    let mut host = Host::new().with_settings("enforce_changed_files_at_boot = true");
    drop(host.start());
    host.append("web.toml", "nonsense = ");
    reboot(&mut host);
    let status = host.start().status().expect("the kernel answers");
    assert_eq!(status.revision.map(|revision| revision.number), Some(1));
    let failure = status
        .last_reload
        .and_then(|last| last.failure)
        .expect("it is told");
    assert!(
        failure
            .findings
            .iter()
            .any(|finding| finding.file.ends_with("web.toml"))
    );
}

#[test]
fn without_a_revision_and_with_wrong_files_only_the_failsafe_is_in_force() {
    let host = Host::new();
    host.write("web.toml", "layer = ");
    let agent = host.start();
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.enforcing, Enforcing::FailsafeOnly);
    assert_eq!((status.revision, status.rules), (None, 0));
    assert_eq!(status.interfaces[0].name, "eth0", "all interfaces are filtered");
    assert!(status.pending);
    host.write("web.toml", WEB);
    let changed = agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(changed.revision, 1);
    assert_eq!(
        agent.status().expect("the kernel answers").enforcing,
        Enforcing::Policy
    );
}

#[test]
fn a_damaged_revision_is_named_and_the_one_before_is_enforced() {
    let mut host = Host::new();
    let agent = host.start();
    host.append("web.toml", MORE);
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    drop(agent);
    fs::write(host.path("state/revisions/2/manifest.json"), "{").expect("written");
    reboot(&mut host);
    let status = host.start().status().expect("the kernel answers");
    assert_eq!(status.revision.map(|revision| revision.number), Some(1));
    assert!(
        status
            .notes
            .iter()
            .any(|note| note.contains("revisions/2/manifest.json is damaged"))
    );
}

#[test]
fn with_every_revision_lost_what_the_kernel_enforces_stays() {
    let host = Host::new();
    let before = host.start().status().expect("the kernel answers");
    fs::write(host.path("state/revisions/1/manifest.json"), "{").expect("written");
    let agent = host.start();
    let status = agent.status().expect("the kernel answers");
    assert_eq!(status.enforcing, Enforcing::Adopted);
    assert_eq!(status.generation, before.generation);
    assert_eq!(status.interfaces.len(), 1);
    let changed = agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(changed.revision, 2);
    assert_eq!(
        agent.status().expect("the kernel answers").enforcing,
        Enforcing::Policy
    );
}

#[test]
fn an_interface_that_appeared_with_the_agent_dead_is_attached_at_the_start() {
    let host = Host::new();
    drop(host.start());
    host.kernel.add_link(FakeKernel::link(3, "eth1"));
    host.kernel.add_link(FakeKernel::link(4, "docker0"));
    let status = host.start().status().expect("the kernel answers");
    let names: Vec<&str> = status.interfaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth1"]);
}

#[test]
fn a_state_directory_belongs_to_one_agent() {
    let host = Host::new();
    let _agent = host.start();
    assert!(matches!(host.try_start(), Err(StartError::State(_))));
}

#[test]
fn without_a_state_directory_the_host_is_closed_and_not_open() {
    let host = Host::new();
    fs::write(host.path("state"), "in the way").expect("written");
    assert!(matches!(host.try_start(), Err(StartError::State(_))));
    let mut dataplane = host.kernel.dataplane();
    dataplane.adopt_or_create().expect("it opens");
    let slot = Cell::unpack(dataplane.cell().expect("it is there").pack()).slot;
    assert!(
        dataplane
            .slots()
            .expect("listed")
            .iter()
            .any(|status| status.slot == slot)
    );
    assert_eq!(dataplane.interfaces().len(), 1);
}

/// The kernel forgets everything; the disk does not.
pub(crate) fn reboot(host: &mut Host) {
    host.kernel = FakeKernel::new();
    host.kernel.add_link(FakeKernel::link(2, "eth0"));
}
