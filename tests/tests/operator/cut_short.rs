//! The agent is killed after each step of a change. With it dead the kernel enforces the old policy or the new one, and
//! the next agent has kernel, files, revisions and history agree on one of them, and says which.

use std::{fs, thread, time::Duration};

use firewall_agent::failpoint::Step;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::site::{BASE, STRANGER, Site, WEB};

/// Ports that the two policies let in, the old one's first. The other one's is refused, which is quicker than silence.
const PORTS: [u16; 2] = [8080, 8081];

const BASE_RULE: &str = "\n[[rule]]\nname = \"old-port\"\nallow = \"tcp/8080\"\nfrom = \"any\"\n";

const WEB_RULES: &str = "
[[rule]]
name = \"new-port\"
enabled = false
allow = \"tcp/8081\"
from = \"any\"

[[rule]]
name = \"closed\"
reject = [\"tcp/8080\", \"tcp/8081\"]
from = \"any\"
";

/// Which of the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    fn files(self) -> [String; 2] {
        let (base, web) = (format!("{BASE}{BASE_RULE}"), format!("{WEB}{WEB_RULES}"));
        match self {
            Self::Old => [base, web],
            Self::New => [
                base.replace("\"old-port\"\n", "\"old-port\"\nenabled = false\n"),
                web.replace("enabled = false\n", ""),
            ],
        }
    }

    /// The edits that lead here.
    fn batch(self) -> &'static str {
        match self {
            Self::Old => "rule enable old-port\nrule disable new-port\n",
            Self::New => "rule disable old-port\nrule enable new-port\n",
        }
    }
}

/// A server with the old policy.
struct Subject {
    site: Site,
    _listeners: [std::net::TcpListener; 2],
}

impl Subject {
    fn new() -> Self {
        let mut site = Site::new();
        let [base, web] = Side::Old.files();
        site.write("base.toml", &base);
        site.write("web.toml", &web);
        site.start();
        Self {
            _listeners: PORTS.map(|port| site.listen(port)),
            site,
        }
    }

    /// What the kernel enforces: one of the two as a whole.
    fn enforced(&self, when: &str) -> Side {
        match PORTS.map(|port| self.site.connect(STRANGER, port).is_some()) {
            [true, false] => Side::Old,
            [false, true] => Side::New,
            both => panic!(
                "{when}: neither of the policies is enforced: {both:?}\n{}",
                self.site.log()
            ),
        }
    }

    fn on_disk(&self, when: &str) -> Side {
        let files = ["base.toml", "web.toml"].map(|name| self.site.read(name));
        [Side::Old, Side::New]
            .into_iter()
            .find(|side| side.files() == files)
            .unwrap_or_else(|| panic!("{when}: the files are neither: {files:#?}"))
    }

    /// Files that hold a policy, to be handed to `fwctl apply`.
    fn handed_in(&self, side: Side) -> String {
        let directory = self.site.path("candidate");
        fs::create_dir_all(&directory).expect("ours");
        let names = ["base.toml", "web.toml"].map(|name| directory.join(name));
        for (name, text) in names.iter().zip(side.files()) {
            fs::write(name, text).expect("ours");
        }
        names.map(|name| name.display().to_string()).join(" ")
    }

    /// Kills the agent at a step of a command.
    fn dies_at(&mut self, step: Step, words: &str) {
        self.site.die_at(step);
        let ended = self.site.fwctl(words);
        assert!(self.site.is_dead(), "{step:?} is no step of {words}: {ended:?}");
        assert_eq!(ended.code, Some(3), "{words}: {ended:?}");
        assert!(ended.stderr.contains("hint:"), "{words}: {ended:?}");
    }

    /// The same, and starts another agent. Returns what the kernel enforced in between.
    fn kill_at(&mut self, step: Step, words: &str) -> Side {
        self.dies_at(step, words);
        let between = self.enforced(&format!("{step:?}, with the agent dead"));
        self.site.start();
        between
    }

    /// Everything agrees on what is in force.
    fn agrees_on(&self, step: Step, expected: Side) {
        let when = format!("{step:?}");
        assert_eq!(self.enforced(&when), expected, "{when}:\n{}", self.site.log());
        assert_eq!(self.on_disk(&when), expected, "{when}");
        let status = self.site.json("status");
        assert_eq!(status["pending"], false, "{when}: {status}");
        assert_eq!(status["confirm"], Value::Null, "{when}: {status}");
        self.history_is_whole(step);
    }

    fn history_is_whole(&self, step: Step) {
        let verified = self.site.fwctl("history verify");
        assert_eq!(verified.code, Some(0), "{step:?}: {verified:?}");
        assert!(!self.site.path("state/intent.json").exists(), "{step:?}");
    }

    /// The new agent says what has become of it.
    fn is_told(&self, step: Step, side: &str) {
        let notes = self.site.json("status")["notes"].to_string();
        assert!(
            notes.contains("the agent ended while it made a change of root") && notes.contains(side),
            "{step:?}: {notes}"
        );
    }

    /// The entries of the history about one of these.
    fn events(&self, names: &[&str]) -> Vec<Value> {
        let history = self.site.json("history");
        let entries = history["entries"].as_array().expect("entries").iter();
        let of_these = |entry: &&Value| entry["event"].as_str().is_some_and(|name| names.contains(&name));
        entries.filter(of_these).cloned().collect()
    }

    fn last_event(&self, names: &[&str]) -> Value {
        self.events(names).pop().unwrap_or_default()
    }

    fn count_events(&self, names: &[&str]) -> usize {
        self.events(names).len()
    }

    fn seconds_left(&self) -> Option<u64> {
        self.site.json("status")["confirm"]["seconds_left"].as_u64()
    }
}

#[test]
fn edits_of_two_files_are_made_or_not() {
    let mut subject = Subject::new();
    let mut side = Side::Old;
    for (step, switched, counts) in [
        (Step::IntentNoted, false, false),
        (Step::FileWritten, false, false),
        (Step::FilesWritten, false, false),
        (Step::CountersAssigned, false, false),
        (Step::RevisionWritten, false, false),
        (Step::SlotLoaded, false, false),
        (Step::Switched, true, false),
        (Step::RevisionCounts, true, true),
        (Step::EntryAppended, true, true),
        (Step::HeadWritten, true, true),
    ] {
        let batch = subject.site.path("batch");
        fs::write(&batch, side.other().batch()).expect("ours");
        let between = subject.kill_at(step, &format!("edit --batch {}", batch.display()));
        assert_eq!(between, if switched { side.other() } else { side }, "{step:?}");
        if counts {
            side = side.other();
        }
        subject.agrees_on(step, side);
        subject.is_told(step, if counts { "is in force" } else { "was taken back" });
    }
}

#[test]
fn a_change_that_waits_is_in_force_or_not_and_keeps_its_deadline() {
    let mut subject = Subject::new();
    for (step, waits) in [
        (Step::IntentNoted, false),
        (Step::RevisionWritten, false),
        (Step::SlotLoaded, false),
        (Step::WindowNoted, false),
        (Step::Switched, true),
        (Step::IntentCleared, true),
    ] {
        let words = format!("apply --confirm 10m {}", subject.handed_in(Side::New));
        let between = subject.kill_at(step, &words);
        assert_eq!(between == Side::New, waits, "{step:?}");
        if waits {
            let left = subject.seconds_left().expect("it waits");
            assert!((500..600).contains(&left), "{step:?}: {left}");
            assert_eq!(subject.enforced("after the start"), Side::New, "{step:?}");
            assert_eq!(subject.on_disk("after the start"), Side::Old, "{step:?}");
            subject.history_is_whole(step);
            subject.site.said("cancel");
        } else {
            subject.is_told(step, "was taken back");
            let late = subject.site.fwctl("confirm");
            assert_eq!(late.code, Some(1), "{step:?}: {late:?}");
            assert!(
                late.stderr.contains("revision 1 is in force"),
                "{step:?}: {late:?}"
            );
        }
        subject.agrees_on(step, Side::Old);
    }
    for step in [Step::WentBack, Step::WindowCleared, Step::RevisionDiscarded] {
        subject
            .site
            .said(&format!("apply --confirm 10m {}", subject.handed_in(Side::New)));
        let between = subject.kill_at(step, "cancel");
        assert_eq!(between, Side::Old, "{step:?}");
        subject.agrees_on(step, Side::Old);
    }
}

#[test]
fn a_reload_puts_the_files_in_force_or_leaves_them_as_they_are() {
    let mut subject = Subject::new();
    let mut side = Side::Old;
    for (step, switched, counts) in [
        (Step::IntentNoted, false, false),
        (Step::CountersAssigned, false, false),
        (Step::RevisionWritten, false, false),
        (Step::SlotLoaded, false, false),
        (Step::Switched, true, false),
        (Step::RevisionCounts, true, true),
        (Step::EntryAppended, true, true),
        (Step::HeadWritten, true, true),
        (Step::IntentCleared, true, true),
    ] {
        let next = side.other();
        for (name, text) in ["base.toml", "web.toml"].iter().zip(next.files()) {
            subject.site.write(name, &text);
        }
        let between = subject.kill_at(step, "reload -m because");
        assert_eq!(between, if switched { next } else { side }, "{step:?}");
        // What the operator has written is never touched.
        assert_eq!(subject.on_disk("after the start"), next, "{step:?}");
        if step != Step::IntentCleared {
            subject.is_told(step, if counts { "is in force" } else { "was taken back" });
        }
        if !counts {
            assert_eq!(subject.enforced("after the start"), side, "{step:?}");
            assert_eq!(subject.site.json("status")["pending"], true, "{step:?}");
            subject.history_is_whole(step);
            subject.site.said("reload -m because");
        }
        side = next;
        subject.agrees_on(step, side);
        let last = subject.last_event(&["revision"]);
        assert_eq!(
            (&last["cause"], &last["why"]),
            (&"reload".into(), &"because".into()),
            "{step:?}"
        );
    }
}

#[test]
fn a_rollback_is_made_or_not_and_one_that_waits_keeps_its_deadline() {
    let mut subject = Subject::new();
    let revision = |subject: &Subject| subject.site.json("status")["revision"]["number"].as_u64();
    let mut side = Side::Old;
    let first = revision(&subject).expect("one is in force");
    subject
        .site
        .said(&format!("apply --no-confirm {}", subject.handed_in(Side::New)));
    let second = revision(&subject).expect("another one");
    subject.site.said(&format!("rollback {first} --no-confirm"));
    let number_of = |side: Side| if side == Side::Old { first } else { second };
    for (step, switched, counts) in [
        (Step::IntentNoted, false, false),
        (Step::FileWritten, false, false),
        (Step::FilesWritten, false, false),
        (Step::CountersAssigned, false, false),
        (Step::RevisionWritten, false, false),
        (Step::SlotLoaded, false, false),
        (Step::Switched, true, false),
        (Step::RevisionCounts, true, true),
        (Step::EntryAppended, true, true),
        (Step::HeadWritten, true, true),
        (Step::IntentCleared, true, true),
    ] {
        let next = side.other();
        let words = format!("rollback {} --no-confirm -m because", number_of(next));
        let between = subject.kill_at(step, &words);
        assert_eq!(between, if switched { next } else { side }, "{step:?}");
        if step != Step::IntentCleared {
            subject.is_told(step, if counts { "is in force" } else { "was taken back" });
        }
        if counts {
            side = next;
            assert_eq!(subject.last_event(&["revision"])["cause"], "rollback", "{step:?}");
        }
        subject.agrees_on(step, side);
    }
    for (step, waits) in [
        (Step::IntentNoted, false),
        (Step::RevisionWritten, false),
        (Step::SlotLoaded, false),
        (Step::WindowNoted, false),
        (Step::Switched, true),
        (Step::IntentCleared, true),
    ] {
        let next = side.other();
        let words = format!("rollback {} --confirm 10m", number_of(next));
        let between = subject.kill_at(step, &words);
        assert_eq!(between == next, waits, "{step:?}");
        if waits {
            let left = subject.seconds_left().expect("it waits");
            assert!((500..600).contains(&left), "{step:?}: {left}");
            assert_eq!(subject.on_disk("until it is confirmed"), side, "{step:?}");
            subject.site.said("confirm");
            side = next;
        } else {
            subject.is_told(step, "was taken back");
        }
        subject.agrees_on(step, side);
    }
}

#[test]
fn a_confirmation_is_made_or_the_change_waits_on() {
    let mut subject = Subject::new();
    let mut side = Side::Old;
    for (step, counts) in [
        (Step::IntentNoted, false),
        (Step::RevisionCounts, true),
        (Step::Kept, true),
        (Step::WindowCleared, true),
        (Step::EntryAppended, true),
        (Step::FileWritten, true),
        (Step::FilesWritten, true),
    ] {
        let next = side.other();
        subject
            .site
            .said(&format!("apply --confirm 10m {}", subject.handed_in(next)));
        let between = subject.kill_at(step, "confirm");
        assert_eq!(between, next, "{step:?}");
        if counts {
            subject.is_told(step, "is in force");
        } else {
            let left = subject.seconds_left().expect("it waits on");
            assert!((500..600).contains(&left), "{step:?}: {left}");
            assert_eq!(subject.on_disk("before the confirmation"), side, "{step:?}");
            subject.site.said("confirm");
        }
        side = next;
        subject.agrees_on(step, side);
    }
}

#[test]
fn bans_are_made_and_recorded_once_wherever_the_agent_dies() {
    let mut subject = Subject::new();
    let events = ["ban", "unban"];
    let mut recorded = 0;
    for step in [
        Step::BansWritten,
        Step::BansSwitched,
        Step::EntryAppended,
        Step::HeadWritten,
    ] {
        let is_late = matches!(step, Step::BansWritten | Step::BansSwitched);
        for (words, event, why) in [
            ("ban 203.0.113.66 --for 2h --reason scans", "ban", Some("scans")),
            ("unban 203.0.113.66", "unban", None),
        ] {
            subject.dies_at(step, words);
            subject.site.start();
            let bans = subject.site.json("ban list");
            let reason = bans["bans"][0]["reason"].as_str();
            assert_eq!(reason, why, "{step:?} of {words}: {bans}");
            let last = subject.last_event(&events);
            let said = (
                last["event"].as_str(),
                last["why"].as_str(),
                last["by"]["user"].as_str(),
            );
            assert_eq!(
                said,
                (Some(event), why, Some("root")),
                "{step:?} of {words}: {last}"
            );
            assert!(
                last["what"][0]
                    .as_str()
                    .is_some_and(|what| what.contains("203.0.113.66"))
            );
            recorded += 1;
            assert_eq!(subject.count_events(&events), recorded, "{step:?} of {words}");
            let notes = subject.site.json("status")["notes"].to_string();
            let is_told = notes.contains(&format!("({event}): the change holds, and was recorded"));
            assert_eq!(is_told, is_late, "{step:?} of {words}: {notes}");
            subject.history_is_whole(step);
        }
    }
    // What is recorded is so once, however often the agent starts.
    subject.site.said("ban 203.0.113.67");
    for _ in 0..2 {
        subject.site.end(Signal::SIGKILL);
        subject.site.start();
        assert_eq!(subject.count_events(&events), recorded + 1);
    }
    subject.site.said("history cut --before 3");
    subject.site.end(Signal::SIGKILL);
    subject.site.start();
    subject.site.said("history verify");
}

#[test]
fn pauses_are_made_and_recorded_once_or_not_at_all() {
    let mut subject = Subject::new();
    let events = ["pause", "pause-off"];
    let mut recorded = 0;
    for (step, words, mode, event) in [
        (Step::ModeNoted, "pause 10m -m because", "normal", None),
        (Step::ModeSwitched, "pause 10m -m because", "pause", Some("pause")),
        (Step::ModeNoted, "pause off -m because", "pause", None),
        (
            Step::ModeSwitched,
            "pause off -m because",
            "normal",
            Some("pause-off"),
        ),
        (
            Step::EntryAppended,
            "pause 10m -m because",
            "pause",
            Some("pause"),
        ),
        (
            Step::HeadWritten,
            "pause off -m because",
            "normal",
            Some("pause-off"),
        ),
        // It ends by itself before another agent starts.
        (Step::ModeSwitched, "pause 1s -m because", "normal", Some("pause")),
    ] {
        let when = format!("{step:?} of {words}");
        subject.dies_at(step, words);
        if words.starts_with("pause 1s") {
            thread::sleep(Duration::from_millis(1200));
        }
        subject.site.start();
        assert_eq!(subject.site.json("status")["mode"], mode, "{when}");
        recorded += usize::from(event.is_some());
        assert_eq!(subject.count_events(&events), recorded, "{when}");
        if let Some(event) = event {
            let last = subject.last_event(&events);
            assert_eq!(last["event"], event, "{when}");
            assert_eq!(
                (&last["why"], &last["by"]["user"]),
                (&"because".into(), &"root".into()),
                "{when}"
            );
        }
        subject.is_told(
            step,
            if event.is_some() {
                "the change was made"
            } else {
                "the change was not made"
            },
        );
        subject.history_is_whole(step);
        assert!(!subject.site.path("state/pause.json").exists(), "{when}");
    }
    subject.site.said("pause 10m");
    subject.site.end(Signal::SIGKILL);
    subject.site.start();
    assert_eq!(subject.count_events(&events), recorded + 1);
}

#[test]
fn modes_and_list_entries_are_made_or_not() {
    let mut subject = Subject::new();
    let mode = |subject: &Subject| subject.site.json("status")["mode"].clone();
    for (step, words, wanted) in [
        (Step::ModeSwitched, "panic -m because", "panic"),
        (Step::ModeSwitched, "panic off", "normal"),
        (Step::ModeNoted, "panic", "panic"),
        (Step::ModeNoted, "panic off", "normal"),
    ] {
        if mode(&subject) == wanted {
            subject.site.said("panic");
        }
        subject.dies_at(step, words);
        subject.site.start();
        // What says panic counts: the kernel side or the note.
        let is_noted = step == Step::ModeSwitched && wanted == "normal";
        let expected = if is_noted { "panic" } else { wanted };
        assert_eq!(mode(&subject), expected, "{step:?} of {words}");
        subject.history_is_whole(step);
        let told = if expected == "panic" { "panic" } else { "panic-off" };
        assert_eq!(
            subject.last_event(&["panic", "panic-off"])["event"],
            told,
            "{step:?} of {words}"
        );
        if is_noted {
            subject.site.said("panic off");
        }
    }
    let list = subject.site.path("policy/bad.list");
    fs::write(&list, "192.0.2.0/24\n").expect("ours");
    let web = subject.site.read("web.toml");
    let named = "\n[[blocklist]]\nname = \"bad\"\nfile = \"bad.list\"\n";
    subject.site.write("web.toml", &format!("{web}{named}"));
    subject.site.said("reload");
    for (step, counts) in [
        (Step::FileWritten, false),
        (Step::RevisionWritten, false),
        (Step::ListsChanged, false),
        (Step::RevisionCounts, true),
    ] {
        let before = fs::read_to_string(&list).expect("there");
        let entry = format!("198.51.100.{}", step as u8);
        subject.kill_at(step, &format!("set add bad {entry}"));
        let after = fs::read_to_string(&list).expect("there");
        let expected = if counts {
            format!("{before}{entry}\n")
        } else {
            before
        };
        assert_eq!(after, expected, "{step:?}");
        assert_eq!(subject.site.json("status")["pending"], false, "{step:?}");
        let shown = subject.site.said("set show bad");
        assert_eq!(shown.contains(&entry), counts, "{step:?}: {shown}");
        subject.history_is_whole(step);
    }
}
