//! Block lists: shown, and changed entry by entry without anything else being loaded.

use std::{path::PathBuf, sync::Arc};

use super::{
    agent::{Agent, Editor},
    chain::chain,
    edits::{Edited, not_written, with},
    in_force::InForce,
    intent::not_begun,
    kernel::Kernel,
    known_file::KnownFile,
    policy_files::{take_back_files, write_files},
    prepare::files,
};
use crate::{
    control::protocol::{Changed, Failure, FailureKind, ListDetail, ListSummary, Lists},
    diagnostic::SourceSet,
    failpoint::Step,
    policy::{
        list::{self, Entries, Entry},
        model::{BlockList, ValidPolicy},
    },
    prefix_set::{Change, Members, Prefix},
    state::{Actor, Cause, NewRevision, PolicyFile, Write},
};

/// Entries to put into a list or to take out of it.
#[derive(Debug, Clone)]
pub struct ListEdit {
    /// The list.
    pub name: String,
    /// Addresses, prefixes and ranges.
    pub entries: Vec<String>,
    /// Why, for the revision.
    pub why: Option<String>,
}

/// A text after an edit, with the entries that are different.
struct EditedList {
    text: String,
    touched: Vec<Entry>,
    changes: Vec<String>,
}

impl Agent {
    /// The block lists in force.
    pub fn lists(&self) -> Lists {
        let in_force = self.in_force();
        Lists {
            lists: in_force.policy.lists.iter().map(summary).collect(),
        }
    }

    /// One block list, with its first lines.
    pub fn list(&self, name: &str) -> Result<ListDetail, Failure> {
        let in_force = self.in_force();
        let list = find(&in_force, name)?;
        let mut files = in_force.files.iter();
        let file = files.find(|file| file.path.as_os_str() == &*list.file);
        let text = file.and_then(KnownFile::list_text);
        let text = text.ok_or_else(|| no_such_list(name))?;
        Ok(ListDetail {
            list: summary(list),
            lines: text.lines.clone(),
            lines_left_out: text.lines_left_out,
        })
    }

    /// Puts entries into a list, live and in its file.
    pub fn add_to_list(&self, by: &Actor, edit: &ListEdit) -> Result<Changed, Failure> {
        let wanted = parsed(&edit.entries)?;
        self.edit_list(by, Cause::SetAdd, edit, |list, text| {
            let mut edited = EditedList {
                text: text.to_owned(),
                touched: Vec::new(),
                changes: Vec::new(),
            };
            for (said, entry) in edit.entries.iter().zip(wanted) {
                if has(&list.entries, &entry) || edited.touched.contains(&entry) {
                    continue;
                }
                push_line(&mut edited.text, said);
                edited
                    .changes
                    .push(format!("added {said} to block list {}", list.name));
                edited.touched.push(entry);
            }
            Ok(edited)
        })
    }

    /// Takes entries out of a list, live and out of its file.
    pub fn delete_from_list(&self, by: &Actor, edit: &ListEdit) -> Result<Changed, Failure> {
        let wanted = parsed(&edit.entries)?;
        self.edit_list(by, Cause::SetDelete, edit, |list, text| {
            for (said, entry) in edit.entries.iter().zip(&wanted) {
                if !has(&list.entries, entry) {
                    return Err(not_an_entry(list, said, entry));
                }
            }
            let deleted = |said: &String| format!("deleted {said} from block list {}", list.name);
            Ok(EditedList {
                text: without_lines(text, &wanted),
                changes: edit.entries.iter().map(deleted).collect(),
                touched: wanted,
            })
        })
    }

    /// Gives a list another content.
    pub fn import_list(
        &self,
        by: &Actor,
        name: &str,
        text: String,
        why: Option<String>,
    ) -> Result<Changed, Failure> {
        if let Err(faults) = list::parse(&text) {
            let source = crate::diagnostic::SourceFile::list(name, text);
            let told: Vec<String> = faults
                .iter()
                .map(|fault| {
                    format!(
                        "line {}: {}",
                        source.position(fault.span.start).line,
                        fault.message
                    )
                })
                .collect();
            return Err(Failure::new(
                FailureKind::Policy,
                format!("the list cannot be read: {}", told.join("; ")),
            )
            .hint("nothing was changed"));
        }
        let in_force = self.in_force();
        let list = find(&in_force, name)?;
        let path = writable(list)?;
        self.edit_files(by, Cause::SetImport, why, |sources| {
            Ok(vec![Edited {
                path: path.clone(),
                before: text_on_disk(sources, list)?.to_owned(),
                after: text.clone(),
            }])
        })
    }

    /// Edits the file of a list and changes its members in the kernel. On failure both are what they were.
    fn edit_list(
        &self,
        by: &Actor,
        cause: Cause,
        edit: &ListEdit,
        change: impl FnOnce(&BlockList, &str) -> Result<EditedList, Failure>,
    ) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let before = self.in_force();
        let sources = self.sources_on_disk();
        self.refuse_changed_files(&editor, &sources, |_| Ok(Vec::new()))?;
        let list = find(&before, &edit.name)?;
        let path = writable(list)?;
        let text = text_on_disk(&sources, list)?;
        let edited = change(list, text)?;
        if edited.touched.is_empty() {
            return Ok(unchanged(&before));
        }
        let on_disk = Edited {
            path: path.clone(),
            before: text.to_owned(),
            after: edited.text,
        };
        let policy = with_entries(&before.policy, list, &edited.touched, cause);
        if cause == Cause::SetAdd {
            self.refuse_listed(by, &policy, &edited.touched, &before)?;
        }
        let files = files(&with(&sources, &on_disk));
        let writes = [Write::from(&on_disk)];
        drop(on_disk);
        editor
            .begin(by, cause, &writes, before.revision.as_ref())
            .map_err(|error| not_begun(&error))?;
        let next = Next {
            policy,
            files,
            touched: &edited.touched,
            changes: &edited.changes,
        };
        let outcome = write_files(&writes).map_err(not_written).and_then(|()| {
            let outcome = self.put_list_in_force(&mut editor, &before, next, by, cause, edit.why.clone());
            outcome.inspect_err(|_| drop(take_back_files(&writes)))
        });
        editor.end();
        self.record(by, cause, outcome.as_ref().err());
        drop(editor);
        outcome.map(|changed| Changed {
            files: vec![path],
            ..changed
        })
    }

    /// Where a list lies that can be written.
    pub(super) fn list_path(&self, name: &str) -> Result<PathBuf, Failure> {
        writable(find(&self.in_force(), name)?)
    }

    fn put_list_in_force(
        &self,
        editor: &mut Editor,
        before: &InForce,
        next: Next<'_>,
        by: &Actor,
        cause: Cause,
        why: Option<String>,
    ) -> Result<Changed, Failure> {
        let manifest = editor
            .revisions
            .write(NewRevision {
                by: by.clone(),
                cause,
                why,
                role: next.policy.role.to_string(),
                host: next.policy.host.as_ref().map(ToString::to_string),
                policy_hash: before.hash_text(),
                changes: next.changes.to_vec(),
                files: next.files.clone(),
            })
            .map_err(|error| failed(&error))?;
        Step::RevisionWritten.done();
        let mut kernel = self.kernel();
        let changed = kernel.change_lists(&next.policy, &changes(&next.policy, next.touched));
        let epoch = changed.map_err(|error| {
            restore(&mut kernel, before, next.touched);
            let _ = editor.revisions.discard(manifest.number);
            failed(&error)
        })?;
        Step::ListsChanged.done();
        if let Err(error) = editor.revisions.confirm(manifest.number) {
            restore(&mut kernel, before, next.touched);
            let _ = editor.revisions.discard(manifest.number);
            return Err(failed(&error));
        }
        Step::RevisionCounts.done();
        editor.record_revision(&manifest, None);
        // Flows that were opened while the entry was written are judged again, too.
        let epoch = kernel.settle_lists().unwrap_or(epoch);
        drop(kernel);
        let after = before.with_lists(next.policy, &next.files, epoch, manifest);
        let changed = Changed {
            changed: true,
            changes: next.changes.to_vec(),
            ..unchanged(&after)
        };
        self.follow_history(editor);
        self.set_in_force(after);
        Ok(changed)
    }
}

/// The text of a list with entries behind its last line, those left out that it has.
pub(super) fn add_lines(text: &str, entries: &[String]) -> Result<String, Failure> {
    let wanted = parsed(entries)?;
    let mut there = listed(text);
    let mut text = text.to_owned();
    for (said, entry) in entries.iter().zip(wanted) {
        if !there.contains(&entry) {
            push_line(&mut text, said);
            there.push(entry);
        }
    }
    Ok(text)
}

/// The text of a list without the lines of some entries.
pub(super) fn delete_lines(name: &str, text: &str, entries: &[String]) -> Result<String, Failure> {
    let (wanted, there) = (parsed(entries)?, listed(text));
    match entries
        .iter()
        .zip(&wanted)
        .find(|(_, entry)| !there.contains(entry))
    {
        Some((said, _)) => Err(Failure::new(
            FailureKind::NotFound,
            format!("{said} is no entry of the block list {name}"),
        )),
        None => Ok(without_lines(text, &wanted)),
    }
}

fn listed(text: &str) -> Vec<Entry> {
    let entries = text.lines().map(list::parse_line);
    entries.filter_map(|entry| entry.ok().flatten()).collect()
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

fn without_lines(text: &str, entries: &[Entry]) -> String {
    let stays = |line: &&str| !matches!(list::parse_line(line), Ok(Some(entry)) if entries.contains(&entry));
    text.split_inclusive('\n').filter(stays).collect()
}

/// What is to be in force.
struct Next<'a> {
    policy: Arc<ValidPolicy>,
    files: Vec<PolicyFile>,
    touched: &'a [Entry],
    changes: &'a [String],
}

/// Has the kernel's members at the touched places as they were.
fn restore(kernel: &mut Kernel, before: &InForce, touched: &[Entry]) {
    if let Err(error) = kernel.change_lists(&before.policy, &changes(&before.policy, touched)) {
        tracing::error!(%error, "a block list is not as the last revision has it");
    }
}

fn summary(list: &BlockList) -> ListSummary {
    ListSummary {
        name: list.name.to_string(),
        file: PathBuf::from(&*list.file),
        origin: format!("{}:{}", list.origin.file, list.origin.line),
        ipv4_entries: list.entries.v4.len(),
        ipv6_entries: list.entries.v6.len(),
    }
}

fn find<'a>(in_force: &'a InForce, name: &str) -> Result<&'a BlockList, Failure> {
    let list = in_force.policy.lists.iter().find(|list| *list.name == *name);
    list.ok_or_else(|| no_such_list(name))
}

/// The text of a list's file, which is what is in force where no files are pending.
fn text_on_disk<'a>(sources: &'a SourceSet, list: &BlockList) -> Result<&'a str, Failure> {
    let mut sources = sources.lists().map(|(_, source)| source);
    let source = sources.find(|source| **source.name() == *list.file);
    Ok(source.ok_or_else(|| no_such_list(&list.name))?.text())
}

/// The file of a list, unless it cannot be written as it was.
fn writable(list: &BlockList) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(&*list.file);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let message = format!("{} is compressed and is not written to", path.display());
        return Err(Failure::new(FailureKind::Conflict, message)
            .hint("unpack it, and name the plain file in the policy; or replace it and `fwctl reload`"));
    }
    Ok(path)
}

fn parsed(entries: &[String]) -> Result<Vec<Entry>, Failure> {
    let parsed: Result<Vec<Entry>, String> = entries.iter().map(|text| list::parse_entry(text)).collect();
    parsed.map_err(|message| Failure::new(FailureKind::BadRequest, message))
}

/// Whether an entry stands in a list as it is.
fn has(entries: &Entries, entry: &Entry) -> bool {
    match entry {
        Entry::V4(first, last) => entries.v4.contains(&(*first, *last)),
        Entry::V6(prefixes) => prefixes.iter().all(|prefix| entries.v6.contains(prefix)),
    }
}

fn not_an_entry(listed: &BlockList, text: &str, entry: &Entry) -> Failure {
    let failure = Failure::new(
        FailureKind::NotFound,
        format!("{text} is no entry of the block list {}", listed.name),
    );
    let covered = match entry {
        Entry::V4(first, last) => listed.entries.overlap_v4(*first, *last).map(|(first, last)| {
            format!(
                "{}-{}",
                std::net::Ipv4Addr::from(first),
                std::net::Ipv4Addr::from(last)
            )
        }),
        Entry::V6(prefixes) => prefixes
            .first()
            .and_then(|prefix| listed.entries.overlap_v6(prefix.first(), prefix.last()))
            .map(|prefix| format!("{}/{}", std::net::Ipv6Addr::from(prefix.first()), prefix.length)),
    };
    match covered {
        Some(covered) => failure.hint(format!("{covered} is one, and has addresses of it")),
        None => failure,
    }
}

/// The policy with entries put into a list or taken out of it.
fn with_entries(
    policy: &ValidPolicy,
    changed: &BlockList,
    touched: &[Entry],
    cause: Cause,
) -> Arc<ValidPolicy> {
    let mut entries = (*changed.entries).clone();
    for entry in touched {
        if cause == Cause::SetAdd {
            entries.push(entry.clone());
            continue;
        }
        match entry {
            Entry::V4(first, last) => entries.v4.retain(|other| other != &(*first, *last)),
            Entry::V6(prefixes) => entries.v6.retain(|other| !prefixes.contains(other)),
        }
    }
    let mut policy = policy.clone();
    let entries = Arc::new(entries);
    for list in policy.lists.iter_mut().filter(|list| list.name == changed.name) {
        list.entries = entries.clone();
    }
    Arc::new(policy)
}

/// What becomes of the places of some entries under the lists of a policy.
fn changes(policy: &ValidPolicy, touched: &[Entry]) -> Vec<Change> {
    let lists: Vec<&Entries> = policy.lists.iter().map(|list| &*list.entries).collect();
    let of_entry = |entry: &Entry| match entry {
        Entry::V4(first, last) => vec![change_v4(&lists, *first, *last)],
        Entry::V6(prefixes) => prefixes.iter().map(|prefix| change_v6(&lists, *prefix)).collect(),
    };
    touched.iter().flat_map(of_entry).collect()
}

fn change_v4(lists: &[&Entries], first: u32, last: u32) -> Change {
    let all = lists.iter().flat_map(|entries| &entries.v4);
    let inside = all
        .filter(|entry| entry.0 <= last && first <= entry.1)
        .map(|entry| (entry.0.max(first), entry.1.min(last)));
    Change::V4 {
        first,
        last,
        inside: Members::new(inside.collect(), Vec::new()).v4().to_vec(),
    }
}

fn change_v6(lists: &[&Entries], place: Prefix) -> Change {
    let all = lists.iter().flat_map(|entries| &entries.v6);
    let inside = all.filter_map(|entry| {
        if entry.covers(&place) {
            Some(place)
        } else {
            place.covers(entry).then_some(*entry)
        }
    });
    Change::V6 {
        place,
        inside: Members::new(Vec::new(), inside.collect()).v6().to_vec(),
    }
}

pub(super) fn no_such_list(name: &str) -> Failure {
    Failure::new(FailureKind::NotFound, format!("there is no block list `{name}`"))
        .hint("`fwctl set list` shows the block lists in force; a policy file names them as `[[blocklist]]`")
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(FailureKind::Failed, chain(error))
        .hint("what was in force stays in force; the agent's log has the details")
}

fn unchanged(in_force: &InForce) -> Changed {
    Changed {
        revision: in_force.revision.as_ref().map_or(0, |revision| revision.number),
        policy_hash: in_force.hash_text(),
        generation: in_force.epoch,
        changed: false,
        changes: Vec::new(),
        files: Vec::new(),
        warnings: Vec::new(),
        confirm: None,
        notes: Vec::new(),
    }
}
