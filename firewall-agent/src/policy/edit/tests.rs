use proptest::prelude::*;

use super::*;

const FILE: &str = r#"# Web servers.
layer = "role web"   # the layer

# --- Public ---

# The site.
[[rule]]
name = "site"
allow = [
  "http",   # redirected
  "https",
]
from = "any"

[[rule]] # no blank line below
name = 'ssh'
allow = "ssh"
from = "management" # only

# Behind it all.

[[expect]]
allow = "https"
from = "stranger"
"#;

fn draft(name: &str) -> RuleDraft {
    RuleDraft {
        from: vec!["db".into()],
        ..RuleDraft::new(name, Verdict::Drop, "mysql")
    }
}

const BLOCK: &str = "[[rule]]\nname = \"new\"\ndrop = \"mysql\"\nfrom = \"db\"";

#[test]
fn a_rule_is_added_behind_the_last_one() {
    let edited = add_rule(FILE, &draft("new"), &Position::End).expect("it fits");
    let expected = FILE.replace(
        "\"management\" # only\n",
        &format!("\"management\" # only\n\n{BLOCK}\n"),
    );
    assert_eq!(edited, expected);
}

#[test]
fn a_rule_is_added_before_the_comment_of_another() {
    let edited = add_rule(FILE, &draft("new"), &Position::Before("site".into())).expect("it fits");
    assert_eq!(
        edited,
        FILE.replace("# The site.\n", &format!("{BLOCK}\n\n# The site.\n"))
    );
}

#[test]
fn a_rule_is_added_behind_another() {
    let edited = add_rule(FILE, &draft("new"), &Position::After("site".into())).expect("it fits");
    assert_eq!(
        edited,
        FILE.replace("from = \"any\"\n", &format!("from = \"any\"\n\n{BLOCK}\n"))
    );
}

#[test]
fn a_rule_goes_with_its_comment_and_nothing_else() {
    let edited = delete_rule(FILE, "site").expect("it is there");
    let from = FILE.find("# The site.").expect("it is there");
    let to = FILE.find("[[rule]] # no").expect("it is there");
    assert_eq!(edited, format!("{}{}", &FILE[..from], &FILE[to..]));
}

#[test]
fn what_is_not_there_is_not_deleted() {
    let error = delete_rule(FILE, "sites").expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "the file has no rule `sites`; did you mean `site`?"
    );
    assert!(add_rule(FILE, &draft("new"), &Position::After("x".into())).is_err());
}

#[test]
fn a_name_is_given_once() {
    let error = add_rule(FILE, &draft("ssh"), &Position::End).expect_err("the name is taken");
    assert_eq!(error, EditError::NameTaken { name: "ssh".into() });
}

#[test]
fn a_file_with_faults_is_left_alone() {
    assert!(matches!(
        add_rule("a = ", &draft("new"), &Position::End),
        Err(EditError::Unreadable { .. })
    ));
    assert!(matches!(
        delete_rule("a = ", "new"),
        Err(EditError::Unreadable { .. })
    ));
}

#[test]
fn a_rule_of_an_inline_list_is_not_torn_out() {
    let text = "rule = [{ name = \"a\" }, { name = \"b\" }]\n";
    assert_eq!(
        delete_rule(text, "a"),
        Err(EditError::Entangled { name: "a".into() })
    );
}

#[test]
fn every_key_is_written() {
    let full = RuleDraft {
        name: "a\"b".into(),
        verdict: Verdict::Reject,
        what: vec!["dns".into(), "ntp".into()],
        from: vec!["any".into(), "not web".into()],
        to: vec!["self".into()],
        among: vec!["x".into()],
        multicast: vec!["224.0.0.18".into()],
        forward: true,
        interface: vec!["eth*".into()],
        vlan: vec!["10".into(), "20-30".into()],
        from_port: vec!["53".into()],
        before: Some("ssh".into()),
        log: Some("5/s".into()),
        owner: Some("me".into()),
        reason: Some("two\nlines".into()),
        review: Some("2030-12-31".into()),
    };
    let expected = r#"[[rule]]
name = 'a"b'
reject = ["dns", "ntp"]
from = ["any", "not web"]
to = "self"
among = "x"
multicast = "224.0.0.18"
forward = true
interface = "eth*"
vlan = [10, "20-30"]
from_port = 53
before = "ssh"
log = "5/s"
owner = "me"
reason = """
two
lines"""
review = 2030-12-31"#;
    assert_eq!(full.to_toml("\n"), expected);
}

#[test]
fn the_rule_in_force_is_the_one_of_the_later_layer() {
    let rule = "[[rule]]\nname = \"ssh\"\n";
    let sources: SourceSet = [
        ("web.toml", "layer = \"role web\"\n"),
        ("base.toml", "layer = \"base\"\n"),
    ]
    .map(|(name, header)| crate::diagnostic::SourceFile::new(name, format!("{header}{rule}")))
    .into_iter()
    .collect();
    let name = |file: Option<FileId>| file.map(|file| sources.file(file).name().to_string());
    assert_eq!(name(file_with_rule(&sources, "ssh/in")), Some("web.toml".into()));
    assert_eq!(name(file_with_rule(&sources, "dns")), None);
    assert_eq!(
        name(file_of_layer(&sources, &Layer::Base)),
        Some("base.toml".into())
    );
}

#[test]
fn a_replaced_rule_keeps_comments_and_what_stays_the_same() {
    let site = RuleDraft {
        from: vec!["any".into()],
        log: Some("5/s".into()),
        what: vec!["http".into(), "https".into()],
        ..RuleDraft::new("site", Verdict::Allow, "")
    };
    let edited = replace_rule(FILE, &site).expect("it is there");
    let expected = FILE.replace("from = \"any\"\n", "from = \"any\"\nlog = \"5/s\"\n");
    assert_eq!(edited, expected, "the list with its comment is the same");
    let ssh = RuleDraft {
        from: vec!["management".into(), "not 10.77.9.66".into()],
        ..RuleDraft::new("ssh", Verdict::Drop, "ssh")
    };
    let edited = replace_rule(FILE, &ssh).expect("it is there");
    insta::assert_snapshot!(edited, @r##"
    # Web servers.
    layer = "role web"   # the layer

    # --- Public ---

    # The site.
    [[rule]]
    name = "site"
    allow = [
      "http",   # redirected
      "https",
    ]
    from = "any"

    [[rule]] # no blank line below
    name = 'ssh'
    drop = "ssh"
    from = ["management", "not 10.77.9.66"] # only

    # Behind it all.

    [[expect]]
    allow = "https"
    from = "stranger"
    "##);
    let error = replace_rule(FILE, &draft("new")).expect_err("there is none");
    assert!(matches!(error, EditError::NoSuchRule { .. }));
}

#[test]
fn a_replaced_rule_stays_switched_off_and_an_override() {
    let text = "[[rule]]\nname = \"new\"\noverride = true\nenabled = false # yet\nallow = \"ssh\"\n";
    let edited = replace_rule(text, &draft("new")).expect("it is there");
    assert!(
        edited.contains("override = true") && edited.contains("enabled = false # yet"),
        "{edited}"
    );
    assert!(
        edited.contains("drop = \"mysql\"") && !edited.contains("allow"),
        "{edited}"
    );
}

#[test]
fn a_rule_moves_with_its_comment() {
    let order = |text: &str| -> Vec<String> {
        let blocks = parsed(text).expect("right");
        let names = blocks.iter().filter_map(|block| block.name.as_deref());
        names.map(str::to_owned).collect()
    };
    let edited = move_rule(FILE, "site", &Position::End).expect("it is there");
    assert_eq!(order(&edited), ["ssh", "site"]);
    assert!(
        edited.contains("# The site.\n[[rule]]\nname = \"site\""),
        "{edited}"
    );
    assert!(edited.contains("\"http\",   # redirected"), "{edited}");
    assert!(
        edited.contains("# --- Public ---\n\n[[rule]] # no blank"),
        "{edited}"
    );
    let back = move_rule(&edited, "ssh", &Position::After("site".into())).expect("it is there");
    assert_eq!(order(&back), ["site", "ssh"]);
    let first = move_rule(FILE, "ssh", &Position::First).expect("it is there");
    assert_eq!(order(&first), ["ssh", "site"]);
    assert_eq!(
        move_rule(FILE, "ssh", &Position::Before("ssh".into())).as_deref(),
        Ok(FILE)
    );
    assert!(move_rule(FILE, "ssh", &Position::Before("x".into())).is_err());
    assert!(move_rule(FILE, "x", &Position::First).is_err());
}

#[test]
fn a_rule_is_switched_off_and_on_again() {
    let off = enable_rule(FILE, "ssh", false).expect("it is there");
    let expected = FILE.replace("name = 'ssh'\n", "name = 'ssh'\nenabled = false\n");
    assert_eq!(off, expected);
    assert_eq!(disabled_rules(&off), [("ssh".to_owned(), 15)]);
    assert_eq!(
        enable_rule(&off, "ssh", false).as_deref(),
        Ok(&*off),
        "it is off already"
    );
    assert_eq!(enable_rule(&off, "ssh", true).as_deref(), Ok(FILE));
    assert_eq!(
        enable_rule(FILE, "ssh", true).as_deref(),
        Ok(FILE),
        "it is on already"
    );
    let commented = off.replace("enabled = false", "enabled = false # until the audit");
    let on = enable_rule(&commented, "ssh", true).expect("it is there");
    assert!(on.contains("enabled = true # until the audit"), "{on}");
    assert!(enable_rule(FILE, "sshd", false).is_err());
    let inline = "rule = [{ name = \"a\" }, { name = \"b\" }]\n";
    assert_eq!(
        enable_rule(inline, "a", false),
        Err(EditError::Entangled { name: "a".into() })
    );
}

/// Files of the parts that operators put together, in any order and with any line end.
fn any_file() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("# a comment\n".to_owned()),
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("[[expect]]\nallow = \"https\"\n".to_owned()),
        "[a-z]{1,4}".prop_map(|name| format!("[[rule]]\nname = \"{name}\"\nallow = \"https\" # why\n")),
        "[a-z]{1,4}".prop_map(|name| format!(
            "# about\n[[rule]]\nname = \"{name}\"\nallow = [\n  \"ssh\",\n]\n# after\n"
        )),
        Just("[timers]\nicmp = \"60s\"\n".to_owned()),
    ];
    (prop::collection::vec(part, 0..8), any::<bool>(), any::<bool>()).prop_map(|(parts, windows, cut)| {
        let mut text = format!("layer = \"base\"\n{}", parts.concat());
        if cut {
            text.truncate(text.trim_end().len());
        }
        if windows { text.replace('\n', "\r\n") } else { text }
    })
}

proptest! {
    #[test]
    fn adding_and_deleting_gives_the_same_bytes(text in any_file(), at in 0usize..6, before in any::<bool>()) {
        let Ok(blocks) = parsed(&text) else { return Ok(()) };
        let position = match blocks.get(at).and_then(|block| block.name.as_ref()) {
            None => Position::End,
            Some(name) if before => Position::Before(name.to_string()),
            Some(name) => Position::After(name.to_string()),
        };
        let added = add_rule(&text, &draft("new-rule"), &position).expect("it fits everywhere");
        prop_assert!(added.contains("new-rule"));
        prop_assert_eq!(delete_rule(&added, "new-rule").expect("it was added"), text);
    }

    #[test]
    fn switching_off_and_on_gives_the_same_bytes(text in any_file(), at in 0usize..6) {
        let Ok(blocks) = parsed(&text) else { return Ok(()) };
        let Some(name) = blocks.get(at).and_then(|block| block.name.clone()) else { return Ok(()) };
        let off = enable_rule(&text, &name, false).expect("it is there");
        prop_assert!(off != text);
        prop_assert_eq!(enable_rule(&off, &name, true).expect("it is there"), text);
    }

    #[test]
    fn moving_keeps_every_line(text in any_file(), from in 0usize..6, to in 0usize..6, before in any::<bool>()) {
        let Ok(blocks) = parsed(&text) else { return Ok(()) };
        let name = |at: usize| blocks.get(at).and_then(|block| block.name.clone());
        let (Some(moved), Some(other)) = (name(from), name(to)) else { return Ok(()) };
        let position = if before {
            Position::Before(other.to_string())
        } else {
            Position::After(other.to_string())
        };
        // A name that stands twice is found at its first place.
        let Ok(edited) = move_rule(&text, &moved, &position) else { return Ok(()) };
        let lines = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
            lines.retain(|line| !line.is_empty());
            lines.sort();
            lines
        };
        prop_assert_eq!(lines(&edited), lines(&text));
        prop_assert_eq!(parsed(&edited).expect("right").len(), blocks.len());
    }
}
