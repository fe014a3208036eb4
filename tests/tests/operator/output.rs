//! What every command has in common: JSON as documented, exit codes, colour, pipes that are closed.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{MANAGER, SERVER, STRANGER, Site, fits_schema};

const NOBODY: u32 = 65534;

/// A policy in one file.
const POLICY: &str = r#"
layer = "role web"
interfaces = ["eth*"]

[[rule]]
name = "site"
allow = ["http", "https"]
from = "any"
"#;

/// Commands that show something and change nothing.
const SHOWN: [&str; 14] = [
    "status",
    "rule list",
    "rule show site",
    "set list",
    "ban list",
    "flows list",
    "counters",
    "history",
    "history verify",
    "plan",
    "events",
    "diff 1 1",
    "doctor",
    "top --once",
];

/// Commands that change something, in an order in which they can.
const CHANGES: [&str; 18] = [
    "ban 203.0.113.66 --for 1h --reason noise",
    "ban list",
    "unban 203.0.113.66",
    "rule add debug --allow tcp/8080 --from management",
    "rule disable debug",
    "rule list",
    "rule enable debug",
    "rule move debug first",
    "rule show debug",
    "rule delete debug",
    "rollback 2 --no-confirm",
    "reload",
    "panic",
    "panic off",
    "pause 5s",
    "pause off",
    "flows delete --remote 203.0.113.66",
    "history",
];

/// Each exit code, with a command that ends with it; `{}` is a directory.
const ENDS: [(i32, &str); 13] = [
    (0, "status"),
    (0, "--help"),
    (0, "check {}/policy/web.toml"),
    (
        0,
        "explain out udp 10.77.2.10 198.51.100.53:53 --policy {}/policy/web.toml",
    ),
    (1, "rule show nobody"),
    (1, "unban 203.0.113.99"),
    (1, "rollback 99 --no-confirm"),
    (1, "check {}/wrong.toml"),
    (2, "status --paint"),
    (2, "check {}/missing.toml"),
    (2, "explain in tcp 203.0.113.7 10.77.2.10"),
    (2, "schema rule paint"),
    (3, "status --socket {}/nobody.sock"),
];

#[test]
fn output_and_exit_codes_are_as_documented() {
    let site = Site::started();
    for words in SHOWN {
        json_fits(&site, words);
    }
    for words in CHANGES {
        json_fits(&site, words);
    }
    for question in [
        format!("explain in tcp {STRANGER}:51000 {SERVER}:443"),
        format!("explain in tcp {MANAGER}:51000 {SERVER}:22"),
    ] {
        json_fits(&site, &question);
    }
    for failing in ["rule show nobody", "status --socket /nonexistent/control.sock"] {
        let ended = site.fwctl(&format!("{failing} --json"));
        fits_schema("error", &parsed(failing, &ended.stdout));
    }
    exit_codes(&site);
    colours(&site);
    closed_pipes(&site);
}

fn json_fits(site: &Site, words: &str) {
    let ended = site.fwctl(&format!("{words} --json"));
    // The doctor finds something on most hosts.
    let is_well = ended.code == Some(0) || words == "doctor";
    assert!(is_well, "{words}: {ended:?}");
    if words == "events" {
        ended
            .stdout
            .lines()
            .for_each(|line| fits_schema(words, &parsed(words, line)));
    } else {
        fits_schema(words, &parsed(words, &ended.stdout));
    }
}

fn parsed(words: &str, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
}

fn exit_codes(site: &Site) {
    fs::write(site.path("wrong.toml"), "layer = \"role web\"\nruel = 1\n").expect("ours");
    let directory = site.path("").display().to_string();
    for (code, words) in ENDS {
        let words = words.replace("{}", &directory);
        let ended = site.fwctl(&words);
        assert_eq!(ended.code, Some(code), "fwctl {words}: {ended:?}");
        // What `check` finds is what it was asked for.
        let is_answer = code == 0 || words.starts_with("check");
        assert_eq!(
            ended.stderr.is_empty(),
            is_answer,
            "complaints go to standard error: {ended:?}"
        );
    }
    // Whoever may not load programs is told what works without.
    let place = tempfile::tempdir().expect("a directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let tool = place.path().join("fwctl");
    fs::copy(env!("CARGO_BIN_EXE_suite-fwctl"), &tool).expect("copied");
    let (capture, policy) = (place.path().join("web.pcap"), place.path().join("web.toml"));
    fs::write(&capture, include_bytes!("../../captures/web.pcap")).expect("ours");
    fs::write(&policy, POLICY).expect("ours");
    let replay = |engine: &str, user: u32| {
        let mut command = Command::new(&tool);
        command.arg("replay").arg(&capture).args([
            "--direction",
            "in",
            "--quiet",
            "--json",
            "--engine",
            engine,
            "--policy",
        ]);
        command.arg(&policy).uid(user).gid(user);
        command.output().expect("it runs")
    };
    let denied = replay("kernel", NOBODY);
    assert_eq!(denied.status.code(), Some(4), "{denied:?}");
    assert!(
        String::from_utf8_lossy(&denied.stderr).contains("--engine model"),
        "{denied:?}"
    );
    fits_schema(
        "error",
        &parsed("replay", &String::from_utf8_lossy(&denied.stdout)),
    );
    let totals = [replay("model", NOBODY), replay("kernel", 0)].map(|ended| {
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let mut line = parsed("replay", &String::from_utf8_lossy(&ended.stdout));
        fits_schema("replay", &line);
        line["totals"]["seconds"].take();
        line
    });
    assert_eq!(totals[0], totals[1], "both engines say the same");
}

/// Colour is there where it is forced, and never against `NO_COLOR` (<https://no-color.org>).
fn colours(site: &Site) {
    for words in SHOWN {
        let coloured = |variables: &[(&str, &str)]| {
            let mut command = site.command(words);
            command.env_remove("NO_COLOR").envs(variables.iter().copied());
            let output = command.stdin(Stdio::null()).output().expect("it runs");
            output.stdout.contains(&0x1b)
        };
        assert!(!coloured(&[]), "{words}: no terminal");
        assert!(
            !coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]),
            "{words}: NO_COLOR"
        );
    }
    let mut forced = site.command("status");
    forced.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    assert!(
        forced.output().expect("it runs").stdout.contains(&0x1b),
        "there is colour at all"
    );
}

/// `fwctl … | head -1`
fn closed_pipes(site: &Site) {
    for words in SHOWN {
        for words in [words.to_owned(), format!("{words} --json")] {
            let mut command = site.command(&words);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = command.spawn().expect("it runs");
            drop(child.stdout.take());
            let ended = child.wait_with_output().expect("it ends");
            let is_quiet = ended.stderr.is_empty();
            assert!(is_quiet && ended.status.code() == Some(0), "{words}: {ended:?}");
        }
    }
}

#[test]
fn who_looks_on_is_told_that_an_answer_takes_its_time() {
    let site = Site::started();
    // In a terminal, the agent answering only after a while.
    let command = site.command("status");
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let shell = format!("{} 2>&1 >/dev/null", line.join(" "));
    let said_in = |pause: Duration, in_terminal: bool| {
        let mut terminal = if in_terminal {
            let mut script = Command::new("script");
            script.args(["--quiet", "--return", "--command", &shell, "/dev/null"]);
            script
        } else {
            let mut plain = Command::new("sh");
            plain.args(["-c", &shell]);
            plain
        };
        site.signal(Signal::SIGSTOP);
        let child = terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        sleep(pause);
        site.signal(Signal::SIGCONT);
        let output = child.expect("it runs").wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = said_in(Duration::from_millis(2500), true);
    assert!(said.contains("waiting for the agent: 2s"), "{said:?}");
    assert!(said.ends_with("\r\u{1b}[K"), "nothing is left of it: {said:?}");
    assert_eq!(said_in(Duration::from_millis(2500), false), "", "nobody looks on");
    assert_eq!(said_in(Duration::ZERO, true), "", "it was quick");
}
