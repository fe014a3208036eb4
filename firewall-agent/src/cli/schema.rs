//! `fwctl schema`: what the commands print with `--json`, as JSON Schema (draft 2020-12).

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{CliError, capture, check, doctor, learn, output, output::Exit, replay, top};
use crate::{
    control::protocol::{
        BanList, BansChanged, Changed, Counters, Difference, EventInfo, Failure, Flows, FlowsDeleted,
        HistoryList, HistoryVerdict, ListDetail, Lists, ModeChanged, Plan, RuleDetail, Rules, ShadowReport,
        Status,
    },
    import::Imported,
    state::Head,
    trial::Explanation,
};

const EXAMPLES: &str = "\
Examples:
  fwctl schema status          what `fwctl status --json` prints
  fwctl schema rule list
  fwctl schema error           what any command prints with --json that fails
  fwctl schema                 all of them in one document

Fields are added, and none is taken away or changed in its meaning, as long as the schema's `version` is the same. What
`events`, `replay` and `counters --watch` print is one value for each line.

Exit codes: 0 done; 2 there is no such command";

/// Of the schemas as a whole: raised where a field goes or means something else.
const VERSION: u32 = 1;

/// Prints what commands print with --json, as JSON Schema.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Schemas {
    /// A command, as it is called: `status`, `rule list`; or `error`.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

type Make = fn(&mut SchemaGenerator) -> Schema;

/// Commands and what they print.
const COMMANDS: [(&str, Make); 46] = [
    ("apply", of::<Changed>),
    ("ban", of::<BansChanged>),
    ("ban list", of::<BanList>),
    ("cancel", of::<Changed>),
    ("capture", of::<capture::Summary>),
    ("check", of::<check::Report>),
    ("confirm", of::<Changed>),
    ("counters", of::<Counters>),
    ("diff", of::<Difference>),
    ("doctor", of::<doctor::Report>),
    ("edit", of::<Changed>),
    ("error", of::<Failed>),
    ("events", of::<EventLine>),
    ("explain", of::<Explanation>),
    ("flows delete", of::<FlowsDeleted>),
    ("flows list", of::<Flows>),
    ("history", of::<HistoryList>),
    ("history cut", of::<Head>),
    ("history verify", of::<HistoryVerdict>),
    ("import", of::<Imported>),
    ("learn", of::<learn::Summary<'static>>),
    ("panic", of::<ModeChanged>),
    ("panic off", of::<ModeChanged>),
    ("pause", of::<ModeChanged>),
    ("plan", of::<Plan>),
    ("reload", of::<Changed>),
    ("replay", of::<replay::Line>),
    ("rollback", of::<Changed>),
    ("rule add", of::<Changed>),
    ("rule delete", of::<Changed>),
    ("rule disable", of::<Changed>),
    ("rule enable", of::<Changed>),
    ("rule insert", of::<Changed>),
    ("rule list", of::<Rules>),
    ("rule move", of::<Changed>),
    ("rule replace", of::<Changed>),
    ("rule show", of::<RuleDetail>),
    ("set add", of::<Changed>),
    ("set delete", of::<Changed>),
    ("set import", of::<Changed>),
    ("set list", of::<Lists>),
    ("set show", of::<ListDetail>),
    ("shadow", of::<ShadowReport>),
    ("status", of::<Status>),
    ("top", of::<top::Figures>),
    ("unban", of::<BansChanged>),
];

/// What a command prints that fails.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "it is described here, and written where the error is known"
)]
enum Failed {
    /// The agent or the policy says no.
    Refused {
        /// Why.
        error: Failure,
    },
    /// It came to no answer.
    Other {
        /// Why.
        error: Trouble,
    },
}

/// Why there is no answer.
#[derive(Debug, Serialize, JsonSchema)]
struct Trouble {
    /// `unreachable`, `broken`, `usage`, `file` or `kernel`.
    kind: String,
    /// What happened.
    message: String,
    /// What to do next.
    hint: Option<String>,
}

/// A line of `fwctl events`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "as above")]
enum EventLine {
    /// A packet.
    Event(Box<EventInfo>),
    /// Events came faster than they were read.
    Lost {
        /// So many.
        lost: u64,
    },
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn commands() -> impl Iterator<Item = (&'static str, Make)> {
    COMMANDS.into_iter()
}

/// The schema of one command.
fn one(command: &str) -> Option<Value> {
    let (_, make) = commands().find(|(name, _)| *name == command)?;
    let mut generator = generator();
    let schema = make(&mut generator);
    let mut document = Map::new();
    document.insert("title".to_owned(), format!("fwctl {command} --json").into());
    document.extend(head());
    document.extend(schema.to_value().as_object().cloned().unwrap_or_default());
    document.insert("$defs".to_owned(), generator.take_definitions(true).into());
    Some(document.into())
}

/// All schemas, which share their definitions.
fn all() -> Value {
    let mut generator = generator();
    let schemas: BTreeMap<&str, Schema> = commands()
        .map(|(name, make)| (name, make(&mut generator)))
        .collect();
    let mut document = Map::new();
    document.extend(head());
    document.insert(
        "title".to_owned(),
        "What fwctl prints with --json, by command".into(),
    );
    document.insert("commands".to_owned(), json!(schemas));
    document.insert("$defs".to_owned(), generator.take_definitions(true).into());
    document.into()
}

fn head() -> Map<String, Value> {
    let mut head = Map::new();
    head.insert(
        "$schema".to_owned(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    head.insert("version".to_owned(), VERSION.into());
    head
}

fn text(document: &Value) -> Result<String, CliError> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

impl Schemas {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        let command = self.command.join(" ");
        let document = if command.is_empty() {
            all()
        } else {
            one(&command).ok_or_else(|| {
                CliError::Usage(format!(
                    "`{command}` is no command that prints JSON; say for instance `rule list`"
                ))
            })?
        };
        output::write(&text(&document)?)?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;

    /// Commands that print no JSON of their own.
    const TEXT_ONLY: [&str; 3] = ["completions", "man", "schema"];

    /// Leaves of the command line, and what is a command and has some below.
    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        let below: Vec<_> = command
            .get_subcommands()
            .filter(|below| below.get_name() != "help")
            .collect();
        if below.is_empty() || !command.is_subcommand_required_set() {
            found.push(name.to_owned());
        }
        for command in below {
            leaves(command, format!("{name} {}", command.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_a_schema() {
        let mut found = Vec::new();
        leaves(&Arguments::command(), "", &mut found);
        found.retain(|name| {
            !name.is_empty() && !TEXT_ONLY.contains(&name.split(' ').next().unwrap_or_default())
        });
        found.push("error".to_owned());
        let known: Vec<&str> = commands().map(|(name, _)| name).collect();
        for name in &found {
            assert!(known.contains(&&**name), "`{name}` has no schema");
        }
        for name in known {
            assert!(found.iter().any(|found| found == name), "`{name}` is no command");
        }
    }

    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let generated = text(&all()).expect("it is plain data");
        assert!(
            include_str!("../../schema.json") == generated,
            "the output has changed: cargo run --bin fwctl -- schema > firewall-agent/schema.json"
        );
    }

    #[test]
    fn schemas_stand_alone() {
        for (name, _) in commands() {
            let schema = one(name).expect("it is known");
            let text = schema.to_string();
            for part in text.split("\"#/$defs/").skip(1) {
                let definition = part.split('"').next().expect("it is closed");
                assert!(schema["$defs"][definition].is_object(), "{name}: {definition}");
            }
        }
        assert_eq!(one("rule paint"), None);
    }
}
