//! The dashboard, as one picture.

use crate::site::{STRANGER, Site};

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
