//! The dashboard: as one picture, and on a terminal.

use std::{fs, process::Command, thread::sleep, time::Duration};

use firewall_tests::wait::wait_until;
use nix::sys::signal::Signal;

use crate::{
    site::{STRANGER, Site},
    terminal::Terminal,
};

/// With a packet of a stranger on record.
fn knocked_at() -> Site {
    let site = Site::started();
    assert!(site.connect(STRANGER, 8080).is_none());
    site
}

/// `fwctl top`, in colour unless the user wants none.
fn top(site: &Site, wants_colour: bool) -> Command {
    let mut command = site.command("top");
    command.env_remove("NO_COLOR");
    if !wants_colour {
        command.env("NO_COLOR", "1");
    }
    command
}

/// What is banned, as `fwctl ban list` says.
fn banned(site: &Site) -> String {
    site.said("ban list")
}

#[test]
fn a_source_is_banned_by_keys_on_a_terminal_that_is_left_as_it_was() {
    let site = knocked_at();
    for wants_colour in [true, false] {
        let mut terminal = Terminal::run(top(&site, wants_colour));
        let before = terminal.manner();
        terminal.sees("drops by reason");
        terminal.sees(STRANGER);
        terminal.fills(80, 24);
        let screen = terminal.screen();
        assert!(screen.is_alternate && screen.hides_cursor && terminal.manner() != before);
        assert_eq!(screen.has_colour, wants_colour);

        // Whatever is not yes is no.
        terminal.type_keys("\tb");
        terminal.sees(&format!("ban {STRANGER} for an hour?"));
        terminal.type_keys("n");
        terminal.sees("is not banned");
        assert!(banned(&site).contains("nobody is banned"));

        terminal.resize(110, 30);
        terminal.fills(110, 30);
        terminal.resize(40, 10);
        terminal.fills(40, 10);
        terminal.resize(80, 24);
        terminal.fills(80, 24);
        terminal.type_keys("b");
        terminal.sees(&format!("ban {STRANGER} for an hour?"));
        terminal.type_keys("y");
        terminal.sees(&format!("banned {STRANGER} until"));
        assert!(banned(&site).contains("from fwctl top"), "{}", banned(&site));
        site.said(&format!("unban {STRANGER}"));

        terminal.type_keys("q");
        assert_eq!(terminal.ended().code(), Some(0));
        terminal.is_as_it_was(before);
    }
}

#[test]
fn a_signal_ends_the_dashboard_and_leaves_the_terminal_as_it_was() {
    let site = knocked_at();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut terminal = Terminal::run(top(&site, true));
        let before = terminal.manner();
        terminal.sees("q quit");
        terminal.signal(signal);
        assert_eq!(terminal.ended().code(), Some(0), "{signal}");
        terminal.is_as_it_was(before);
    }
    // Control and C are a key here.
    let mut terminal = Terminal::run(top(&site, true));
    let before = terminal.manner();
    terminal.sees("q quit");
    terminal.type_keys("\x03");
    assert_eq!(terminal.ended().code(), Some(0));
    terminal.is_as_it_was(before);

    // Over a connection that breaks there is nothing to restore, and nothing is left behind.
    let mut terminal = Terminal::run_unread(top(&site, true));
    sleep(Duration::from_secs(1));
    terminal.hang_up();
    terminal.ended();
}

/// Resizes a terminal that nobody reads, each size being a picture of its own, until there is no room for more.
fn gets_stuck(terminal: &Terminal) {
    let call = format!("/proc/{}/syscall", terminal.pid());
    let write = libc::SYS_write.to_string();
    let mut sizes = [81, 80].into_iter().cycle();
    let is_stuck = wait_until(Duration::from_secs(20), || {
        terminal.resize(sizes.next().expect("they go round"), 24);
        sleep(Duration::from_millis(200));
        let call = fs::read_to_string(&call).expect("it runs");
        call.split(' ').next() == Some(&write)
    });
    assert!(is_stuck, "it writes what nobody reads");
}

#[test]
fn a_terminal_that_nobody_reads_does_no_harm() {
    let site = knocked_at();
    let _listener = site.listen(443);
    let mut terminal = Terminal::run_unread(top(&site, true));
    let before = terminal.manner();
    gets_stuck(&terminal);
    for _ in 0..20 {
        assert!(site.connect(STRANGER, 8080).is_none());
    }
    site.said("status");
    assert!(site.connect(STRANGER, 443).is_some());
    assert!(site.packets("(default in)") > 20);
    assert!(site.said("events --verdict drop").contains(STRANGER));
    assert!(!site.log().contains("ERROR"), "{}", site.log());

    // Somebody looks again, and it goes on where it is.
    terminal.read();
    terminal.resize(80, 24);
    terminal.sees(STRANGER);
    terminal.type_keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
    terminal.is_as_it_was(before);

    // A signal ends it where it is stuck, too.
    let mut terminal = Terminal::run_unread(top(&site, true));
    let before = terminal.manner();
    gets_stuck(&terminal);
    terminal.signal(Signal::SIGTERM);
    let ended = terminal.ended();
    assert_eq!(ended.code(), Some(128 + 15));
    assert_eq!(terminal.manner(), before);
}

#[test]
fn a_picture_of_a_live_agent_shows_rates_drops_and_sources() {
    let site = Site::started();
    let _listener = site.listen(443);
    let _client = site.connect(STRANGER, 443).expect("the site is open");
    assert!(site.connect(STRANGER, 8080).is_none());
    let picture = site.said("top --once");
    assert_eq!(picture.lines().count(), 24, "{picture}");
    assert!(
        picture.lines().all(|line| line.chars().count() <= 80),
        "{picture}"
    );
    for part in [
        "web-1  policy  generation",
        "revision 1 of",
        "site",
        "(default in)",
        "drops by reason",
        STRANGER,
        "q quit",
    ] {
        assert!(picture.contains(part), "{part}:\n{picture}");
    }
    let figures = site.json("top --once");
    assert!(
        figures["rules"].as_array().is_some_and(|rules| !rules.is_empty()),
        "{figures}"
    );
    assert_eq!(figures["sources"][0][0], STRANGER, "{figures}");
    // Also what others have changed before it began to look.
    site.said("pause 1s -m because");
    site.said("pause off");
    let changes = &site.json("top --once")["changes"];
    assert_eq!(changes[1]["why"], "because", "{changes}");
    assert_eq!(changes[2]["revision"], 1, "{changes}");
    let no_terminal = site.fwctl("top");
    assert_eq!(no_terminal.code, Some(2));
    assert!(no_terminal.stderr.contains("--once"), "{no_terminal:?}");
}
