//! Edits of rules by command: one or many, live and in the files, or not at all.

use std::fs;

use firewall_agent::{
    control::protocol::{Changed, Edit, Edits, Failure, FailureKind, LineEdit, NewRule, RulePlace},
    daemon::Agent,
    dataplane::fake::Operation,
    policy::edit::{RuleDraft, Verdict},
    state::Cause,
};

use crate::host::{BASE, Host, WEB, debug_rule, operator, refused, rule_names};

fn edit(agent: &Agent, edits: impl IntoIterator<Item = Edit>) -> Result<Changed, Failure> {
    let edits = (1u32..).zip(edits).map(|(line, edit)| LineEdit {
        line: Some(line),
        edit,
    });
    let edits = Edits {
        edits: edits.collect(),
        why: None,
    };
    agent.edit(&operator(), &edits)
}

fn add(name: &str, place: RulePlace) -> Edit {
    let rule = debug_rule();
    Edit::RuleAdd(Box::new(NewRule {
        rule: RuleDraft {
            name: name.to_owned(),
            // No two of them are the same.
            what: vec![format!("tcp/{}", 8080 + name.len())],
            ..rule.rule
        },
        place,
        ..rule
    }))
}

fn cause(agent: &Agent) -> Option<Cause> {
    let status = agent.status().expect("the kernel answers");
    status.revision.map(|revision| revision.cause)
}

#[test]
fn rules_are_inserted_moved_replaced_and_switched_off() {
    let host = Host::new();
    let agent = host.start();
    edit(&agent, [add("debug", RulePlace::Before("ssh".into()))]).expect("it fits");
    assert_eq!(rule_names(&agent)[..2], ["debug", "ssh"], "in the file of `ssh`");
    assert!(host.read("base.toml").contains("debug") && host.read("web.toml") == WEB);
    let changed = edit(
        &agent,
        [Edit::RuleMove {
            name: "debug".into(),
            place: RulePlace::End,
        }],
    );
    assert_eq!(changed.expect("it fits").changes, ["changed the order of rules"]);
    assert_eq!(cause(&agent), Some(Cause::RuleMove));
    let other = RuleDraft {
        from: vec!["10.77.9.7".into()],
        ..RuleDraft::new("debug", Verdict::Allow, "tcp/9090")
    };
    edit(&agent, [Edit::RuleReplace(Box::new(other))]).expect("it fits");
    let rule = agent.rule("debug").expect("it is there");
    assert_eq!(
        (&*rule.rules[0].what, &*rule.rules[0].from),
        ("tcp 9090", "10.77.9.7")
    );

    let name = || "debug".to_owned();
    let missing = agent.rule("debgu").expect_err("a slip").message;
    assert!(missing.ends_with("did you mean `debug`?"), "{missing}");
    let missing = agent.rule("ftp-server").expect_err("nothing is like it").message;
    assert!(!missing.contains("did you mean"), "{missing}");
    let changed = edit(&agent, [Edit::RuleDisable { name: name() }]).expect("it is there");
    assert_eq!(changed.changes, ["disabled rule debug"], "and not deleted");
    let rules = agent.rules().expect("the kernel answers");
    assert!(rules.rules.iter().all(|rule| rule.name != "debug"));
    assert_eq!(rules.disabled[0].name, "debug");
    assert!(
        rules.disabled[0].origin.starts_with("base.toml:"),
        "{:?}",
        rules.disabled
    );
    let shown = agent.rule("debug").expect("it is written");
    assert!(
        shown.disabled && shown.text.contains("enabled = false"),
        "{shown:?}"
    );
    let slip = Edit::RuleEnable {
        name: "debgu".to_owned(),
    };
    let missing = edit(&agent, [slip]).expect_err("a slip").message;
    assert!(missing.ends_with("did you mean `debug`?"), "{missing}");
    let changed = edit(&agent, [Edit::RuleEnable { name: name() }]).expect("it is there");
    assert_eq!(changed.changes, ["enabled rule debug"], "and not added");
    assert!(agent.rules().expect("the kernel answers").disabled.is_empty());
    let changed = edit(&agent, [Edit::RuleDelete { name: name() }]).expect("it is there");
    assert_eq!(changed.changes, ["deleted rule debug"]);
    assert_eq!(host.read("base.toml"), BASE, "every byte is as it was");
}

#[test]
fn what_cannot_be_edited_is_told_with_a_way_out() {
    let host = Host::new();
    let agent = host.start();
    for edit_of in [
        Edit::RuleEnable { name: "sshd".into() },
        Edit::RuleDisable { name: "ä".into() },
        Edit::RuleMove {
            name: "x".into(),
            place: RulePlace::First,
        },
        Edit::RuleReplace(Box::new(RuleDraft::new("x", Verdict::Allow, "ssh"))),
    ] {
        assert_eq!(refused(edit(&agent, [edit_of])).kind, FailureKind::NotFound);
    }
    // Layers come in their own order.
    let failure = refused(agent.edit(
        &operator(),
        &Edits {
            edits: vec![LineEdit {
                line: None,
                edit: Edit::RuleMove {
                    name: "site".into(),
                    place: RulePlace::Before("ssh".into()),
                },
            }],
            why: None,
        },
    ));
    assert!(failure.hint.is_some_and(|hint| hint.contains("base.toml")));
    // Any name may be asked for, and the language says which there can be.
    for name in ["ä", "Web 1", "drop\u{202e}", "\u{1f525}", "a\nb", ""] {
        let failure = refused(edit(&agent, [add(name, RulePlace::End)]));
        assert_eq!(failure.kind, FailureKind::Policy, "{name:?}");
        assert!(failure.message.contains("not a name"), "{}", failure.message);
    }
    assert_eq!(
        (host.read("base.toml"), host.read("web.toml")),
        (BASE.to_owned(), WEB.to_owned())
    );
    assert_eq!(cause(&agent), Some(Cause::FirstStart), "nothing has changed");
}

#[test]
fn many_edits_are_one_revision() {
    let host = Host::new();
    let agent = host.start();
    let changed = edit(
        &agent,
        [
            add("first", RulePlace::First),
            add("debug", RulePlace::Before("ssh".into())),
            Edit::RuleMove {
                name: "first".into(),
                place: RulePlace::After("site".into()),
            },
            Edit::RuleDelete { name: "debug".into() },
            Edit::RuleDisable { name: "site".into() },
        ],
    )
    .expect("they fit");
    assert_eq!((changed.revision, cause(&agent)), (2, Some(Cause::Edit)));
    assert_eq!(changed.changes, ["added rule first", "disabled rule site"]);
    assert_eq!(
        changed.files,
        [host.policy_file("web.toml")],
        "the other file is as it was"
    );
    assert_eq!(host.read("base.toml"), BASE);
}

#[test]
fn one_bad_line_of_many_changes_nothing_and_all_are_named() {
    let host = Host::new();
    let agent = host.start();
    let failure = refused(edit(
        &agent,
        [
            add("debug", RulePlace::End),
            Edit::RuleDelete { name: "sites".into() },
            add("debug", RulePlace::End),
            Edit::RuleDisable { name: "ssh".into() },
        ],
    ));
    assert!(
        failure.message.contains("line 2: ") && failure.message.contains("line 3: "),
        "{}",
        failure.message
    );
    assert!(!failure.message.contains("line 1: ") && !failure.message.contains("line 4: "));
    assert_eq!(
        (host.read("base.toml"), host.read("web.toml")),
        (BASE.to_owned(), WEB.to_owned())
    );
    assert_eq!(agent.status().expect("the kernel answers").rules, 3);
}

#[test]
fn a_kernel_or_disk_that_refuses_leaves_every_file_as_it_was() {
    let host = Host::new();
    let agent = host.start();
    let both = || {
        [
            add("debug", RulePlace::End),
            add("another", RulePlace::Before("ssh".into())),
        ]
    };
    host.kernel.fail(Operation::Switch);
    refused(edit(&agent, both()));
    host.kernel.mend(Operation::Switch);
    assert_eq!(
        (host.read("base.toml"), host.read("web.toml")),
        (BASE.to_owned(), WEB.to_owned())
    );
    // A directory where the next revision would be written.
    fs::write(host.path("state/revisions/.2.partial"), "in the way").expect("written");
    refused(edit(&agent, both()));
    assert_eq!(
        (host.read("base.toml"), host.read("web.toml")),
        (BASE.to_owned(), WEB.to_owned())
    );
    assert!(!agent.status().expect("the kernel answers").pending);
    fs::remove_file(host.path("state/revisions/.2.partial")).expect("ours");
    let changed = edit(&agent, both()).expect("it works again");
    assert_eq!(changed.files.len(), 2);
}

#[test]
fn a_file_that_was_changed_on_disk_is_not_written_over_and_shown_three_ways() {
    let host = Host::new();
    let agent = host.start();
    host.append("base.toml", "# a note of somebody else\n");
    let failure = refused(edit(&agent, [add("debug", RulePlace::End)]));
    assert_eq!(failure.kind, FailureKind::Conflict);
    let of = |name: &str| {
        let mut differences = failure.differences.iter();
        differences.find(|one| one.path == host.policy_file(name))
    };
    let base = of("base.toml").expect("it differs");
    assert!(base.on_disk.contains("+# a note of somebody else") && base.wanted.is_none());
    let web = of("web.toml").expect("it was to be written");
    assert!(web.on_disk.is_empty());
    assert!(
        web.wanted
            .as_ref()
            .is_some_and(|text| text.contains("+name = \"debug\""))
    );
    assert_eq!(failure.differences.len(), 2, "{:?}", failure.differences);
    assert_eq!(host.read("web.toml"), WEB);
    assert!(
        host.read("base.toml").ends_with("somebody else\n"),
        "it stays as it is"
    );
    host.write("base.toml", BASE);
    edit(&agent, [add("debug", RulePlace::End)]).expect("nothing is in the way");
}
