//! Diagnostics drawn for people, with the lines they speak of.

use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};

use super::{Diagnostic, FileId, Label, Severity, SourceFile, SourceSet};

/// Labels at most so many lines apart share one excerpt; the lines between them are folded.
const EXCERPT_LINES: usize = 200;

/// How a diagnostic is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// ASCII without colour.
    Plain,
    /// Box characters and colour, for a terminal.
    Coloured,
}

/// Draws a finding over several lines, without a final line end.
#[must_use]
pub fn render_text(diagnostic: &Diagnostic, sources: &SourceSet, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled().decor_style(DecorStyle::Unicode),
    };
    let level = match diagnostic.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code.id());
    let mut report = vec![Group::with_title(title).elements(snippets(diagnostic, sources))];
    if !diagnostic.targets.is_empty() {
        report.push(Group::with_title(
            Level::NOTE.secondary_title(format!("on {}", diagnostic.targets.join(", "))),
        ));
    }
    if let Some(hint) = &diagnostic.hint {
        report.push(Group::with_title(Level::HELP.secondary_title(hint)));
    }
    renderer.render(&report)
}

/// Labels that one excerpt shows.
struct Excerpt<'a> {
    file: FileId,
    first_line: usize,
    last_line: usize,
    labels: Vec<(AnnotationKind, &'a Label)>,
}

fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceSet) -> Vec<Element<'a>> {
    let mut excerpts: Vec<Excerpt<'_>> = Vec::new();
    let labels = std::iter::once((AnnotationKind::Primary, &diagnostic.primary)).chain(
        diagnostic
            .secondary
            .iter()
            .map(|label| (AnnotationKind::Context, label)),
    );
    for (kind, label) in labels {
        place_label(&mut excerpts, kind, label, sources.file(label.place.file));
    }
    excerpts
        .iter()
        .map(|excerpt| {
            let file = sources.file(excerpt.file);
            // There is nothing to show of a file that could not be read.
            if file.text().is_empty() {
                return Origin::path(file.name().as_ref()).into();
            }
            snippet(excerpt, file).into()
        })
        .collect()
}

fn place_label<'a>(
    excerpts: &mut Vec<Excerpt<'a>>,
    kind: AnnotationKind,
    label: &'a Label,
    file: &SourceFile,
) {
    let (first, last) = (
        file.line_index(label.place.span.start),
        file.line_index(label.place.span.end),
    );
    let near = excerpts.iter_mut().find(|excerpt| {
        excerpt.file == label.place.file
            && excerpt.last_line.max(last) - excerpt.first_line.min(first) < EXCERPT_LINES
    });
    if let Some(excerpt) = near {
        excerpt.first_line = excerpt.first_line.min(first);
        excerpt.last_line = excerpt.last_line.max(last);
        excerpt.labels.push((kind, label));
    } else {
        let labels = vec![(kind, label)];
        excerpts.push(Excerpt {
            file: label.place.file,
            first_line: first,
            last_line: last,
            labels,
        });
    }
}

/// Only the lines around the labels are handed on, since the renderer looks at all the text it gets.
fn snippet<'a>(excerpt: &Excerpt<'a>, file: &'a SourceFile) -> Snippet<'a, Annotation<'a>> {
    let first = excerpt.first_line.saturating_sub(1);
    let last = (excerpt.last_line + 1).min(file.line_count() - 1);
    let lines = file.lines(first, last);
    let annotations = excerpt.labels.iter().map(|(kind, label)| {
        let text = Some(label.text.as_str()).filter(|text| !text.is_empty());
        kind.span(shifted(&label.place.span, &lines, file.text()))
            .label(text)
    });
    Snippet::source(&file.text()[lines.clone()])
        .line_start(first + 1)
        .path(file.name().as_ref())
        .annotations(annotations)
}

/// The span within the excerpt, cut to it and to whole characters.
fn shifted(span: &Range<usize>, lines: &Range<usize>, text: &str) -> Range<usize> {
    let cut = |offset: usize| text.floor_char_boundary(offset.clamp(lines.start, lines.end)) - lines.start;
    cut(span.start)..cut(span.end)
}
