//! A policy file in the operator's editor: checked, planned, asked about, and put in force.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use similar::TextDiff;

use crate::{
    cli::{
        Agent, CliError, apply, expect_response,
        output::{Exit, Output, Tone, printable, write},
        plan,
        reader::tell,
    },
    control::{
        client::ClientError,
        protocol::{Apply, Confirm, FailureKind, NewFile, Plan, Request, Response, Status},
    },
    policy::{Layer, layer_of},
};

/// Where neither variable names one; every Debian has it.
const USUAL_EDITOR: &str = "editor";

/// Edits one policy file.
pub(super) fn run(
    agent: &mut Agent,
    output: &mut Output,
    wanted: Option<&Path>,
    why: Option<&str>,
) -> Result<Exit, CliError> {
    let status = expect_response!(agent, Request::Status {}, Status);
    let path = file(&status, wanted)?;
    let before = read(&path)?;
    let draft = Draft::new(&path, &before)?;
    let outcome = rounds(agent, output, &draft, &before, why);
    let is_done = matches!(outcome, Ok(Exit::Done));
    if !is_done && draft.text().is_ok_and(|text| text != before) {
        let kept = draft.keep()?;
        tell(&format!("your text is kept in {}\n", kept.display()));
    }
    outcome
}

/// Edits until it is put in force, or not.
fn rounds(
    agent: &mut Agent,
    output: &mut Output,
    draft: &Draft,
    before: &str,
    why: Option<&str>,
) -> Result<Exit, CliError> {
    loop {
        draft.edit()?;
        let text = draft.text()?;
        if text == before {
            write("nothing was changed\n")?;
            return Ok(Exit::Done);
        }
        let file = NewFile {
            path: draft.of.clone(),
            text: text.clone(),
        };
        let Some(plan) = plan_of(agent, output, &file)? else {
            if ask("edit again? [Y/n]", true)? == Answer::Yes {
                continue;
            }
            return refused();
        };
        write(&difference(output, before, &text))?;
        write(&plan::text(output, &plan))?;
        match ask("put it in force? [y/N/e(dit again)]", false)? {
            Answer::Again => {}
            Answer::No => return refused(),
            Answer::Yes => {
                draft.refuse_changed(output, before)?;
                let changed = expect_response!(agent, apply_of(file, why), Changed);
                output.print(&changed, apply::text)?;
                return Ok(Exit::Done);
            }
        }
    }
}

fn refused() -> Result<Exit, CliError> {
    write("nothing was changed\n")?;
    Ok(Exit::No)
}

/// What a text would change; nothing where the policy would not be right, which is told.
fn plan_of(agent: &mut Agent, output: &Output, file: &NewFile) -> Result<Option<Box<Plan>>, CliError> {
    let request = Request::Plan {
        files: vec![file.clone()],
    };
    match agent.ask(request) {
        Ok(Response::Plan(plan)) => Ok(Some(plan)),
        Ok(_) => Err(CliError::UnexpectedReply),
        Err(CliError::Client(ClientError::Refused(failure))) if failure.kind == FailureKind::Policy => {
            output.complain(&CliError::Client(ClientError::Refused(failure)));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn apply_of(file: NewFile, why: Option<&str>) -> Request {
    Request::Apply(Box::new(Apply {
        files: vec![file],
        confirm: Confirm::Auto,
        force: false,
        require_shadow: false,
        why: why.map(str::to_owned),
    }))
}

/// The policy file that is named, else that of the host's last layer.
fn file(status: &Status, wanted: Option<&Path>) -> Result<PathBuf, CliError> {
    let paths = || status.files.iter().map(|file| &file.path);
    if let Some(wanted) = wanted {
        let is_wanted = |path: &&PathBuf| *path == wanted || path.file_name() == Some(wanted.as_os_str());
        return paths().find(is_wanted).cloned().ok_or_else(|| {
            let known: Vec<String> = paths().map(|path| path.display().to_string()).collect();
            CliError::Usage(format!(
                "{} is not one of the policy files: {}",
                wanted.display(),
                known.join(", ")
            ))
        });
    }
    let rank = |path: &&PathBuf| match layer_of(&fs::read_to_string(path).unwrap_or_default()) {
        Some(Layer::Host(host)) if status.host.as_deref() == Some(&*host) => 3,
        Some(Layer::Role(role)) if status.role.as_deref() == Some(&*role) => 2,
        Some(Layer::Base) => 1,
        _ => 0,
    };
    let last = paths().filter(|path| rank(path) > 0).max_by_key(rank);
    last.cloned()
        .ok_or_else(|| CliError::Usage("no policy file is a layer of this host: name one".to_owned()))
}

fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| CliError::File(format!("{}: {error}", path.display())))
}

/// The operator's text, in a file of its own.
struct Draft {
    of: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Draft {
    fn new(of: &Path, text: &str) -> Result<Self, CliError> {
        let stem = of.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut file = tempfile::Builder::new()
            .prefix(&format!("{stem}-"))
            .suffix(".toml")
            .tempfile()
            .map_err(|error| CliError::File(format!("no room for your text: {error}")))?;
        file.write_all(text.as_bytes())
            .map_err(|error| CliError::File(format!("no room for your text: {error}")))?;
        Ok(Self {
            of: of.to_owned(),
            file,
        })
    }

    /// As a shell would run it: the variable may have options.
    fn edit(&self) -> Result<(), CliError> {
        let of = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let editor = of("VISUAL").or_else(|| of("EDITOR"));
        let editor = editor.unwrap_or_else(|| USUAL_EDITOR.to_owned());
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("{editor} \"$1\""))
            .arg("sh")
            .arg(self.file.path())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(CliError::File(format!(
                "the editor `{editor}` ended with {status}; nothing was changed"
            ))),
            Err(error) => Err(CliError::File(format!("the editor `{editor}`: {error}"))),
        }
    }

    fn text(&self) -> Result<String, CliError> {
        // Many editors put a new file in the place of the old one.
        read(self.file.path())
    }

    /// Nobody's change is written over.
    fn refuse_changed(&self, output: &Output, before: &str) -> Result<(), CliError> {
        let now = read(&self.of)?;
        if now == before {
            return Ok(());
        }
        write(&format!(
            "{} was changed meanwhile, from what you began with to what is on disk:\n{}",
            self.of.display(),
            difference(output, before, &now)
        ))?;
        Err(CliError::File(format!(
            "{} is not written over",
            self.of.display()
        )))
    }

    /// Copied, since this value's own file goes with it.
    fn keep(&self) -> Result<PathBuf, CliError> {
        let failed = |error: io::Error| CliError::File(format!("your text cannot be kept: {error}"));
        let kept = tempfile::Builder::new()
            .prefix("fwctl-edit-")
            .suffix(".toml")
            .tempfile()
            .map_err(failed)?;
        fs::write(kept.path(), self.text()?).map_err(failed)?;
        let (_, path) = kept.keep().map_err(|error| failed(error.error))?;
        Ok(path)
    }
}

/// The lines that differ, with some around them.
fn difference(output: &Output, one: &str, other: &str) -> String {
    let difference = TextDiff::from_lines(one, other)
        .unified_diff()
        .context_radius(3)
        .missing_newline_hint(false)
        .to_string();
    let mut text = String::new();
    for line in difference.lines() {
        let line = printable(line);
        let painted = match line.chars().next() {
            Some('+') => output.paint(Tone::Good, line),
            Some('-') => output.paint(Tone::Bad, line),
            _ => line,
        };
        text.push_str(&painted);
        text.push('\n');
    }
    text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Again,
}

/// Asks on standard error, so that standard output can be kept. The end of the input is a no.
fn ask(question: &str, usual: bool) -> Result<Answer, CliError> {
    loop {
        tell(&format!("{question} "));
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            tell("\n");
            return Ok(Answer::No);
        }
        match line.trim() {
            "y" | "yes" => return Ok(Answer::Yes),
            "n" | "no" => return Ok(Answer::No),
            "e" | "edit" => return Ok(Answer::Again),
            "" if usual => return Ok(Answer::Yes),
            "" => return Ok(Answer::No),
            _ => {}
        }
    }
}
