//! Manual pages of files, from the documents that describe them.

use std::fmt::Write;

use jiff::Timestamp;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The page of the policy language, from its reference.
pub(super) fn policy(reference: &str, epoch: u64) -> String {
    let mut page = heading("FIREWALL-POLICY", epoch);
    page.push_str(
        ".SH NAME\nfirewall-policy \\- the policy language of firewall-agent\n\
         .SH SYNOPSIS\n.I /etc/firewall-agent/policy/*.toml\n.SH DESCRIPTION\n",
    );
    page.push_str(&from_markdown(reference));
    page.push_str(".SH SEE ALSO\n.BR fwctl (1),\n.BR fwctl-check (1),\n.BR firewall-agent.toml (5),\n.BR firewall-agent (8)\n");
    page
}

/// The page of the settings, from the example that shows every key.
pub(super) fn settings(example: &str, epoch: u64) -> String {
    let mut page = heading("FIREWALL-AGENT.TOML", epoch);
    page.push_str(
        ".SH NAME\nfirewall-agent.toml \\- settings of firewall-agent\n\
         .SH SYNOPSIS\n.I /etc/firewall-agent/agent.toml\n.SH DESCRIPTION\n\
         A TOML file; unknown keys are errors. This is every key, with its default unless the comment says otherwise:\n\
         .PP\n.nf\n.ft CR\n",
    );
    page.push_str(&verbatim(example));
    page.push_str(
        ".ft R\n.fi\n.PP\nWhere a package has installed the file,\n\
         .B enforce_files_at_first_start\nis false in it: nothing is filtered until the first\n\
         .BR \"fwctl apply --confirm 60s\" .\n\
         .PP\nAn agent that finds the file broken at its start goes on with its copy of what it last started with,\n\
         .I settings.toml\nin the state directory, and says so in its log, in\n.B fwctl status\nand in the metric\n.BR firewall_settings .\n\
         .B firewall-agent check\\-settings\nsays whether the file is right.\n\
         .PP\nPolicy files that lie elsewhere have to be the user's who runs the agent, and to be named in\n\
         .B ReadWritePaths=\nof its unit, for edits to be written back.\n\
         .SH SEE ALSO\n.BR firewall-agent (8),\n.BR firewall-policy (5),\n.BR fwctl (1)\n",
    );
    page
}

fn heading(title: &str, epoch: u64) -> String {
    let day = i64::try_from(epoch)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let day = day.unwrap_or_default().strftime("%Y-%m-%d").to_string();
    format!(
        ".\\\" Made by cargo xtask dist.\n.TH {title} 5 {day} \"firewall-agent {}\"\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Text in which nothing means anything to roff.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
}

/// Lines that stand as they are; one that begins with a dot would be a request.
fn verbatim(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| format!("\\&{}\n", escaped(line)))
        .collect();
    lines.concat()
}

/// Headings, paragraphs, lists, tables and code of a document. Its first heading is the page's own.
fn from_markdown(text: &str) -> String {
    let mut page = Page::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
    /// Of a heading, a paragraph, a cell: a line of its own in the page.
    line: String,
    is_code: bool,
    /// In a table: the cells of the row so far.
    cells: Option<Vec<String>>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => {
                self.is_code = true;
                self.out.push_str(".PP\n.nf\n.RS 4\n");
            }
            Event::End(TagEnd::CodeBlock) => {
                self.is_code = false;
                self.out.push_str(".RE\n.fi\n");
            }
            Event::Text(text) if self.is_code => self.out.push_str(&verbatim(&text)),
            Event::Text(text) => self.line.push_str(&escaped(&text)),
            Event::Code(text) => {
                let _ = write!(self.line, "\\fB{}\\fR", escaped(&text));
            }
            Event::SoftBreak | Event::HardBreak => self.line.push(' '),
            Event::Start(Tag::Strong) => self.line.push_str("\\fI"),
            Event::End(TagEnd::Strong) => self.line.push_str("\\fR"),
            Event::End(TagEnd::Heading(level)) => match level as u8 {
                1 => self.line.clear(),
                2 => self.end_line(".SH "),
                _ => self.end_line(".SS "),
            },
            Event::Start(Tag::Paragraph) if self.cells.is_none() => self.out.push_str(".PP\n"),
            Event::Start(Tag::Item) => self.out.push_str(".IP \\(bu 2\n"),
            Event::End(TagEnd::Paragraph | TagEnd::Item) => self.end_line("\\&"),
            Event::Start(Tag::TableHead | Tag::TableRow) => self.cells = Some(Vec::new()),
            Event::End(TagEnd::TableCell) => {
                let cell = std::mem::take(&mut self.line);
                self.cells.get_or_insert_default().push(cell);
            }
            // The columns' names say nothing that the entries do not.
            Event::End(TagEnd::TableHead) => self.cells = None,
            Event::End(TagEnd::TableRow) => self.end_row(),
            _ => {}
        }
    }

    fn end_line(&mut self, before: &str) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let _ = writeln!(self.out, "{before}{line}");
        }
    }

    /// The first cell is what the others are about.
    fn end_row(&mut self) {
        let cells = self.cells.take().unwrap_or_default();
        let Some((first, others)) = cells.split_first() else {
            return;
        };
        let others: Vec<&str> = others
            .iter()
            .map(|cell| &**cell)
            .filter(|cell| !cell.is_empty())
            .collect();
        let _ = write!(self.out, ".TP\n\\&{first}\n\\&{}\n", others.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_page() {
        let page = from_markdown(
            "# Title\n\nOne `a-b` and **two**.\n\n## Part\n\n```toml\n.key = 'x'\n```\n\n\
             | key | |\n| --- | --- |\n| `from` | who |\n\n- a point\n",
        );
        for line in [
            "\\&One \\fBa\\-b\\fR and \\fItwo\\fR.",
            ".SH Part",
            "\\&.key = \\(aqx\\(aq",
            ".TP",
            "\\&\\fBfrom\\fR",
            "\\&who",
            "\\&a point",
        ] {
            assert!(page.lines().any(|other| other == line), "{line}:\n{page}");
        }
        assert!(!page.contains("Title"));
    }

    #[test]
    fn no_line_of_a_document_is_taken_for_a_request() {
        let page = from_markdown("Text\n.SH is no heading\n\n    .code\n");
        assert!(
            page.lines()
                .all(|line| !line.starts_with(".SH") && line != ".code"),
            "{page}"
        );
    }
}
