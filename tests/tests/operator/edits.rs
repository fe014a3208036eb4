//! Rules, live.

use std::{thread, time::Duration};

use firewall_tests::wait::wait_until;
use serde_json::Value;

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
        // The change that made it is in the log, too, and has no verdict.
        let packets = ["\"rule\":\"knocks\"", "\"verdict\":"];
        let lines = log
            .lines()
            .filter(|line| packets.iter().all(|part| line.contains(part)));
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
fn logged_packets_are_shown_as_they_come() {
    let site = Site::started();
    let _listener = site.listen(8080);
    site.said("rule add knocks --drop tcp/8080 --from any --log 5/s");
    let (said, others) = thread::scope(|scope| {
        let follower = |words: &'static str| scope.spawn(|| site.said(words));
        let wanted =
            follower("events --follow --rule knocks --port 8080 --address 10.77.9.0/24 --count 2 --json");
        let others = follower("events --follow --reason default --count 1 --json");
        let knock = |from, port| site.connect(from, port).is_none();
        // The followers take a moment to connect.
        while !wanted.is_finished() {
            assert!(knock(STRANGER, 8080) && knock(MANAGER, 8080));
        }
        while !others.is_finished() {
            assert!(knock(STRANGER, 8081));
        }
        (wanted.join().expect("it ends"), others.join().expect("it ends"))
    });
    let events: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(events.len(), 2);
    for event in &events {
        for (key, expected) in [
            ("rule", "knocks"),
            ("verdict", "drop"),
            ("direction", "in"),
            ("interface", "eth0"),
            ("source", MANAGER),
        ] {
            assert_eq!(event[key], expected, "{event}");
        }
        assert_eq!(event["destination_port"], 8080);
        assert!(
            event["at"].as_str().is_some_and(|at| at.starts_with("20")),
            "{event}"
        );
    }
    assert!(others.contains("\"reason\":\"default\""), "{others}");
    let recent = site.said("events --recent 3 --rule knocks");
    assert_eq!(recent.lines().count(), 3, "{recent}");
    assert!(site.said("events --rule site").is_empty());
    let wrong = site.fwctl("events --reason defualt");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("did you mean `default`?"), "{wrong:?}");
}

#[test]
fn flows_are_found_by_any_field_and_sorted() {
    let site = Site::started();
    let _listeners = [80, 443].map(|port| site.listen(port));
    let _clients = [(STRANGER, 443), (MANAGER, 80), (MANAGER, 443)]
        .map(|(from, port)| site.connect(from, port).expect("the site is open"));
    let total = |words: &str| site.json(&format!("flows list {words}"))["total"].clone();
    for (words, expected) in [
        ("--local-port 443", 2),
        ("--local-port 443 --remote 10.77.9.0/24", 1),
        ("--remote-port 443", 0),
        ("--direction in --rule site", 3),
        ("--direction out --rule site", 0),
        ("--rule site --min-age 1h", 0),
        ("--rule site --min-idle 1h", 0),
        ("--rule site --max-left 1s", 0),
        ("--protocol udp --rule site", 0),
    ] {
        assert_eq!(total(words), expected, "{words}");
    }
    let first = |words: &str| {
        let flows = site.json(&format!("flows list --rule site --limit 1 {words}"));
        assert_eq!(
            (flows["total"].clone(), flows["flows"].as_array().map(Vec::len)),
            (3.into(), Some(1))
        );
        flows["flows"][0].clone()
    };
    assert_eq!(first("--sort local")["local"]["port"], 80);
    assert_eq!(first("--sort local --reverse")["local"]["port"], 443);
    assert_eq!(first("--sort remote")["remote"]["address"], STRANGER);
    assert_eq!(site.fwctl("flows list --sort colour").code, Some(2));
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

#[test]
fn the_place_of_a_rule_counts_and_a_rule_that_is_switched_off_lets_nothing_in() {
    let site = Site::started();
    let _listener = site.listen(8080);
    site.said("rule insert debug last --allow tcp/8080 --from any");
    assert!(site.connect(STRANGER, 8080).is_some());
    site.said("rule insert no-strangers before debug --drop tcp/8080 --from 10.77.2.0/24");
    assert!(site.connect(STRANGER, 8080).is_none(), "the earlier rule decides");
    assert!(site.connect(MANAGER, 8080).is_some());
    let refused = site.fwctl("rule move debug before no-strangers");
    assert_eq!(
        refused.code,
        Some(1),
        "a rule that never decides is an error: {refused:?}"
    );
    site.said("rule disable no-strangers");
    assert!(site.connect(STRANGER, 8080).is_some());
    let list = site.said("rule list");
    assert!(list.contains("disabled: no-strangers (web.toml:"), "{list}");
    assert!(site.read("web.toml").contains("enabled = false"));
    site.said("rule enable no-strangers");
    assert!(site.connect(STRANGER, 8080).is_none());
    site.said("rule replace no-strangers --drop tcp/8080 --from 10.77.9.7");
    assert!(site.connect(STRANGER, 8080).is_some());
    assert!(site.connect(MANAGER, 8080).is_none());
    site.said("rule delete no-strangers");
    site.said("rule delete debug");
    assert_eq!(site.read("web.toml"), WEB, "every byte is as it was");
}

#[test]
fn edits_of_a_batch_are_made_together_or_not_at_all() {
    let site = Site::started();
    let _listener = site.listen(8080);
    let batch = site.path("monday.edits");
    let good = "# monday\nrule add debug --allow tcp/8080 --from any --reason 'two words'\n\
                rule move debug first\nrule disable ping\n";
    let before = site.json("status")["generation"].clone();
    for (bad, named) in [
        ("rule delete sites\n", "line 5"),
        ("rule move debug beside site\n", "line 5"),
        ("rule add ä --allow tcp/1 --from any\n", "not a name"),
        ("rule add x --allow htps --from any\n", "htps"),
    ] {
        std::fs::write(&batch, format!("{good}{bad}")).expect("ours");
        let refused = site.fwctl(&format!("edit --batch {}", batch.display()));
        assert_ne!(refused.code, Some(0), "{refused:?}");
        assert!(refused.stderr.contains(named), "{refused:?}");
        assert_eq!(site.read("web.toml"), WEB);
        assert!(site.connect(STRANGER, 8080).is_none());
    }
    assert_eq!(site.json("status")["generation"], before);
    std::fs::write(&batch, good).expect("ours");
    let said = site.said(&format!("edit --batch {} --why monday", batch.display()));
    assert!(
        said.contains("revision 2") && said.contains("web.toml") && said.contains("base.toml"),
        "{said}"
    );
    assert!(site.connect(STRANGER, 8080).is_some());
    let text = site.read("web.toml");
    assert!(text.find("debug") < text.find("site\" #"), "{text}");
}

/// `fwctl edit` with a script for an editor, and answers on its standard input.
fn edit_by(site: &Site, script: &str, answers: &str) -> (Option<i32>, String) {
    use std::{io::Write, process::Stdio};
    let editor = site.path("editor.sh");
    std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("ours");
    let mut command = site.server.command(env!("CARGO_BIN_EXE_suite-fwctl"));
    let mut child = command
        .arg("--socket")
        .arg(&site.socket)
        .args(["edit", "web.toml", "-m", "by hand"])
        .env("VISUAL", format!("sh {}", editor.display()))
        .env("EDITOR", "false")
        // What is kept goes with the site.
        .env("TMPDIR", site.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("piped");
    // It may have ended before it was answered.
    let _ = input.write_all(answers.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_file_is_edited_checked_shown_and_put_in_force_where_the_operator_says_so() {
    let site = Site::started();
    let _listener = site.listen(8080);
    let rule = |what: &str| format!("[[rule]]\\nname = \"debug\"\\nallow = \"{what}\"\\nfrom = \"any\"\\n");
    let append = |what: &str| format!("printf '\\n{}' >> \"$1\"", rule(what));

    let (code, said) = edit_by(&site, "true", "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    // Wrong at first, mended in the second round, and then not wanted after all.
    let twice = format!(
        "if grep -q htps \"$1\"; then sed -i s,htps,tcp/8080, \"$1\"; else {}; fi",
        append("htps")
    );
    let (code, said) = edit_by(&site, &twice, "y\nn\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("FW010")
            && said.contains("+allow = \"tcp/8080\"")
            && said.contains("your text is kept"),
        "{said}"
    );
    assert_eq!(site.read("web.toml"), WEB);
    assert!(site.connect(STRANGER, 8080).is_none());
    let (code, said) = edit_by(&site, "false", "y\n");
    assert_ne!(code, Some(0), "{said}");

    // Somebody else writes to the file meanwhile.
    let meanwhile = format!(
        "{}; echo '# theirs' >> {}",
        append("tcp/8080"),
        site.policy_file("web.toml").display()
    );
    let (code, said) = edit_by(&site, &meanwhile, "y\n");
    assert_ne!(code, Some(0), "{said}");
    assert!(
        said.contains("+# theirs") && said.contains("is not written over"),
        "{said}"
    );
    assert_eq!(site.read("web.toml"), format!("{WEB}# theirs\n"));
    site.write("web.toml", WEB);

    let (code, said) = edit_by(&site, &append("tcp/8080"), "y\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(site.connect(STRANGER, 8080).is_some(), "{said}");
    assert!(site.read("web.toml").contains("debug"), "{said}");
    assert_eq!(site.json("status")["revision"]["why"], "by hand");
}

#[test]
fn a_file_that_was_changed_on_disk_is_not_written_over() {
    let site = Site::started();
    site.write("web.toml", &format!("{WEB}# theirs\n"));
    let refused = site.fwctl("rule add debug --allow tcp/8080 --from any");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [
        "what is on disk",
        "+# theirs",
        "what is wanted",
        "+name = \"debug\"",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert_eq!(site.read("web.toml"), format!("{WEB}# theirs\n"));
    site.said("reload");
    site.said("rule add debug --allow tcp/8080 --from any");
    assert!(
        site.read("web.toml").contains("# theirs"),
        "{}",
        site.read("web.toml")
    );
}
