//! Block lists: from their files into the kernel, changed there and here, and kept over a restart.

use std::{fs, io::Write as _};

use firewall_agent::{
    control::protocol::FailureKind,
    daemon::{Agent, ListEdit},
    dataplane::{
        Dataplane,
        fake::{FakeKernel, Operation},
    },
    prefix_set::Members,
    state::Cause,
};
use flate2::{Compression, write::GzEncoder};

use crate::host::{Host, operator, refused};

const NAMED: &str = "\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt\"\n";
const LIST: &str = "# those who scan us\n192.0.2.0/24 ; SBL1\n\n198.51.100.7\t3\n2001:db8:bad::/48\n";

fn host(list: &str) -> Host {
    let host = Host::new();
    host.append("base.toml", NAMED);
    host.write("drop.txt", list);
    host
}

/// What the kernel has in force.
fn members(kernel: &FakeKernel) -> Members {
    let mut dataplane = kernel.dataplane();
    dataplane.adopt_or_create().expect("it is there");
    let slot = dataplane.cell().expect("a cell").slot;
    dataplane.list_members(slot).expect("a loaded slot")
}

fn v4(kernel: &FakeKernel) -> Vec<String> {
    let ranges = members(kernel).v4().to_vec();
    let text = |address: u32| std::net::Ipv4Addr::from_bits(address).to_string();
    ranges
        .into_iter()
        .map(|(first, last)| format!("{}-{}", text(first), text(last)))
        .collect()
}

fn edit(entries: &[&str]) -> ListEdit {
    ListEdit {
        name: "drop".into(),
        entries: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        why: Some("a test".into()),
    }
}

fn revision(agent: &Agent) -> u64 {
    let status = agent.status().expect("the kernel answers");
    status.revision.expect("there is one").number
}

#[test]
fn a_list_goes_into_force_with_its_policy_and_survives_a_restart() {
    let host = host(LIST);
    let agent = host.start();
    assert_eq!(
        v4(&host.kernel),
        ["192.0.2.0-192.0.2.255", "198.51.100.7-198.51.100.7"]
    );
    assert_eq!(members(&host.kernel).v6().len(), 1);
    let lists = agent.lists().lists;
    assert_eq!((lists[0].ipv4_entries, lists[0].ipv6_entries), (2, 1));
    let before = agent.status().expect("the kernel answers");
    drop(agent);
    let agent = host.start();
    let after = agent.status().expect("the kernel answers");
    assert_eq!(after.generation, before.generation, "adopted, not loaded again");
    host.write("drop.txt", "203.0.113.9\n");
    drop(agent);
    let agent = host.start();
    assert!(
        agent.status().expect("the kernel answers").pending,
        "a changed list is not enforced by itself"
    );
    assert_eq!(v4(&host.kernel).len(), 2);
    let changed = agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the list is right");
    assert_eq!(
        changed.changes,
        ["changed block list drop (3 entries before, 1 now)"]
    );
    assert_eq!(v4(&host.kernel), ["203.0.113.9-203.0.113.9"]);
    host.write("base.toml", &host.read("base.toml").replace(NAMED, ""));
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    assert_eq!(v4(&host.kernel), Vec::<String>::new());
}

#[test]
fn a_list_with_faults_changes_nothing_and_is_told_of_by_line() {
    let host = host(LIST);
    let agent = host.start();
    host.write("drop.txt", "192.0.2.1\nexample.org\n");
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert_eq!(failure.kind, FailureKind::Policy);
    let finding = &failure.findings[0];
    assert_eq!((finding.code.as_str(), finding.line), ("FW041", 2));
    assert!(finding.file.ends_with("drop.txt"));
    fs::remove_file(host.policy_file("drop.txt")).expect("there");
    let failure = refused(agent.reload(&operator(), Cause::Reload, None));
    assert_eq!(failure.findings[0].code, "FW001");
    assert_eq!(v4(&host.kernel).len(), 2, "what was in force stays in force");
}

#[test]
fn an_entry_is_added_and_deleted_live_and_in_the_file() {
    let host = host(LIST);
    let agent = host.start();
    let generation = agent.status().expect("the kernel answers").generation;
    let changed = agent
        .add_to_list(&operator(), &edit(&["203.0.113.0/24", "2001:db8:5::1"]))
        .expect("two more");
    assert!(changed.generation > generation, "live flows are judged again");
    assert_eq!(changed.changes.len(), 2);
    assert_eq!(
        host.read("drop.txt"),
        format!("{LIST}203.0.113.0/24\n2001:db8:5::1\n")
    );
    assert_eq!(v4(&host.kernel).len(), 3);
    assert_eq!(revision(&agent), 2);
    assert!(!agent.status().expect("the kernel answers").pending);
    let same = agent
        .add_to_list(&operator(), &edit(&["203.0.113.0/24"]))
        .expect("it is there");
    assert_eq!((same.changed, revision(&agent)), (false, 2));
    agent
        .delete_from_list(&operator(), &edit(&["192.0.2.0/24"]))
        .expect("one less");
    let text = host.read("drop.txt");
    assert!(
        text.starts_with("# those who scan us\n\n198.51.100.7\t3\n"),
        "{text}"
    );
    assert_eq!(
        v4(&host.kernel),
        ["198.51.100.7-198.51.100.7", "203.0.113.0-203.0.113.255"]
    );
    drop(agent);
    let agent = host.start();
    assert_eq!(revision(&agent), 3);
    assert_eq!(v4(&host.kernel).len(), 2);
    assert!(!agent.status().expect("the kernel answers").pending);
}

#[test]
fn only_entries_of_a_list_can_be_deleted() {
    let host = host(LIST);
    let agent = host.start();
    let failure = refused(agent.delete_from_list(&operator(), &edit(&["192.0.2.9"])));
    assert_eq!(failure.kind, FailureKind::NotFound);
    assert!(
        failure
            .hint
            .expect("it is covered")
            .contains("192.0.2.0-192.0.2.255")
    );
    let other = ListEdit {
        name: "other".into(),
        ..edit(&["192.0.2.9"])
    };
    assert_eq!(
        refused(agent.add_to_list(&operator(), &other)).kind,
        FailureKind::NotFound
    );
    assert_eq!(
        refused(agent.add_to_list(&operator(), &edit(&["10.0.0.1/8"]))).kind,
        FailureKind::BadRequest
    );
    assert_eq!(host.read("drop.txt"), LIST);
}

#[test]
fn what_another_list_has_stays_blocked() {
    let host = host(LIST);
    host.append(
        "web.toml",
        "\n[[blocklist]]\nname = \"more\"\nfile = \"more.txt\"\n",
    );
    host.write("more.txt", "192.0.2.64/26\n192.0.0.0/16\n");
    let agent = host.start();
    assert_eq!(v4(&host.kernel)[0], "192.0.0.0-192.0.255.255");
    agent
        .delete_from_list(&operator(), &edit(&["192.0.2.0/24"]))
        .expect("one less");
    assert_eq!(v4(&host.kernel)[0], "192.0.0.0-192.0.255.255");
    let more = ListEdit {
        name: "more".into(),
        ..edit(&["192.0.0.0/16"])
    };
    agent.delete_from_list(&operator(), &more).expect("one less");
    assert_eq!(v4(&host.kernel)[0], "192.0.2.64-192.0.2.127");
}

#[test]
fn an_import_takes_the_place_of_a_list_or_changes_nothing() {
    let host = host(LIST);
    let agent = host.start();
    let feed = "{\"cidr\":\"192.0.2.0/25\",\"sblid\":\"SBL1\"}\n{\"type\":\"metadata\"}\n";
    let changed = agent
        .import_list(&operator(), "drop", feed.into(), None)
        .expect("a feed");
    assert_eq!(
        changed.changes,
        ["changed block list drop (3 entries before, 1 now)"]
    );
    assert_eq!((host.read("drop.txt").as_str(), revision(&agent)), (feed, 2));
    assert_eq!(v4(&host.kernel), ["192.0.2.0-192.0.2.127"]);
    let failure = refused(agent.import_list(&operator(), "drop", "1.1.1.1\n<html>\n".into(), None));
    assert!(failure.message.contains("line 2"), "{}", failure.message);
    assert_eq!((host.read("drop.txt").as_str(), revision(&agent)), (feed, 2));
}

#[test]
fn a_kernel_that_refuses_leaves_the_file_as_it_was() {
    let host = host(LIST);
    let agent = host.start();
    host.kernel.fail(Operation::LoadLists);
    refused(agent.add_to_list(&operator(), &edit(&["203.0.113.9"])));
    host.kernel.mend(Operation::LoadLists);
    assert_eq!((host.read("drop.txt").as_str(), revision(&agent)), (LIST, 1));
    assert_eq!(v4(&host.kernel).len(), 2);
    agent
        .add_to_list(&operator(), &edit(&["203.0.113.9"]))
        .expect("now it does not");
}

#[test]
fn a_compressed_list_is_read_and_not_written() {
    let host = Host::new();
    host.append(
        "base.toml",
        "\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt.gz\"\n",
    );
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(LIST.as_bytes()).expect("memory");
    fs::write(host.policy_file("drop.txt.gz"), packed.finish().expect("memory")).expect("written");
    let agent = host.start();
    assert_eq!(v4(&host.kernel).len(), 2);
    let failure = refused(agent.add_to_list(&operator(), &edit(&["203.0.113.9"])));
    assert_eq!(failure.kind, FailureKind::Conflict);
    drop(agent);
    host.start();
    assert_eq!(v4(&host.kernel).len(), 2);
}

#[test]
fn revisions_share_a_list_that_has_not_changed() {
    use std::os::unix::fs::MetadataExt;

    let host = host(LIST);
    let agent = host.start();
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"management\"\n",
    );
    agent
        .reload(&operator(), Cause::Reload, None)
        .expect("the files are right");
    let stored = host.path("state/revisions/2");
    let list = fs::read_dir(stored)
        .expect("a revision")
        .flatten()
        .find(|file| file.file_name().to_string_lossy().ends_with("drop.txt"));
    assert_eq!(list.expect("the list").metadata().expect("a file").nlink(), 2);
}
