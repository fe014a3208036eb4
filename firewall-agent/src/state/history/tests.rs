use super::*;

fn record(revision: u64) -> Record {
    Record {
        event: Event::Revision,
        revision: Some(revision),
        cause: Some(Cause::Reload),
        by: Actor::new(0, Some("root".into())),
        confirmed_by: None,
        why: Some("a \"test\"\nof lines, and ünïcode".into()),
        changes: 1,
        what: Vec::new(),
        manifest: Some("00".into()),
        cut: None,
    }
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new(entries: u64) -> Self {
        let fixture = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        let (mut history, problems) = fixture.open();
        assert_eq!(problems, [""; 0]);
        for revision in 1..=entries {
            history.append(record(revision)).expect("written");
        }
        fixture
    }

    fn open(&self) -> (History, Vec<String>) {
        let state = StateDirectory::open(self.directory.path()).expect("free");
        History::open(&state).expect("readable")
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("history")).expect("there");
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        fs::write(self.directory.path().join("history"), text).expect("ours");
    }

    fn faults(&self) -> Vec<String> {
        let (history, _) = self.open();
        let faults = history.read().expect("readable").faults;
        faults.into_iter().map(|fault| fault.what).collect()
    }
}

#[test]
fn an_untouched_chain_is_whole_and_goes_on() {
    let fixture = Fixture::new(5);
    assert_eq!(fixture.faults(), [""; 0]);
    let (mut history, problems) = fixture.open();
    assert_eq!(
        (problems.len(), history.head().number, history.last_revision()),
        (0, 5, Some(5))
    );
    history.append(record(6)).expect("written");
    assert_eq!(fixture.faults(), [""; 0]);
    assert_eq!(fixture.lines().len(), 6, "an entry is a line, whatever is in it");
}

#[test]
fn an_edited_entry_is_found_whichever_it_is() {
    for place in 0..5 {
        let fixture = Fixture::new(5);
        let mut lines = fixture.lines();
        lines[place] = lines[place].replace("\"uid\":0", "\"uid\":1");
        fixture.write(&lines);
        assert!(fixture.faults()[0].contains("does not have the hash"), "{place}");
        // With the hash made anew the next one does not follow, and of the last one the head says so.
        let json = json_of(&lines[place]).to_owned();
        lines[place] = format!("{} {json}", sha256_hex(json.as_bytes()));
        fixture.write(&lines);
        assert!(!fixture.faults().is_empty(), "{place}");
        assert!(!fixture.open().1.is_empty(), "a start tells of it: {place}");
    }
}

#[test]
fn a_removed_entry_is_found_whichever_it_is() {
    for place in 0..5 {
        let fixture = Fixture::new(5);
        let mut lines = fixture.lines();
        lines.remove(place);
        fixture.write(&lines);
        assert!(!fixture.faults().is_empty(), "{place}");
    }
    let fixture = Fixture::new(5);
    fixture.write(&[]);
    assert!(!fixture.faults().is_empty(), "all of them");
}

#[test]
fn a_swapped_pair_is_found_wherever_it_is() {
    for place in 0..4 {
        let fixture = Fixture::new(5);
        let mut lines = fixture.lines();
        lines.swap(place, place + 1);
        fixture.write(&lines);
        assert!(!fixture.faults().is_empty(), "{place}");
    }
}

#[test]
fn an_entry_that_was_put_in_is_found() {
    let fixture = Fixture::new(3);
    let mut lines = fixture.lines();
    lines.insert(1, lines[1].clone());
    fixture.write(&lines);
    assert!(!fixture.faults().is_empty());
}

#[test]
fn a_change_under_a_running_agent_is_found() {
    let fixture = Fixture::new(3);
    let (history, _) = fixture.open();
    let mut lines = fixture.lines();
    lines.pop();
    fixture.write(&lines);
    fs::remove_file(fixture.directory.path().join("history.head")).expect("there");
    let faults = history.read().expect("readable").faults;
    assert!(faults[0].what.contains("is not entry 3"), "{faults:?}");
}

#[test]
fn half_a_line_is_dropped_and_a_head_that_is_one_behind_is_mended() {
    let fixture = Fixture::new(3);
    let mut text = fs::read(fixture.directory.path().join("history")).expect("there");
    text.extend_from_slice(b"abc {\"numb");
    fs::write(fixture.directory.path().join("history"), text).expect("ours");
    let (mut history, problems) = fixture.open();
    assert!(
        problems.len() == 1 && problems[0].contains("half written"),
        "{problems:?}"
    );
    let before = fs::read(fixture.directory.path().join("history.head")).expect("there");
    history.append(record(4)).expect("written");
    fs::write(fixture.directory.path().join("history.head"), before).expect("ours");
    drop(history);
    assert_eq!(fixture.open().1, [""; 0]);
    assert_eq!(fixture.faults(), [""; 0]);
}

#[test]
fn old_entries_are_cut_behind_a_checkpoint_only() {
    let fixture = Fixture::new(6);
    let (mut history, _) = fixture.open();
    let root = || Actor::new(0, None);
    history.cut(1, root(), None).expect_err("there is nothing before");
    history.cut(9, root(), None).expect_err("there is no such entry");
    history
        .cut(4, root(), Some("old".into()))
        .expect("they are there");
    assert_eq!(fixture.lines().len(), 5, "the cut, 4, 5, 6 and the checkpoint");
    assert_eq!(fixture.faults(), [""; 0]);
    let (mut history, problems) = fixture.open();
    assert_eq!((problems.len(), history.head().number), (0, 7));
    history.append(record(7)).expect("written");
    history.cut(6, root(), None).expect("once more");
    assert_eq!(fixture.faults(), [""; 0]);
    // Somebody else cuts.
    let lines = fixture.lines();
    let (entry, _) = entry_of(&lines[1]).expect("an entry");
    assert_eq!(entry.number, 6);
    let (next, _) = entry_of(&lines[2]).expect("an entry");
    let mut forged = vec![format!("{CUT}{} {}", next.number, next.previous)];
    forged.extend_from_slice(&lines[2..]);
    fixture.write(&forged);
    assert!(
        fixture.faults()[0].contains("no checkpoint says so"),
        "{:?}",
        fixture.faults()
    );
}
