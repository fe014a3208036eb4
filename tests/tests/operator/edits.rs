//! Rules, live.

use std::time::Duration;

use firewall_tests::wait::wait_until;

use crate::site::{MANAGER, MANAGER_V6, STRANGER, Site, WEB, exchange};

#[test]
fn a_rule_opens_a_port_at_once_and_its_end_cuts_what_it_let_in() {
    let site = Site::started();
    let listener = site.listen(8080);
    for from in [MANAGER, MANAGER_V6, STRANGER] {
        assert!(site.connect(from, 8080).is_none(), "{from} before");
    }
    let added = site.said("rule add debug --allow tcp/8080 --from management --log 2/s --why tests");
    assert!(
        added.contains("added rule debug") && added.contains("revision 2"),
        "{added}"
    );
    assert!(
        site.read("web.toml").starts_with(WEB),
        "what was there stays as it was"
    );
    for from in [MANAGER, MANAGER_V6] {
        let mut client = site.connect(from, 8080).expect("the rule lets it in");
        let (mut server, _) = listener.accept().expect("it has come");
        assert!(exchange(&mut client, &mut server), "{from}");
    }
    let before = site.packets("(default in)");
    assert!(site.connect(STRANGER, 8080).is_none());
    assert!(
        site.packets("(default in)") > before,
        "a stranger's packets are counted"
    );
    let mut client = site.connect(MANAGER, 8080).expect("the rule lets it in");
    let (mut server, _) = listener.accept().expect("it has come");
    let flows = site.json("flows list --rule debug");
    assert!(flows["total"].as_u64() >= Some(1), "{flows}");

    site.said("rule delete debug --why done");
    assert_eq!(site.read("web.toml"), WEB);
    assert!(
        !exchange(&mut client, &mut server),
        "a live connection ends with its rule"
    );
    assert!(site.connect(MANAGER, 8080).is_none());
    let log = site.log();
    for part in ["added rule debug", "deleted rule debug"] {
        let line = log.lines().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("{part}:\n{log}"));
        assert!(
            line.contains("\"uid\":0") && line.contains("\"user\":\"root\""),
            "{line}"
        );
    }
}

#[test]
fn packets_that_a_rule_logs_are_in_the_log_and_not_more_of_them_than_it_says() {
    let site = Site::started();
    let _listener = site.listen(8080);
    site.said("rule add knocks --drop tcp/8080 --from any --log 2/s");
    let port = {
        let knock = |from| site.connect(from, 8080).is_none();
        assert!((0..6).all(|_| knock(MANAGER)));
        assert!(knock(MANAGER_V6));
        8080
    };
    let logged = || -> Vec<String> {
        let log = site.log();
        let lines = log.lines().filter(|line| line.contains("\"rule\":\"knocks\""));
        lines.map(str::to_owned).collect()
    };
    assert!(wait_until(Duration::from_secs(3), || !logged().is_empty()));
    let lines = logged();
    let first = &lines[0];
    for part in [
        "\"verdict\":\"drop\"",
        "\"hook\":\"ingress\"",
        "\"interface\":\"eth0\"",
        &format!("tcp {MANAGER}:"),
        &format!("-> 10.77.2.10:{port}"),
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    // Seven knocks of half a second each, two events in each second.
    assert!(lines.len() <= 10, "{lines:#?}");
    assert!(site.packets("knocks") >= 7);
}

#[test]
fn flows_are_ended_by_command() {
    let site = Site::started();
    let listener = site.listen(443);
    let mut client = site.connect(STRANGER, 443).expect("the site is open");
    let (mut server, _) = listener.accept().expect("it has come");
    assert!(exchange(&mut client, &mut server));
    let flows = site.json("flows list --port 443");
    assert_eq!(flows["flows"][0]["rule"], "site");
    assert_eq!(flows["flows"][0]["state"], "established");
    assert_eq!(site.said("flows delete --remote 10.77.2.1"), "1 flow ended\n");
    assert!(
        !exchange(&mut client, &mut server),
        "no packet in mid-flow opens a flow"
    );
}
