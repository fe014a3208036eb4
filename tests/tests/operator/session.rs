//! A session from a mistake in a file to a rollback. The documentation shows what it prints.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::PathBuf,
    thread::{scope, sleep},
    time::Duration,
};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;

use crate::site::{HOME, STRANGER, Site, WEB};

/// Set to anything, the document is written anew (`cargo xtask session`).
const RECORD: &str = "FIREWALL_SESSION_RECORD";

/// Lets the operator in, who does not come from a management source.
const OFFICE: &str = "\n[[rule]]\nname = \"office\"\nallow = \"ssh\"\nfrom = \"10.77.2.1\"\n";
const STATUS_PAGE: &str =
    "\n[[rule]]\nname = \"status-page\"\nallow = \"tcp/8080\"\nfrom = \"10.77.2.0/24\"\n";

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../firewall-agent/docs/session.md")
}

/// What is typed on a server, and what it answers.
struct Session {
    site: Site,
    /// `SSH_CONNECTION` of the operator.
    ssh: String,
    text: String,
}

impl Session {
    fn new(site: Site, ssh: String) -> Self {
        let programs = site.path("bin");
        fs::create_dir(&programs).expect("ours");
        symlink(env!("CARGO_BIN_EXE_suite-fwctl"), programs.join("fwctl")).expect("ours");
        Self {
            site,
            ssh,
            text: String::new(),
        }
    }

    fn say(&mut self, text: &str) {
        self.text.extend([text, "\n\n"]);
    }

    fn show(&mut self, command: &str, printed: &str) {
        let home = self.site.path("").to_string_lossy().into_owned();
        let printed = printed.replace(&home, &format!("{HOME}/"));
        let lines: Vec<_> = printed.lines().map(str::trim_end).collect();
        let gap = if lines.is_empty() { "" } else { "\n" };
        let printed = lines.join("\n");
        self.text
            .extend(["```console\n$ ", command, gap, &printed, "\n```\n\n"]);
    }

    /// Types a command, which has to end with `code` and to say all of `parts`.
    fn types(&mut self, command: &str, code: i32, parts: &[&str]) -> String {
        let printed = self.runs(command, code, parts);
        self.show(command, &printed);
        printed
    }

    fn runs(&self, command: &str, code: i32, parts: &[&str]) -> String {
        let path = format!(
            "{}:{}",
            self.site.path("bin").display(),
            env::var("PATH").unwrap_or_default()
        );
        let output = self
            .site
            .server
            .command("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(self.site.path(""))
            .env("PATH", path)
            .env("SSH_CONNECTION", &self.ssh)
            .env("FIREWALL_AGENT_SOCKET", &self.site.socket)
            .output()
            .expect("there is a shell");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{command}:\n{printed}");
        for part in parts {
            assert!(
                printed.contains(part),
                "{command} does not say {part:?}:\n{printed}"
            );
        }
        printed
    }

    fn change(&self, from: &str, to: &str) {
        let old = self.site.read("web.toml");
        assert!(old.contains(from), "{old}");
        self.site.write("web.toml", &old.replacen(from, to, 1));
    }
}

/// What does not depend on the machine and the hour: the prose and the commands.
fn skeleton(text: &str) -> Vec<&str> {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        if line.starts_with("```") {
            inside = !inside;
        }
        !inside || line.starts_with("```") || line.starts_with("$ ")
    });
    kept.collect()
}

/// Rows of the tables that name places whose columns are not below their headings.
fn crooked(text: &str) -> Vec<&str> {
    let mut heading = None;
    let is_crooked = |line: &&str| {
        let found = line.find("WRITTEN IN").filter(|_| line.starts_with("RULE "));
        heading = found.or(heading.filter(|_| !line.is_empty() && !line.starts_with("```")));
        let (Some(place), None) = (heading, found) else {
            return false;
        };
        let (before, after) = line.split_at_checked(place).unwrap_or((line, ""));
        !before.ends_with("  ") || after.starts_with(' ')
    };
    text.lines().filter(is_crooked).collect()
}

#[test]
fn crooked_columns_are_found() {
    let straight = "RULE  WRITTEN IN  WHY\nping  /etc/base:4  it\nsite  /etc/web:4   it\n\nmore\n";
    assert_eq!(crooked(straight), [""; 0]);
    let longer = "RULE  WRITTEN IN  WHY\nping-it  /etc/base:4  it\n";
    assert_eq!(crooked(longer), ["ping-it  /etc/base:4  it"]);
}

#[test]
fn a_session_is_as_the_documentation_shows_it() {
    let mut site = Site::new();
    site.write("web.toml", &format!("{WEB}{OFFICE}"));
    site.start();
    let (ssh, _pages, _status) = (site.listen(22), site.listen(443), site.listen(8080));
    let _connection = site.connect(STRANGER, 22).expect("the office gets in");
    let (_other_end, peer) = ssh.accept().expect("it has come");
    let mut session = Session::new(site, format!("{STRANGER} {} 10.77.2.10 22", peer.port()));

    session.say(
        "# A session\n\nA web server, over SSH from an office that a rule lets in. What follows was printed by `cargo \
         xtask session`,\nwhich plays it on a server in a network namespace; the operator suite plays it in CI and \
         holds the answers against\nwhat they have to say.",
    );
    checks_and_plans(&mut session);
    applies(&mut session);
    looks(&mut session);
    goes_back(&mut session);

    let text = format!("{}\n", session.text.trim_end());
    if env::var_os(RECORD).is_some() {
        fs::write(document(), &text).expect("the document is ours");
    }
    let shown = fs::read_to_string(document()).unwrap_or_default();
    assert_eq!(crooked(&shown), [""; 0]);
    assert_eq!(
        skeleton(&shown),
        skeleton(&text),
        "the document shows another session: `cargo xtask session` writes it anew"
    );
}

fn checks_and_plans(session: &mut Session) {
    session.say(
        "## A mistake\n\nA rule for a status page is to be added to `policy/web.toml`, and has a slip in it.",
    );
    let slip = STATUS_PAGE.replace("tcp/8080", "tpc/8080");
    session.change(OFFICE, &format!("{OFFICE}{slip}"));
    session.types(
        "fwctl check policy --host web-1",
        1,
        &["web.toml", "tpc/8080", "^"],
    );
    session.change("tpc/8080", "tcp/8080");
    session.types("fwctl check policy --host web-1", 0, &[]);

    session.say("## What it would do");
    session.types("fwctl plan", 0, &["status-page"]);
    session.say("The same beside live traffic, where somebody asks for the page meanwhile, without enforcing anything:");
    let printed = scope(|scope| {
        let shadow = scope.spawn(|| session.runs("fwctl shadow --for 3s", 0, &["in tcp 8080"]));
        sleep(Duration::from_secs(1));
        assert!(
            session.site.connect(STRANGER, 8080).is_none(),
            "nothing is enforced"
        );
        shadow.join().expect("it ends")
    });
    session.show("fwctl shadow --for 3s", &printed);
}

fn applies(session: &mut Session) {
    session.say(
        "## A lock-out, refused\n\nThe rule that lets the office in was taken for an old one, and deleted.",
    );
    session.change(OFFICE, "");
    session.types(
        "fwctl apply --confirm 60s",
        1,
        &["your own connection", "`office`", "web.toml:9"],
    );
    session.change(STATUS_PAGE, &format!("{OFFICE}{STATUS_PAGE}"));

    session.say(
        "## A change that nobody confirms\n\nThe agent is killed meanwhile. The kernel goes back by itself.",
    );
    session.types(
        "fwctl apply --confirm 5s -m 'a page for the office'",
        0,
        &["not confirmed"],
    );
    assert!(session.site.connect(STRANGER, 8080).is_some(), "it is in force");
    session.site.end(Signal::SIGKILL);
    session.show("kill -9 $(pidof firewall-agent)", "");
    let back = wait_until(Duration::from_secs(10), || {
        sleep(Duration::from_millis(600));
        session.site.connect(STRANGER, 8080).is_none()
    });
    assert!(back, "the kernel goes back with nobody there");
    session.say("Five seconds later the page is closed again, and the agent, started anew, says so:");
    session.site.start();
    session.types("fwctl confirm", 1, &["too late"]);
    session.types("fwctl status", 0, &["revision     1 of"]);
    session.say("Once more, and confirmed:");
    session.types(
        "fwctl apply --confirm 60s -m 'a page for the office'",
        0,
        &["not confirmed"],
    );
    session.types("fwctl confirm", 0, &["is in force"]);
}

fn looks(session: &mut Session) {
    session.say("## Why?\n\nA neighbour cannot reach the database port.");
    session.types(
        "fwctl explain in tcp 10.77.2.1:51000 10.77.2.10:3306",
        0,
        &["drop", "office"],
    );
    session
        .say("What XDP drops never gets to tcpdump. It can be written to a capture, with rule and reason:");
    let command = "fwctl capture --count 2 --for 10s -o dropped.pcapng";
    let printed = scope(|scope| {
        let capture = scope.spawn(|| session.runs(command, 0, &[]));
        let seen = || fs::metadata(session.site.path("dropped.pcapng")).is_ok();
        assert!(wait_until(Duration::from_secs(10), seen), "it has begun");
        sleep(Duration::from_millis(500));
        for port in [3306, 3307] {
            assert!(session.site.connect(STRANGER, port).is_none());
        }
        capture.join().expect("it ends")
    });
    session.show(command, &printed);
    session.say("And a capture can be held against a policy, here the one in force:");
    session.types(
        "fwctl replay dropped.pcapng --policy policy --host web-1 --direction in",
        0,
        &["drop"],
    );
    session.say("## A nuisance");
    session.types(
        "fwctl ban 203.0.113.7 --for 2h -m 'asks for /wp-login'",
        0,
        &["203.0.113.7"],
    );
    session.types("fwctl ban list", 0, &["203.0.113.7", "asks for /wp-login"]);
    session.types("fwctl top --once", 0, &["drops by reason", "status-page"]);
}

fn goes_back(session: &mut Session) {
    session.say("## Who has changed what, and back");
    session.types("fwctl history", 0, &["a page for the office"]);
    session.types("fwctl history verify", 0, &[]);
    session.types(
        "fwctl rollback 1 --no-confirm -m 'no status page after all'",
        0,
        &["revision"],
    );
    assert!(
        session.site.connect(STRANGER, 8080).is_none(),
        "it is closed again"
    );
    session.types("fwctl history --limit 2", 0, &["no status page after all"]);
}
