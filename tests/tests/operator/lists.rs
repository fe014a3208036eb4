//! Block lists: in the policy, by command, with the agent dead, and gone.

use std::fs;

use nix::sys::signal::Signal;

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

#[test]
fn a_damaged_list_of_a_revision_is_told_of_and_the_one_before_enforced() {
    let mut site = Site::started();
    let _listener = site.listen(443);
    with_list(&site, &format!("{STRANGER}\n"));
    site.said("set add drop 192.0.2.1");
    site.reboot();
    let stored = fs::read_dir(site.path("state/revisions/3"))
        .expect("a revision")
        .flatten();
    let mut lists = stored.filter(|file| file.file_name().to_string_lossy().ends_with("drop.txt"));
    let list = lists.next().expect("the list").path();
    fs::remove_file(&list).expect("ours");
    fs::write(&list, "192.0.2.1\n").expect("ours");
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
