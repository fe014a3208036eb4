//! `fwctl` as operators run it: what it prints, and how it ends.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use firewall_agent::control::{AccessRules, Limits, Server};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::host::{Host, WEB};

/// A host whose agent serves its control socket.
struct Served {
    host: Host,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new() -> Self {
        Self::with(Host::new())
    }

    fn with(host: Host) -> Self {
        let agent = Arc::new(host.start());
        let settings = host.settings();
        let rules = AccessRules::new(&settings.control).expect("its groups are there");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = Server::bind(&settings.control.socket, rules, Limits::default());
        let server = runtime.block_on(server).expect("it binds");
        runtime.spawn(server.serve(agent));
        Self {
            host,
            _runtime: runtime,
        }
    }

    fn socket(&self) -> PathBuf {
        self.host.path("control.sock")
    }

    fn command(&self) -> Command {
        let mut command = fwctl();
        command.arg("--socket").arg(self.socket());
        command
    }

    fn run(&self, words: &str) -> Ended {
        self.command()
            .args(words.split(' '))
            .output()
            .expect("it runs")
            .into()
    }

    fn json(&self, words: &str) -> Value {
        let ended = self.run(&format!("{words} --json"));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).expect("JSON")
    }
}

fn fwctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwctl"));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    // Whoever runs the tests may do so over the network.
    command.env("SSH_CONNECTION", "");
    command
}

/// How it ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

fn check(words: &[&str]) -> Ended {
    fwctl().arg("check").args(words).output().expect("it runs").into()
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")
}

#[test]
fn check_finds_nothing_wrong_with_the_shipped_policies() {
    let rules = shipped();
    let ended = check(&[rules.to_str().expect("text")]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.starts_with("ok: "), "{}", ended.stdout);
}

#[test]
fn check_says_everything_that_is_wrong_at_once() {
    let host = Host::new();
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"a\"\nallow = \"htps\"\nfrom = \"any\"\nform = \"b\"\n",
    );
    host.append(
        "base.toml",
        "\n[[rule]]\nname = \"c\"\nallow = \"ssh\"\nfrom = \"nobody\"\n",
    );
    let policy = host.path("policy");
    let ended = check(&[policy.to_str().expect("text")]);
    assert_eq!(ended.code, 1);
    for part in [
        "htps",
        "`form`",
        "nobody",
        "web.toml:10",
        "base.toml:",
        "3 errors in 4 files",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let ended = check(&[policy.to_str().expect("text"), "--json"]);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["errors"], 3);
    assert_eq!(report["diagnostics"].as_array().map(Vec::len), Some(3));
    let codes: Vec<&str> = report["diagnostics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["code"].as_str())
        .collect();
    assert!(codes.contains(&"FW003") && codes.contains(&"FW010"), "{codes:?}");
}

#[test]
fn check_ends_with_two_where_it_cannot_check() {
    assert_eq!(check(&["/nonexistent/policy"]).code, 2);
    assert_eq!(check(&[]).code, 2);
    assert_eq!(check(&["--settings", "/nonexistent/agent.toml"]).code, 2);
}

#[test]
fn check_takes_what_the_agent_would_take() {
    let host = Host::new();
    let settings = host.path("agent.toml");
    fs::write(&settings, "host = \"web-1\"\npolicy = [\"policy\"]\n").expect("written");
    let ended = check(&["--settings", settings.to_str().expect("text")]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "ok: 4 files for web-1\n")
    );
}

#[test]
fn warnings_are_problems_only_where_they_shall_be() {
    let host = Host::new();
    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"a\"\nallow = \"tcp\"\nfrom = \"10.0.0.0/8\"\nfrom_port = 20\n",
    );
    let policy = host.path("policy");
    let policy = policy.to_str().expect("text");
    let ended = check(&[policy]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("warning"), "{}", ended.stdout);
    assert_eq!(check(&[policy, "--deny-warnings"]).code, 1);
}

#[test]
fn status_says_what_is_in_force() {
    let served = Served::new();
    let text = served.run("status").stdout;
    for part in [
        "host web-1, role web",
        "revision     1 of",
        "3 rules",
        "4 in force",
        "eth0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b'), "no colour in a pipe");
    let status = served.json("status");
    assert_eq!(status["revision"]["number"], 1);
    assert_eq!(status["enforcing"], "policy");
}

#[test]
fn colour_comes_where_it_is_wanted_only() {
    let served = Served::new();
    assert!(served.run("status --color always").stdout.contains("\x1b[32m"));
    assert!(!served.run("status --color never").stdout.contains('\x1b'));
    assert!(!served.run("status --json --color always").stdout.contains('\x1b'));
    let forced = served.command().arg("status").env("CLICOLOR_FORCE", "1").output();
    assert!(Ended::from(forced.expect("it runs")).stdout.contains('\x1b'));
    let both = served
        .command()
        .args(["rule", "list"])
        .envs([("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])
        .output();
    assert!(!Ended::from(both.expect("it runs")).stdout.contains('\x1b'));
}

#[test]
fn a_rule_is_added_shown_listed_and_deleted() {
    let served = Served::new();
    let added =
        served.run("rule add debug --allow tcp/8080,tcp/8081 --from management --log 5/s --why because");
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(added.stdout.contains("revision 2 is in force") && added.stdout.contains("added rule debug"));
    assert!(
        served
            .host
            .read("web.toml")
            .contains("allow = [\"tcp/8080\", \"tcp/8081\"]")
    );
    let shown = served.run("rule show debug").stdout;
    assert!(
        shown.contains("name = \"debug\"") && shown.contains("at most 5 events in each second"),
        "{shown}"
    );
    let rules = served.json("rule list");
    let names = rules["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| rule["name"].as_str());
    assert!(names.into_iter().any(|name| name == Some("debug")));
    let status = served.json("status");
    assert_eq!(status["revision"]["why"], "because");
    assert_eq!(status["revision"]["cause"], "rule-add");
    let deleted = served.run("rule delete debug");
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert_eq!(served.host.read("web.toml"), WEB);
    let again = served.run("rule delete debug");
    assert_eq!(again.code, 1);
    assert!(
        again.stderr.contains("there is no rule `debug`") && again.stderr.contains("hint: `fwctl rule list`")
    );
}

#[test]
fn who_answers_for_a_rule_and_when_it_is_to_be_reviewed_is_shown() {
    let served = Served::new();
    for (name, review, overdue) in [("old", "2020-01-31", true), ("new", "9999-12-31", false)] {
        let port = if overdue { 8080 } else { 8081 };
        let added = served.run(&format!(
            "rule add {name} --allow tcp/{port} --from management --owner ops --reason tests --review {review}"
        ));
        assert_eq!(added.code, 0, "{}", added.stderr);
        let warning = format!("`{name}` was to be reviewed by");
        assert_eq!(added.stdout.contains(&warning), overdue, "{}", added.stdout);
        let shown = served.run(&format!("rule show {name}")).stdout;
        for line in [
            "owner       ops",
            "reason      tests",
            &format!("review      {review}"),
        ] {
            assert!(shown.contains(line), "{shown}");
        }
        assert_eq!(shown.contains("overdue"), overdue, "{shown}");
        let detail = served.json(&format!("rule show {name}"));
        assert_eq!(detail["review"], review);
        assert_eq!(detail["review_overdue"], overdue);
    }
}

#[test]
fn a_rule_needs_exactly_one_verdict() {
    let served = Served::new();
    assert_eq!(served.run("rule add debug --from management").code, 2);
    assert_eq!(
        served
            .run("rule add debug --allow ssh --drop ssh --from management")
            .code,
        2
    );
}

#[test]
fn a_refused_reload_says_all_that_is_wrong_and_what_to_do() {
    let served = Served::new();
    served.host.append(
        "web.toml",
        "\n[[rule]]\nname = \"a\"\nallow = \"htps\"\nfrom = \"any\"\n",
    );
    let ended = served.run("reload");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    for part in [
        "error[FW010]",
        "web.toml:10",
        "error: the policy has 1 error;",
        "hint: mend the files",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let ended = served.run("reload --json");
    assert_eq!(ended.code, 1);
    let error: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(error["error"]["kind"], "policy");
    assert_eq!(error["error"]["findings"][0]["line"], 10);
    let status = served.run("status").stdout;
    assert!(
        status.contains("changed, pending") && status.contains("failed at"),
        "{status}"
    );
    served.host.write("web.toml", WEB);
    let ended = served.run("reload");
    assert!(
        ended.stdout.contains("nothing has changed; revision 1"),
        "{}",
        ended.stdout
    );
}

#[test]
fn flows_are_ended_on_purpose_only() {
    let served = Served::new();
    assert_eq!(served.run("flows delete").code, 2);
    assert_eq!(served.run("flows delete --all --port 22").code, 2);
    assert_eq!(served.run("flows delete --all").stdout, "0 flows ended\n");
    assert_eq!(served.json("flows list --protocol udplite")["total"], 0);
    assert_eq!(served.run("flows list --protocol carrier-pigeon").code, 2);
    assert_eq!(served.run("flows list --state tired").code, 1);
}

#[test]
fn counters_can_be_watched() {
    let served = Served::new();
    served
        .host
        .kernel
        .set_counters(|counters| counters.rules[3].packets = 7);
    let text = served.run("counters --only rules --nonzero").stdout;
    assert!(
        text.contains("site") && !text.contains("web-to-db") && !text.contains("INTERFACE"),
        "{text}"
    );
    let mut watch = served
        .command()
        .args(["counters", "--watch", "--only", "rules"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut next = || {
        let mut sites = lines.by_ref().map_while(Result::ok);
        sites.find(|line| line.starts_with("site")).expect("it goes on")
    };
    assert!(!next().contains('+'));
    served
        .host
        .kernel
        .set_counters(|counters| counters.rules[3].packets = 10);
    let second = next();
    // The first look of the watch may have come after the change.
    assert!(second.contains("+3") || second.contains("10"), "{second}");
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
}

#[test]
fn an_agent_that_is_not_there_is_told_of() {
    let ended: Ended = fwctl()
        .args(["--socket", "/nonexistent/control.sock", "status"])
        .output()
        .expect("it runs")
        .into();
    assert_eq!((ended.code, ended.stdout.as_str()), (3, ""));
    assert!(
        ended.stderr.contains("/nonexistent/control.sock") && ended.stderr.contains("hint: is it running?")
    );
}

#[test]
fn groups_decide_who_may_do_what() {
    assert!(
        geteuid().is_root(),
        "this suite starts processes of other users and needs root"
    );
    let host = Host::new().with_control("operators = 54321\nreaders = 54322\n");
    let served = Served::with(host);
    let tool = served.host.path("fwctl");
    fs::copy(env!("CARGO_BIN_EXE_fwctl"), &tool).expect("copied");
    fs::set_permissions(served.host.path(""), fs::Permissions::from_mode(0o755)).expect("ours");
    let run = |gid: u32, words: &[&str]| {
        let output = Command::new(&tool)
            .arg("--socket")
            .arg(served.socket())
            .args(words)
            .uid(54320)
            .gid(gid)
            .output();
        Ended::from(output.expect("it runs"))
    };
    assert_eq!(run(54321, &["status"]).code, 0);
    assert_eq!(run(54321, &["reload"]).code, 0, "operators may change");
    assert_eq!(run(54322, &["status"]).code, 0, "readers may look");
    let refused = run(54322, &["reload"]);
    assert_eq!(refused.code, 4);
    assert!(
        refused.stderr.contains("may look, but not change anything"),
        "{}",
        refused.stderr
    );
    for words in [&["rule", "delete", "ssh"][..], &["flows", "delete", "--all"]] {
        assert_eq!(run(54322, words).code, 4);
    }
    let refused = run(54323, &["status"]);
    assert_eq!(refused.code, 4);
    assert!(
        refused.stderr.contains("may not use the agent"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_closed_pipe_does_no_harm() {
    let served = Served::new();
    for words in [
        &["completions", "bash"][..],
        &["counters", "--watch"],
        &["rule", "list"],
    ] {
        let mut child = served
            .command()
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        drop(child.stdout.take());
        let status = child.wait().expect("it ends");
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("text");
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn failures_are_json_where_json_is_asked_for() {
    let nobody = Ended::from(
        fwctl()
            .args(["--socket", "/nonexistent/control.sock", "status", "--json"])
            .output()
            .expect("it runs"),
    );
    assert_eq!(nobody.code, 3);
    let error: Value = serde_json::from_str(&nobody.stdout).expect("JSON");
    assert_eq!(error["error"]["kind"], "unreachable");
    assert!(error["error"]["hint"].is_string(), "{error}");
}

#[test]
fn every_command_has_a_manual_page_with_an_example() {
    let directory = tempfile::tempdir().expect("a directory");
    let ended = Ended::from(
        fwctl()
            .arg("man")
            .arg(directory.path())
            .output()
            .expect("it runs"),
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for page in [
        "fwctl.1",
        "fwctl-check.1",
        "fwctl-status.1",
        "fwctl-reload.1",
        "fwctl-plan.1",
        "fwctl-shadow.1",
        "fwctl-apply.1",
        "fwctl-confirm.1",
        "fwctl-cancel.1",
        "fwctl-rollback.1",
        "fwctl-history.1",
        "fwctl-history-verify.1",
        "fwctl-history-cut.1",
        "fwctl-diff.1",
        "fwctl-panic.1",
        "fwctl-panic-off.1",
        "fwctl-pause.1",
        "fwctl-rule-list.1",
        "fwctl-rule-show.1",
        "fwctl-rule-add.1",
        "fwctl-rule-delete.1",
        "fwctl-flows-list.1",
        "fwctl-flows-delete.1",
        "fwctl-counters.1",
        "fwctl-completions.1",
        "firewall-agent.8",
    ] {
        let text = fs::read_to_string(directory.path().join(page)).expect(page);
        assert!(
            text.contains(".SH NAME") && text.contains(".SH OPTIONS"),
            "{page}"
        );
        assert!(
            page.starts_with("firewall-agent") || text.contains(".SH EXAMPLES\n.nf\n"),
            "{page}"
        );
    }
    let nowhere = Ended::from(fwctl().args(["man", "/nonexistent"]).output().expect("it runs"));
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.contains("/nonexistent/fwctl.1"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended: Ended = fwctl()
            .args(["completions", shell])
            .output()
            .expect("it runs")
            .into();
        assert_eq!(ended.code, 0);
        assert!(ended.stdout.contains("fwctl"), "{shell}");
    }
}
