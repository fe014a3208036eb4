//! What operators write in any script, and what would command a terminal.

use serde_json::Value;

use crate::site::{Site, WEB};

/// Another script, combining marks, both directions, an emoji, and characters that a terminal would obey.
const ODD: &str =
    "ünï 汉字 עברית e\u{301} 🔥 \u{202e}txt.exe\u{2066} \u{1b}[2J\u{1b}]0;t\u{7} \"quoted\" a\\b\nline";

fn is_harmless(text: &str) -> bool {
    text.chars().all(|character| {
        character == '\n'
            || !character.is_control()
                && !matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

#[test]
fn what_is_written_in_any_script_is_kept_and_shown_and_commands_no_terminal() {
    let site = Site::new();
    // Comments may say anything but control characters, which are not TOML.
    let comment = "# 汉字 עברית e\u{301} \u{202e}txt.exe\n";
    site.write("web.toml", &format!("{comment}{WEB}"));
    let mut site = site;
    site.start();
    let does = |words: &[&str]| {
        let ended = site.fwctl_words(words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        assert!(
            is_harmless(&ended.stdout) && is_harmless(&ended.stderr),
            "{words:?}: {ended:?}"
        );
        ended.stdout
    };
    does(&[
        "rule", "add", "odd", "--allow", "tcp/8080", "--from", "any", "--reason", ODD, "-m", ODD,
    ]);
    does(&["ban", "203.0.113.66", "--reason", ODD]);
    does(&["panic", "-m", ODD]);
    for words in [
        &["status"][..],
        &["history"],
        &["rule", "show", "odd"],
        &["rule", "list"],
        &["ban", "list"],
        &["diff", "1", "2"],
        &["plan"],
        &["doctor"],
        &["top", "--once"],
    ] {
        let ended = site.fwctl_words(words);
        assert!(
            is_harmless(&ended.stdout) && is_harmless(&ended.stderr),
            "{words:?}: {ended:?}"
        );
    }
    assert!(
        does(&["history"]).contains("汉字 עברית"),
        "{}",
        does(&["history"])
    );
    does(&["panic", "off"]);

    let json =
        |words: &[&str]| -> Value { serde_json::from_str(&site.fwctl_words(words).stdout).expect("JSON") };
    let history = json(&["history", "--json"]);
    let why: Vec<&Value> = history["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["why"])
        .collect();
    assert_eq!(why[1..4], [ODD, ODD, ODD], "{history}");
    assert_eq!(json(&["rule", "show", "odd", "--json"])["reason"], ODD);
    assert_eq!(json(&["ban", "list", "--json"])["bans"][0]["reason"], ODD);
    does(&["history", "verify"]);
    assert!(
        site.read("web.toml").starts_with(comment),
        "every byte is as it was"
    );
    does(&["check", &site.policy_file("").display().to_string()]);
    let page = site.page("/metrics");
    assert!(page.contains("rule=\"odd\"") && !page.contains('\u{1b}') && !page.contains("exe"));

    // Names have an alphabet of their own, and what is refused is shown without harm.
    for name in ["ünï", "a\u{202e}b", "a\nb", "\u{1b}[2J", "", "a b", "a\"} 1"] {
        let refused = site.fwctl_words(&["rule", "add", name, "--allow", "tcp/81", "--from", "any"]);
        assert!(matches!(refused.code, Some(1 | 2)), "{name:?}: {refused:?}");
        assert!(
            is_harmless(&refused.stdout) && is_harmless(&refused.stderr),
            "{name:?}: {refused:?}"
        );
        let list = site.fwctl_words(&["set", "show", name]);
        assert!(
            list.code != Some(0) && is_harmless(&list.stderr),
            "{name:?}: {list:?}"
        );
    }
    // A policy file whose text would command the terminal is told of without harm.
    site.write("web.toml", &format!("{WEB}name\u{202e}d = \"\u{9b}2J\"\n"));
    let wrong = site.fwctl("reload");
    assert!(wrong.code == Some(1) && is_harmless(&wrong.stderr), "{wrong:?}");
}
