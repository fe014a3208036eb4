use jiff::Timestamp;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{
    super::{
        app::{App, Sort, Wish},
        keys::press,
        rates::Sample,
    },
    draw, text,
};
use crate::control::protocol::{
    Counters, Enforcing, EventInfo, Events, HistoryEntry, Packets, ReasonCounts, RuleCounts, Status, TableUse,
};

fn rule(name: &str, action: &str, packets: u64) -> RuleCounts {
    RuleCounts {
        rule: name.to_owned(),
        direction: "in".to_owned(),
        action: action.to_owned(),
        origin: "web.toml:4".to_owned(),
        total: Packets {
            packets,
            bytes: packets * 100,
        },
        matches: packets,
    }
}

fn sample(seconds: f64, factor: u64) -> Sample {
    let reason = |name: &str, packets: u64| ReasonCounts {
        reason: name.to_owned(),
        hook: "ingress".to_owned(),
        drops: true,
        total: Packets { packets, bytes: 0 },
        meaning: String::new(),
    };
    Sample {
        seconds,
        history: history(),
        status: Status {
            agent_version: "0.1.0".to_owned(),
            pid: 1,
            started: Timestamp::UNIX_EPOCH,
            role: Some("web".to_owned()),
            host: Some("web-1".to_owned()),
            enforcing: Enforcing::Policy,
            mode: "normal".to_owned(),
            generation: 7,
            tables: ["FLOWS", "HALF_FLOWS"]
                .map(|table| TableUse {
                    table: table.to_owned(),
                    used: 12,
                    capacity: 1000,
                })
                .to_vec(),
            ..status()
        },
        counters: Counters {
            rules: vec![
                rule("ping", "allow", 3),
                rule("site", "allow", 1000 * factor),
                rule("knocks", "drop", 25_000 * factor),
                rule("(default in)", "drop", 40),
            ],
            reasons: vec![reason("default", 40), reason("tcp-no-state", 7 * factor)],
            interfaces: Vec::new(),
        },
    }
}

fn history() -> Vec<HistoryEntry> {
    let texts = [
        r#"{"number":1,"at":"2026-11-21T08:00:00Z","event":"revision","revision":1,"cause":"first-start",
            "by":{"uid":0,"user":"firewall-agent"},"previous":"","hash":""}"#,
        r#"{"number":2,"at":"2026-11-21T09:00:00Z","event":"panic",
            "by":{"uid":1000,"user":"alex"},"why":"what is this","previous":"","hash":""}"#,
    ];
    let entries = texts.map(|text| serde_json::from_str(text).expect("an entry"));
    entries.to_vec()
}

fn status() -> Status {
    let text = r#"{"agent_version":"","pid":1,"started":"1970-01-01T00:00:00Z","enforcing":"policy","mode":"normal",
        "policy_hash":"","generation":7,"rules":3,"pending":false,"files":[],"interfaces":[],
        "interface_failures":[],"tables":[],"notes":[]}"#;
    serde_json::from_str(text).expect("a status")
}

fn event(source: &str, port: u16) -> EventInfo {
    EventInfo {
        at: "2026-11-21T10:00:00Z".parse().expect("a time"),
        direction: "in".to_owned(),
        interface: "eth0".to_owned(),
        verdict: "drop".to_owned(),
        reason: "rule".to_owned(),
        rule: Some("knocks".to_owned()),
        protocol: Some("tcp".to_owned()),
        source: source.parse().ok(),
        source_port: Some(4711),
        destination: "10.77.2.10".parse().ok(),
        destination_port: Some(port),
        icmp: None,
        length: 60,
        packet: format!("tcp {source}:4711 -> 10.77.2.10:{port}"),
    }
}

fn app() -> App {
    let mut app = App::new(false);
    app.take(sample(0.0, 1));
    app.take(sample(2.0, 2));
    let events = [("203.0.113.7", 22), ("203.0.113.7", 23), ("198.51.100.9", 22)];
    app.log(
        2.0,
        Events {
            events: events.map(|(source, port)| event(source, port)).to_vec(),
            lost: 5,
        },
    );
    app
}

fn picture(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    terminal.draw(|frame| draw(frame, app)).expect("memory");
    text(terminal.backend().buffer())
}

fn key(app: &mut App, code: KeyCode) -> Wish {
    press(app, KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn the_dashboard_at_80_by_24() {
    insta::assert_snapshot!(picture(&app(), 80, 24));
}

#[test]
fn a_rule_in_detail() {
    let mut app = app();
    assert_eq!(key(&mut app, KeyCode::Enter), Wish::Rule("knocks".to_owned()));
    app.detail_text = Some("[[rule]]\nname = \"knocks\"".to_owned());
    insta::assert_snapshot!(picture(&app, 80, 24));
    key(&mut app, KeyCode::Esc);
    assert_eq!(app.detail, None);
}

#[test]
fn every_size_is_drawn() {
    let mut app = app();
    for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
        assert_eq!(picture(&app, width, height).lines().count(), usize::from(height));
        key(&mut app, KeyCode::Enter);
        assert_eq!(picture(&app, width, height).lines().count(), usize::from(height));
        key(&mut app, KeyCode::Esc);
    }
    assert!(
        picture(&App::new(true), 80, 24).contains("rules by rate"),
        "before the first look"
    );
}

#[test]
fn rules_are_sorted_and_filtered_by_keys() {
    let mut app = app();
    let first = |app: &App| app.rules()[0].rule.clone();
    assert_eq!(first(&app), "knocks");
    for (sort, expected) in [
        (Sort::Packets, "knocks"),
        (Sort::Bytes, "knocks"),
        (Sort::Name, "(default in)"),
        (Sort::Policy, "ping"),
        (Sort::Rate, "knocks"),
    ] {
        key(&mut app, KeyCode::Char('s'));
        assert_eq!((app.sort, first(&app)), (sort, expected.to_owned()));
    }
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::Down);
    assert_eq!(app.selected, 2);
    key(&mut app, KeyCode::Char('/'));
    // A letter that is typed is no command.
    for letter in "sitq".chars() {
        assert_eq!(key(&mut app, KeyCode::Char(letter)), Wish::Nothing);
    }
    assert!(app.rules().is_empty() && app.selected == 0);
    key(&mut app, KeyCode::Backspace);
    key(&mut app, KeyCode::Enter);
    assert_eq!(app.rules().len(), 1);
    assert!(picture(&app, 80, 24).contains("with \"sit\""));
    assert_eq!(key(&mut app, KeyCode::Char('q')), Wish::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut app, interrupt), Wish::Quit);
}

#[test]
fn a_pause_keeps_the_picture_and_says_so() {
    let mut app = app();
    key(&mut app, KeyCode::Char('p'));
    let before = picture(&app, 80, 24);
    assert!(before.contains("PAUSED"), "{before}");
    app.log(
        3.0,
        Events {
            events: vec![event("192.0.2.99", 80)],
            lost: 0,
        },
    );
    assert_eq!(picture(&app, 80, 24), before);
}

#[test]
fn old_events_are_forgotten_and_ports_shown_by_a_key() {
    let mut app = app();
    assert_eq!(app.sources()[0], ("203.0.113.7".to_owned(), 2));
    key(&mut app, KeyCode::Char('c'));
    assert!(picture(&app, 80, 24).contains("tcp/22"));
    app.take(sample(100.0, 2));
    assert!(app.sources().is_empty() && app.ports().is_empty());
}

#[test]
fn without_colour_there_is_none() {
    let with_colour = |has_colour| {
        let mut app = app();
        app.has_colour = has_colour;
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("memory");
        terminal.draw(|frame| draw(frame, &app)).expect("memory");
        let buffer = terminal.backend().buffer();
        buffer
            .content
            .iter()
            .any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    assert!(with_colour(true));
    assert!(!with_colour(false));
}

#[test]
fn a_source_is_banned_after_a_question_and_not_without_a_yes() {
    let mut app = app();
    assert_eq!(key(&mut app, KeyCode::Char('b')), Wish::Nothing);
    assert!(
        picture(&app, 80, 24).contains("choose a source first"),
        "no source is chosen"
    );
    key(&mut app, KeyCode::Tab);
    assert_eq!(key(&mut app, KeyCode::Char('b')), Wish::Nothing, "it asks");
    assert!(picture(&app, 80, 24).contains("ban 203.0.113.7 for an hour?  y yes"));
    assert_eq!(key(&mut app, KeyCode::Enter), Wish::Nothing);
    assert!(picture(&app, 80, 24).contains("203.0.113.7 is not banned"));
    key(&mut app, KeyCode::Down);
    for (yes, seconds) in [('y', Some(3600)), ('g', None)] {
        key(&mut app, KeyCode::Char('b'));
        let address = "198.51.100.9".to_owned();
        assert_eq!(key(&mut app, KeyCode::Char(yes)), Wish::Ban { address, seconds });
    }
    app.said = Some("banned 198.51.100.9 for good".to_owned());
    assert!(picture(&app, 80, 24).contains("banned 198.51.100.9 for good"));
    assert_eq!(
        key(&mut app, KeyCode::Char('y')),
        Wish::Nothing,
        "it asks no longer"
    );
    assert_eq!(app.said, None);

    // Of ports nobody can be banned; of a rule's packets the source of the chosen one.
    key(&mut app, KeyCode::Char('c'));
    key(&mut app, KeyCode::Char('b'));
    assert_eq!(app.asks_ban, None);
    key(&mut app, KeyCode::Enter);
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::Char('b'));
    assert_eq!(
        app.asks_ban.as_deref(),
        Some("203.0.113.7"),
        "the second latest packet"
    );
}

#[test]
fn recent_changes_are_those_of_the_history() {
    let mut app = app();
    let before = picture(&app, 80, 24);
    assert!(
        before.contains("of 2026-11-21 09:00:00 by alex, what is this"),
        "{before}"
    );
    assert!(!before.contains("recent changes"));
    key(&mut app, KeyCode::Char('h'));
    insta::assert_snapshot!(picture(&app, 80, 24));
    app.take(Sample {
        history: Vec::new(),
        ..sample(3.0, 2)
    });
    assert!(picture(&app, 80, 24).contains("no change on record"));
}
