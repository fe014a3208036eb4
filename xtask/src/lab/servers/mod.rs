//! The lab's servers, one file each: its configuration, its start, and how to tell that it can be used.

pub(crate) mod database;
pub(crate) mod echo;
pub(crate) mod load_balancer;
pub(crate) mod monitoring;
pub(crate) mod node_exporter;
pub(crate) mod ssh;
pub(crate) mod web;

use std::{fs, path::Path};

use anyhow::{Result, bail};

/// Fills a template: `@@name@@` becomes the value of that name. Every name has to occur, and none may be left.
pub(crate) fn render(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        let mark = format!("@@{name}@@");
        if !text.contains(&mark) {
            bail!("the template has no {mark}");
        }
        text = text.replace(&mark, value);
    }
    if text.contains("@@") {
        bail!("the template has a mark without a value");
    }
    Ok(text)
}

fn write(path: &Path, template: &str, values: &[(&str, &str)]) -> Result<()> {
    Ok(fs::write(path, render(template, values)?)?)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_filled() {
        assert_eq!(render("a @@b@@ c @@b@@", &[("b", "1")]).unwrap(), "a 1 c 1");
    }

    #[test]
    fn a_mark_without_value_and_a_value_without_mark_are_errors() {
        assert!(render("a @@b@@", &[]).is_err());
        assert!(render("a", &[("b", "1")]).is_err());
    }
}
