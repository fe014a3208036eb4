//! How the dashboard looks.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState},
};

use super::{
    app::App,
    rates::{RuleRate, short},
};
use crate::{
    cli::output::bytes,
    control::protocol::{EventInfo, HistoryEntry, Status},
};

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let [head, middle, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    header(frame, app, head);
    match &app.detail {
        Some(rule) => detail(frame, app, rule, middle),
        None => overview(frame, app, middle),
    }
    footer(frame, app, foot);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn coloured(app: &App, colour: Color) -> Style {
    if app.has_colour {
        Style::new().fg(colour)
    } else {
        Style::new()
    }
}

fn header(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(now) = app.now() else { return };
    let status = &now.status;
    let mut first = vec![Span::styled("fwctl top  ", bold())];
    first.push(Span::raw(format!("{}  {}", who(status), status.enforcing.name())));
    if status.mode != "normal" {
        first.push(Span::styled(
            format!("  {}", status.mode.to_uppercase()),
            coloured(app, Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED),
        ));
    }
    first.push(Span::raw(format!(
        "  generation {}  {}",
        status.generation,
        flows(status)
    )));
    let second = change(app, status);
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]), area);
}

fn who(status: &Status) -> &str {
    let host = status.host.as_deref().or(status.role.as_deref());
    host.unwrap_or("no policy")
}

fn flows(status: &Status) -> String {
    let of = |name: &str| {
        let table = status.tables.iter().find(|table| table.table == name);
        table.map_or((0, 0), |table| (table.used, table.capacity))
    };
    let ((flows, room), (half, _)) = (of("FLOWS"), of("HALF_FLOWS"));
    format!("flows {flows} of {room}, half open {half}")
}

/// The latest change, in a line.
fn change(app: &App, status: &Status) -> String {
    let failed = status
        .last_reload
        .as_ref()
        .and_then(|reload| reload.failure.as_ref());
    let failed = failed.map(|failure| format!("  LAST CHANGE FAILED: {}", failure.message));
    let pending = if status.pending {
        "  files changed, pending"
    } else {
        ""
    };
    let latest = app.changes().next().map(|one| {
        let [at, what, who, why] = words(one);
        format!("{what} of {at} by {who}{why}")
    });
    format!(
        "{}{pending}{}",
        latest.unwrap_or_else(|| "no change on record".to_owned()),
        failed.unwrap_or_default()
    )
}

/// When, what, who and why.
fn words(one: &HistoryEntry) -> [String; 4] {
    let (entry, record) = (&one.entry, &one.entry.record);
    let cause = record.cause.map_or(record.event.name(), |cause| cause.name());
    // A ban names the revision that it is beside.
    let made = record.cause.and(record.revision);
    let what = match made {
        Some(revision) => format!("revision {revision}"),
        None => cause.to_owned(),
    };
    let why = match (&record.why, made) {
        (Some(why), _) => format!(", {}", why.escape_debug()),
        (None, Some(_)) => format!(", {cause}"),
        (None, None) => String::new(),
    };
    let at = entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    [at, what, record.by.describe(), why]
}

fn overview(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let [upper, lower] =
        Layout::vertical([Constraint::Percentage(58), Constraint::Percentage(42)]).areas(area);
    rules(frame, app, upper);
    if app.shows_changes {
        return changes(frame, app, lower);
    }
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)])
        .spacing(2)
        .areas(lower);
    drops(frame, app, left);
    seen(frame, app, right);
}

fn block(title: String) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .title(Span::styled(title, bold()))
}

fn number(text: String) -> Cell<'static> {
    Cell::new(Line::from(text).alignment(Alignment::Right))
}

fn rules(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let rules = app.rules();
    let mut title = format!(" rules by {} ", app.sort.name());
    if app.is_typing || !app.filter.is_empty() {
        title.push_str(&format_filter(app));
    }
    let heading = Row::new([
        Cell::new("RULE"),
        Cell::new("DIR"),
        Cell::new("ACTION"),
        number("PKT/S".to_owned()),
        number("BYTE/S".to_owned()),
        number("PACKETS".to_owned()),
        number("BYTES".to_owned()),
    ])
    .style(bold());
    let widths = [
        Constraint::Min(12),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(12),
        Constraint::Length(10),
    ];
    let rows = rules.iter().map(|rule| row(app, rule));
    let table = Table::new(rows, widths)
        .header(heading)
        .block(block(title))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected((!app.chooses_source).then_some(app.selected));
    frame.render_stateful_widget(table, area, &mut state);
}

fn format_filter(app: &App) -> String {
    let cursor = if app.is_typing { "_" } else { "" };
    format!("with \"{}{cursor}\" ", app.filter)
}

fn row<'a>(app: &App, rule: &'a RuleRate) -> Row<'a> {
    let tone = match &*rule.action {
        "allow" => coloured(app, Color::Green),
        _ => coloured(app, Color::Red),
    };
    Row::new([
        Cell::new(&*rule.rule),
        Cell::new(&*rule.direction),
        Cell::new(Span::styled(&*rule.action, tone)),
        number(short(rule.packets_per_second)),
        number(short(rule.bytes_per_second)),
        number(rule.packets.to_string()),
        number(bytes(rule.bytes)),
    ])
}

fn drops(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let drops = app.drops();
    let rows = drops.iter().map(|reason| {
        Row::new([
            Cell::new(&*reason.reason),
            Cell::new(reason.direction),
            number(short(reason.packets_per_second)),
            number(reason.packets.to_string()),
        ])
    });
    let widths = [
        Constraint::Min(10),
        Constraint::Length(3),
        Constraint::Length(6),
        Constraint::Length(9),
    ];
    let heading = Row::new([
        Cell::new("REASON"),
        Cell::new("DIR"),
        number("PKT/S".to_owned()),
        number("PACKETS".to_owned()),
    ]);
    let table = Table::new(rows, widths)
        .header(heading.style(bold()))
        .block(block(" drops by reason ".to_owned()));
    frame.render_widget(table, area);
}

fn seen(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (title, seen) = if app.shows_ports {
        (" ports of logged packets, 1 min ", app.ports())
    } else {
        (" sources of logged packets, 1 min ", app.sources())
    };
    let rows = seen
        .iter()
        .map(|(name, count)| Row::new([Cell::new(&**name), number(count.to_string())]));
    let table = Table::new(rows, [Constraint::Min(10), Constraint::Length(6)])
        .block(block(title.to_owned()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let is_chosen = app.chooses_source && !app.shows_ports;
    let mut state = TableState::new().with_selected(is_chosen.then_some(app.selected_source));
    frame.render_stateful_widget(table, area, &mut state);
}

/// What has changed, the latest first.
fn changes(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let lines = app.changes().map(|one| {
        let [at, what, who, why] = words(one);
        Line::from(format!("{at}  {what:<13} {who}{why}"))
    });
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(
        Paragraph::new(lines).block(block(" recent changes ".to_owned())),
        area,
    );
}

fn detail(frame: &mut Frame<'_>, app: &App, rule: &str, area: Rect) {
    let rules = app.rules();
    let rate = rules.iter().find(|one| one.rule == rule);
    let mut lines = Vec::new();
    if let Some(rate) = rate {
        lines.push(Line::from(format!(
            "{} {} {}   {} packets/s, {} bytes/s   {} packets, {}",
            rate.action,
            rate.direction,
            rate.origin,
            short(rate.packets_per_second),
            short(rate.bytes_per_second),
            rate.packets,
            bytes(rate.bytes)
        )));
    }
    lines.push(Line::default());
    if let Some(text) = &app.detail_text {
        lines.extend(text.lines().map(|line| Line::from(line.to_owned())));
        lines.push(Line::default());
    }
    lines.push(Line::styled("logged packets, the latest first", bold()));
    let room = usize::from(area.height).saturating_sub(lines.len() + 1).max(1);
    // As many as there is room for, the chosen one among them.
    let first = (app.selected_event + 1).saturating_sub(room);
    let events = app.events_of(rule).enumerate().skip(first).take(room);
    lines.extend(events.map(|(number, event)| logged(event, number == app.selected_event)));
    frame.render_widget(Paragraph::new(lines).block(block(format!(" {rule} "))), area);
}

fn logged(event: &EventInfo, is_chosen: bool) -> Line<'_> {
    let style = if is_chosen {
        Style::new().add_modifier(Modifier::REVERSED)
    } else {
        Style::new()
    };
    let text = format!(
        "{} {:<6} {} {}",
        event.at.strftime("%H:%M:%S"),
        event.verdict,
        event.interface,
        event.packet
    );
    Line::styled(text, style)
}

fn footer(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    if let Some(address) = &app.asks_ban {
        let question = format!("ban {address} for an hour?  y yes  g for good  any other key: no");
        return frame.render_widget(Paragraph::new(Line::styled(question, reversed)), area);
    }
    if let Some(said) = &app.said {
        return frame.render_widget(Paragraph::new(Line::styled(said.clone(), bold())), area);
    }
    let line = match (&app.trouble, app.is_paused) {
        (Some(trouble), _) => Line::styled(
            format!("the agent is not heard: {trouble}"),
            coloured(app, Color::Red).add_modifier(Modifier::BOLD),
        ),
        (None, true) => Line::styled("PAUSED  p goes on", reversed),
        (None, false) if app.detail.is_some() => {
            Line::from("Esc back  Up/Down packet  b ban its source  q quit")
        }
        (None, false) => {
            let lost = if app.lost > 0 {
                format!("  {} lost", app.lost)
            } else {
                String::new()
            };
            Line::from(format!(
                "q quit  s sort  / find  p pause  Enter rule  c ports  h changes  b ban{lost}"
            ))
        }
    };
    frame.render_widget(Paragraph::new(line), area);
}

/// The picture as text, each line without trailing blanks.
pub(super) fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    (area.top()..area.bottom()).fold(String::new(), |mut text, y| {
        let line: String = (area.left()..area.right())
            .filter_map(|x| buffer.cell((x, y)))
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests;
