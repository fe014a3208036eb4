//! Explanations by what is in force.

use crate::site::{MANAGER, SERVER, STRANGER, Site, WEB, exchange};

#[test]
fn explanations_follow_what_is_in_force_and_change_nothing() {
    let site = Site::started();
    site.write("drop.txt", "198.51.100.0/24\n");
    site.write(
        "web.toml",
        &format!("{WEB}\n[[blocklist]]\nname = \"drop\"\nfile = \"drop.txt\"\n"),
    );
    site.said("reload");
    let ask = |words: &str| {
        let answer = site.json(&format!("explain {words}"));
        assert_eq!(answer["kernel"]["agrees"], true, "{answer}");
        for field in ["verdict", "reason", "rule"] {
            assert_eq!(answer["kernel"][field], answer[field], "{answer}");
        }
        answer
    };

    let listener = site.listen(443);
    let mut client = site.connect(STRANGER, 443).expect("the site is open");
    let (mut server, _) = listener.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));
    // Neighbours are looked for meanwhile; nothing of that is decided by a rule or dropped.
    let counters = || {
        let counters = site.json("counters");
        let mut reasons = counters["reasons"].as_array().expect("reasons").clone();
        reasons.retain(|reason| reason["drops"] == true);
        let events = site.log().matches("firewall_agent::packet").count();
        (counters["rules"].clone(), reasons, events)
    };
    let flows = || site.json("flows list --port 443")["total"].clone();
    let (before, flows_before) = (counters(), flows());

    let web = ask(&format!("in tcp {STRANGER}:51000 {SERVER}:443"));
    assert_eq!(
        (&web["verdict"], &web["rule"]),
        (&"pass".into(), &"site".into()),
        "{web}"
    );
    assert!(
        web["origin"]
            .as_str()
            .is_some_and(|origin| origin.ends_with("/web.toml:4")),
        "{web}"
    );
    let closed = ask(&format!("in tcp {STRANGER}:51000 {SERVER}:8080"));
    assert_eq!(
        (&closed["reason"], &closed["rule"]),
        (&"default".into(), &"(default in)".into())
    );
    let managed = ask(&format!("in tcp {MANAGER}:51000 {SERVER}:22"));
    assert_eq!(managed["reason"], "failsafe-management");
    let listed = ask(&format!("in tcp 198.51.100.7:51000 {SERVER}:443"));
    assert_eq!(listed["reason"], "listed");
    let spoofed = ask(&format!("in tcp {SERVER}:51000 {SERVER}:443"));
    assert_eq!(spoofed["reason"], "spoofed-own");
    let port = client.local_addr().expect("it has one").port();
    for words in [
        format!("in tcp {STRANGER}:{port} {SERVER}:443"),
        format!("out tcp {SERVER}:443 {STRANGER}:{port}"),
    ] {
        let live = ask(&words);
        assert_eq!(
            (&live["reason"], &live["rule"]),
            (&"flow".into(), &"site".into()),
            "{live}"
        );
    }
    for answer in [&web, &closed, &managed, &listed, &spoofed] {
        assert!(answer["disagreement"].is_null(), "{answer}");
    }

    assert_eq!(counters(), before, "no counter, no event");
    assert_eq!(flows(), flows_before, "no flow");
    assert!(exchange(&mut client, &mut server), "the live one goes on");

    site.said(&format!("ban {STRANGER}"));
    let banned = ask(&format!("in tcp {STRANGER}:51000 {SERVER}:443"));
    assert_eq!(banned["reason"], "banned", "{banned}");
    assert!(banned["disagreement"].is_null(), "{banned}");
    let live = ask(&format!("in tcp {STRANGER}:{port} {SERVER}:443"));
    assert_eq!(live["reason"], "banned", "a live flow is judged again: {live}");

    site.said("panic");
    let dropped = ask(&format!("in tcp {STRANGER}:51000 {SERVER}:80"));
    assert_eq!(dropped["reason"], "panic", "{dropped}");
    site.said("panic off");

    let unknown = site.fwctl(&format!(
        "explain in tcp {STRANGER}:51000 {SERVER}:443 --iface eth9"
    ));
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr.contains("eth9 is not filtered") && unknown.stderr.contains("eth0"),
        "{unknown:?}"
    );
    let wrong = site.fwctl(&format!("explain in tcp {STRANGER} {SERVER}"));
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
