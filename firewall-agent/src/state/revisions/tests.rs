use super::*;

fn new(text: &str) -> NewRevision {
    NewRevision {
        by: Actor::new(0, Some("root".into())),
        cause: Cause::Reload,
        why: Some("a test".into()),
        role: "web".into(),
        host: None,
        policy_hash: "00".into(),
        changes: vec!["added rule ssh".into()],
        files: ["base.toml", "web.toml"]
            .map(|name| PolicyFile {
                path: Path::new("/etc/firewall-agent/policy").join(name),
                text: format!("# {name}: {text}\n").into(),
                is_list: false,
            })
            .to_vec(),
    }
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn open(&self) -> (Revisions, Recovered) {
        let state = StateDirectory::open(self.directory.path()).expect("free");
        Revisions::open(&state).expect("usable")
    }

    fn with_revisions(texts: &[&str]) -> Self {
        let fixture = Self::new();
        let (mut revisions, _) = fixture.open();
        for text in texts {
            let manifest = revisions.write(new(text)).expect("written");
            revisions.confirm(manifest.number).expect("confirmed");
        }
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn number(recovered: &Recovered) -> Option<u64> {
    recovered
        .revision
        .as_ref()
        .map(|revision| revision.manifest.number)
}

#[test]
fn nothing_is_found_where_nothing_was_written() {
    let (revisions, recovered) = Fixture::new().open();
    assert_eq!((revisions.current(), number(&recovered)), (None, None));
    assert!(recovered.problems.is_empty());
}

#[test]
fn a_confirmed_revision_comes_back_whole() {
    let fixture = Fixture::with_revisions(&["one", "two"]);
    let (revisions, recovered) = fixture.open();
    let revision = recovered.revision.expect("there");
    assert_eq!(revisions.current(), Some(2));
    assert_eq!(revision.manifest.parent, Some(1));
    assert_eq!(revision.files, new("two").files);
    assert_eq!(revisions.read(1).expect("kept").files, new("one").files);
}

#[test]
fn what_was_not_confirmed_does_not_count_and_goes_at_the_next_start() {
    let fixture = Fixture::with_revisions(&["one"]);
    let (revisions, _) = fixture.open();
    assert_eq!(revisions.write(new("two")).expect("written").number, 2);
    let (revisions, recovered) = fixture.open();
    assert_eq!(number(&recovered), Some(1));
    assert_eq!(revisions.numbers().expect("listed"), BTreeSet::from([1]));
}

#[test]
fn a_first_revision_that_was_not_confirmed_does_not_count_either() {
    let fixture = Fixture::new();
    let (revisions, _) = fixture.open();
    assert_eq!(revisions.write(new("one")).expect("written").number, 1);
    let state = StateDirectory::open(fixture.directory.path()).expect("free");
    // Where the history says that revisions have counted, `current` was lost.
    let (_, recovered) = Revisions::open_with(&state, None, true).expect("usable");
    assert_eq!((number(&recovered), recovered.problems.len()), (Some(1), 1));
    let (revisions, recovered) = Revisions::open_with(&state, None, false).expect("usable");
    assert_eq!((number(&recovered), recovered.problems.len()), (None, 0));
    assert!(revisions.numbers().expect("listed").is_empty());
}

#[test]
fn a_half_written_revision_is_in_nobodys_way() {
    let fixture = Fixture::with_revisions(&["one"]);
    fs::create_dir(fixture.path("revisions/.2.partial")).expect("made");
    fs::write(fixture.path("revisions/.2.partial/00-base.toml"), "half").expect("written");
    let (revisions, recovered) = fixture.open();
    assert_eq!(number(&recovered), Some(1));
    assert_eq!(revisions.write(new("two")).expect("written").number, 2);
    assert_eq!(revisions.read(2).expect("whole").files, new("two").files);
}

#[test]
fn a_damaged_revision_is_named_and_the_one_before_is_used() {
    let fixture = Fixture::with_revisions(&["one", "two"]);
    fs::write(fixture.path("revisions/2/01-web.toml"), "something else").expect("written");
    let (revisions, recovered) = fixture.open();
    assert_eq!(number(&recovered), Some(1));
    assert_eq!(revisions.current(), Some(1));
    let problem = recovered.problems[0].to_string();
    assert!(
        problem.contains("revisions/2/01-web.toml is damaged"),
        "{problem}"
    );
}

#[test]
fn a_damaged_manifest_is_named() {
    let fixture = Fixture::with_revisions(&["one", "two"]);
    fs::write(fixture.path("revisions/2/manifest.json"), "{\"format\": 1").expect("written");
    let (_, recovered) = fixture.open();
    assert_eq!(number(&recovered), Some(1));
    let problem = recovered.problems[0].to_string();
    assert!(
        problem.contains("revisions/2/manifest.json is damaged"),
        "{problem}"
    );
}

#[test]
fn a_damaged_pointer_leads_to_the_newest_good_revision() {
    for damage in ["", "two\n"] {
        let fixture = Fixture::with_revisions(&["one", "two"]);
        fs::write(fixture.path("current"), damage).expect("written");
        let (_, recovered) = fixture.open();
        assert_eq!(number(&recovered), Some(2));
        assert!(recovered.problems[0].to_string().contains("current is damaged"));
    }
}

#[test]
fn a_missing_pointer_is_reported_if_there_are_revisions() {
    let fixture = Fixture::with_revisions(&["one"]);
    fs::remove_file(fixture.path("current")).expect("removed");
    let (_, recovered) = fixture.open();
    assert_eq!((number(&recovered), recovered.problems.len()), (Some(1), 1));
}

#[test]
fn with_every_revision_damaged_there_is_none() {
    let fixture = Fixture::with_revisions(&["one", "two"]);
    for number in [1, 2] {
        fs::remove_file(fixture.path(&format!("revisions/{number}/manifest.json"))).expect("removed");
    }
    let (revisions, recovered) = fixture.open();
    assert_eq!((number(&recovered), recovered.problems.len()), (None, 2));
    assert_eq!(
        revisions.write(new("three")).expect("written").number,
        3,
        "numbers are not used twice"
    );
}

/// The policy of two files, one of which is a list in a directory of the fixture.
fn with_list(fixture: &Fixture, text: &str) -> NewRevision {
    let mut new = new(text);
    new.files.push(PolicyFile {
        path: fixture.path("drop.txt"),
        text: "192.0.2.1\n".into(),
        is_list: true,
    });
    new
}

/// Three revisions that share a list.
fn sharing() -> Fixture {
    let fixture = Fixture::new();
    let (mut revisions, _) = fixture.open();
    for text in ["one", "two", "three"] {
        let manifest = revisions.write(with_list(&fixture, text)).expect("written");
        revisions.confirm(manifest.number).expect("confirmed");
    }
    fixture
}

const STORED: [&str; 3] = [
    "revisions/1/02-drop.txt",
    "revisions/2/02-drop.txt",
    "revisions/3/02-drop.txt",
];

#[test]
fn a_damaged_list_is_mended_for_all_revisions_from_the_file_that_it_was_read_from() {
    let fixture = sharing();
    fs::write(fixture.path("drop.txt"), "192.0.2.1\n").expect("ours");
    // In place, as a bad disk would: all three have it.
    fs::write(fixture.path(STORED[2]), "192.0.2.9\n").expect("ours");
    let (revisions, recovered) = fixture.open();
    assert_eq!(number(&recovered), Some(3));
    let problems: Vec<String> = recovered.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("revisions/3/02-drop.txt was damaged, and was written anew from"),
        "{problems:?}"
    );
    for number in 1..=3 {
        assert_eq!(
            &*revisions.read(number).expect("whole").files[2].text,
            "192.0.2.1\n"
        );
    }
    let inodes = STORED.map(|stored| mend::inode(&fixture.path(stored)));
    assert_eq!(inodes, [inodes[0]; 3], "they share it as before");
    assert!(fixture.open().1.problems.is_empty(), "it is mended for good");
}

#[test]
fn a_damaged_list_is_mended_from_another_revision() {
    let fixture = sharing();
    // Another file in its place: the others have theirs.
    fs::remove_file(fixture.path(STORED[2])).expect("ours");
    let (revisions, recovered) = fixture.open();
    assert_eq!((number(&recovered), recovered.problems.len()), (Some(3), 1));
    revisions.read(3).expect("whole again");
}

#[test]
fn a_list_that_is_nowhere_else_is_one_problem_of_all_that_share_it() {
    let fixture = sharing();
    fs::write(fixture.path("drop.txt"), "198.51.100.1\n").expect("ours");
    fs::write(fixture.path(STORED[0]), "192.0.2.9\n").expect("ours");
    let (revisions, recovered) = fixture.open();
    assert_eq!((number(&recovered), revisions.current()), (None, None));
    let problems: Vec<String> = recovered.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in [
        "revisions/3/02-drop.txt is damaged",
        "SHA-256",
        "2 revisions from 1 to 2 share it",
        "drop.txt is put back as it was",
    ] {
        assert!(problems[0].contains(part), "{part}: {problems:?}");
    }
    for stored in STORED {
        let text = fs::read_to_string(fixture.path(stored)).expect("there");
        assert_eq!(text, "192.0.2.9\n", "nothing is written over");
    }
}

#[test]
fn a_damaged_list_is_not_handed_on_to_the_next_revision() {
    let fixture = sharing();
    let (mut revisions, _) = fixture.open();
    fs::write(fixture.path(STORED[2]), "192.0.2.9\n").expect("ours");
    let manifest = revisions.write(with_list(&fixture, "four")).expect("written");
    revisions.confirm(manifest.number).expect("confirmed");
    assert_eq!(&*revisions.read(4).expect("whole").files[2].text, "192.0.2.1\n");
    revisions.read(3).expect_err("this one is as it is");
}
