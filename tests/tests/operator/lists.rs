//! Block lists: in the policy, by command, with the agent dead, and gone.

use std::{fs, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{MANAGER, STRANGER, Site, WEB, exchange};

const NAMED: &str = "\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt\"\n";

fn with_list(site: &Site, list: &str) {
    site.write("drop.txt", list);
    site.write("web.toml", &format!("{WEB}{NAMED}"));
    site.said("reload");
}

#[test]
fn entries_come_and_go_live_and_stay_with_the_agent_dead() {
    let mut site = Site::started();
    let listener = site.listen(443);
    let _ssh = site.listen(22);
    with_list(&site, "# nobody yet\n");
    let mut client = site.connect(STRANGER, 443).expect("the site is open");
    let (mut server, _) = listener.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));

    let said = site.said(&format!("set add drop {STRANGER} {MANAGER}"));
    assert!(said.contains("revision 3 is in force"), "{said}");
    assert!(!exchange(&mut client, &mut server), "a live connection ends");
    assert!(site.connect(STRANGER, 443).is_none(), "no new one comes about");
    assert!(site.connect(MANAGER, 22).is_some(), "the failsafe comes first");
    assert_eq!(site.json("set list")["lists"][0]["ipv4_entries"], 2);
    assert_eq!(
        site.read("drop.txt"),
        format!("# nobody yet\n{STRANGER}\n{MANAGER}\n")
    );
    assert!(site.said("counters --nonzero").contains("listed"));

    let before = site.json("status");
    site.end(Signal::SIGKILL);
    assert!(site.connect(STRANGER, 443).is_none());
    site.start();
    let after = site.json("status");
    for same in ["generation", "revision", "pending"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(
        after["notes"].as_array().map(Vec::len),
        Some(0),
        "{}",
        after["notes"]
    );
    assert!(site.connect(STRANGER, 443).is_none());

    site.said(&format!("set delete drop {STRANGER}"));
    assert!(site.connect(STRANGER, 443).is_some());
    site.reboot();
    site.start();
    assert!(
        site.connect(MANAGER, 443).is_none(),
        "the last revision has its list"
    );
    assert!(site.connect(STRANGER, 443).is_some());

    site.end(Signal::SIGKILL);
    assert_eq!(site.unload().code, Some(0));
    assert!(!site.pins().exists());
    assert!(site.connect(MANAGER, 443).is_some());
}

#[test]
fn an_import_is_taken_whole_or_not_at_all() {
    let site = Site::started();
    let _listener = site.listen(443);
    with_list(&site, "192.0.2.1\n");
    let feed = site.path("feed.json");
    let text = format!("{{\"cidr\":\"{STRANGER}/32\",\"sblid\":\"SBL1\"}}\n{{\"type\":\"metadata\"}}\n");
    fs::write(&feed, &text).expect("ours");
    assert!(site.connect(STRANGER, 443).is_some());
    site.said(&format!("set import drop {}", feed.display()));
    assert!(site.connect(STRANGER, 443).is_none());
    assert_eq!(site.read("drop.txt"), text);

    fs::write(&feed, "192.0.2.1\n<html>\n").expect("ours");
    let refused = site.fwctl(&format!("set import drop {}", feed.display()));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("line 2"), "{refused:?}");
    assert_eq!(site.read("drop.txt"), text);
    assert!(site.connect(STRANGER, 443).is_none());
}

/// The list as a revision has it.
fn stored(site: &Site, revision: u64) -> PathBuf {
    let directory = site.path(&format!("state/revisions/{revision}"));
    let files = fs::read_dir(directory).expect("a revision").flatten();
    let mut lists = files.filter(|file| file.file_name().to_string_lossy().ends_with("drop.txt"));
    lists.next().expect("the list").path()
}

#[test]
fn a_damaged_list_of_a_revision_is_told_of_and_the_one_before_enforced() {
    let mut site = Site::started();
    let _listener = site.listen(443);
    with_list(&site, &format!("{STRANGER}\n"));
    site.said("set add drop 192.0.2.1");
    site.reboot();
    let list = stored(&site, 3);
    fs::remove_file(&list).expect("ours");
    fs::write(&list, "192.0.2.1\n").expect("ours");
    site.write("drop.txt", "# somebody is at it\n");
    site.start();
    let status = site.said("status");
    assert!(
        status.contains("revisions/3") && status.contains("drop.txt"),
        "{status}"
    );
    assert_eq!(site.json("status")["revision"]["number"], 2);
    assert!(
        site.connect(STRANGER, 443).is_none(),
        "the last good list is in force"
    );
}

#[test]
fn a_damaged_list_that_is_whole_where_it_was_read_from_is_mended() {
    let mut site = Site::started();
    let _listener = site.listen(443);
    with_list(&site, &format!("{STRANGER}\n"));
    for port in [1, 2] {
        site.said(&format!("rule add r{port} --allow tcp/{port} --from any"));
    }
    site.reboot();
    // All three revisions share the file.
    fs::write(stored(&site, 4), "192.0.2.1\n").expect("ours");
    site.start();
    let status = site.json("status");
    assert_eq!(
        (&status["enforcing"], &status["revision"]["number"]),
        (&"policy".into(), &4.into())
    );
    let notes = status["notes"].to_string();
    assert!(
        notes.contains("was damaged, and was written anew from") && notes.contains("policy/drop.txt"),
        "{notes}"
    );
    assert!(site.connect(STRANGER, 443).is_none(), "the list is in force");
    assert!(site.said("history verify").contains("ok:"), "of all revisions");
    site.said("rollback 2 --no-confirm");
}

#[test]
fn a_damaged_list_that_all_revisions_share_ends_in_what_is_safe() {
    let mut site = Site::new();
    site.write("drop.txt", "192.0.2.1\n");
    site.write("web.toml", &format!("{WEB}{NAMED}"));
    site.start();
    let (_site, _ssh) = (site.listen(443), site.listen(22));
    for port in [1, 2] {
        site.said(&format!("rule add r{port} --allow tcp/{port} --from any"));
    }
    let whole = fs::read_to_string(stored(&site, 3)).expect("there");
    site.write("drop.txt", "198.51.100.1\n");
    fs::write(stored(&site, 3), "198.51.100.2\n").expect("ours");
    let told = |site: &Site| {
        let status = site.json("status");
        let notes: Vec<&str> = status["notes"]
            .as_array()
            .expect("notes")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let about: Vec<_> = notes.iter().filter(|note| note.contains("drop.txt")).collect();
        assert_eq!(about.len(), 1, "one message for all: {notes:#?}");
        for part in [
            "revisions/3/",
            "is damaged",
            "2 revisions from 1 to 2 share it",
            "is put back as it was",
        ] {
            assert!(about[0].contains(part), "{part}: {about:?}");
        }
        status["enforcing"].clone()
    };

    // A restart finds the policy in the kernel, which stays.
    site.end(Signal::SIGKILL);
    site.start();
    assert_eq!(told(&site), "adopted");
    assert!(site.connect(STRANGER, 443).is_some() && site.connect(STRANGER, 22).is_none());

    // A boot finds nothing: who manages the host gets in, and nobody else.
    site.reboot();
    site.start();
    assert_eq!(told(&site), "failsafe-only");
    assert!(site.connect(MANAGER, 22).is_some());
    assert!(site.connect(STRANGER, 443).is_none() && site.connect(STRANGER, 22).is_none());
    let verified = site.fwctl("history verify");
    assert_eq!(verified.code, Some(1), "{verified:?}");

    // As the message says.
    site.write("drop.txt", &whole);
    site.reboot();
    site.start();
    assert_eq!(site.json("status")["revision"]["number"], 3);
    assert!(site.connect(STRANGER, 443).is_some());
    assert!(site.said("history verify").contains("ok:"));
}
