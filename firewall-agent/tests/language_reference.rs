//! `rules/README.md` describes the language that there is.

use std::{fs, path::PathBuf};

use firewall_agent::{
    diagnostic::{Code, SourceFile, SourceSet, Style, render_text},
    policy::{Options, Scope, built_in_services, check, language_keys, read_sources},
};

fn rules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../rules")
}

fn reference() -> String {
    fs::read_to_string(rules().join("README.md")).expect("it is there")
}

#[test]
fn every_code_is_listed_with_its_meaning() {
    let reference = reference();
    for code in Code::ALL {
        let row = format!(
            "| {} | {} | {} |",
            code.id(),
            code.severity().as_str(),
            code.about()
        );
        assert!(reference.contains(&row), "missing: {row}");
    }
}

#[test]
fn every_built_in_service_is_listed_with_its_ports() {
    let reference = reference();
    for (name, items) in built_in_services() {
        let cells = format!("| `{name}` | {} |", items.join(", "));
        assert!(reference.contains(&cells), "missing: {cells}");
    }
}

#[test]
fn every_key_is_described() {
    let reference = reference();
    for key in language_keys() {
        let described = [
            format!("`{key}`"),
            format!("[{key}]"),
            format!("`[[{key}]]`"),
            format!("[{key}."),
        ];
        assert!(
            described.iter().any(|form| reference.contains(form)),
            "missing: {key}"
        );
    }
}

/// The examples, without those that are whole files, follow each other in one role file.
#[test]
fn the_examples_can_be_read() {
    let reference = reference();
    let examples: Vec<&str> = reference
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() > 5);
    for example in examples {
        let whole = example.contains("layer = ");
        let text = if whole {
            example.to_owned()
        } else {
            format!("layer = \"role web\"\n{example}")
        };
        let mut sources: SourceSet = read_sources(&[rules()])
            .iter()
            .map(|(_, file)| file.clone())
            .filter(|file| {
                !file
                    .name()
                    .ends_with(if whole { "inventory.toml" } else { "web.toml" })
            })
            .collect();
        sources.add(SourceFile::new("example.toml", text));
        let checked = check(
            sources,
            &Options {
                scope: Scope::Files,
                ..Options::default()
            },
        );
        for one in &checked.diagnostics {
            let in_example = checked.sources.file(one.primary.place.file).name().as_ref() == "example.toml";
            // What the example leaves out may be missing; what it says has to be understood.
            let misread = one.is_error() && one.code <= Code::UndefinedName;
            assert!(
                !(in_example && misread),
                "{}",
                render_text(one, &checked.sources, Style::Plain)
            );
        }
    }
}
