//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::{App, Wish};

/// Does what a key says.
pub(super) fn press(app: &mut App, key: KeyEvent) -> Wish {
    if key.kind == KeyEventKind::Release {
        return Wish::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Wish::Quit;
    }
    if app.is_typing {
        type_filter(app, key.code);
        return Wish::Nothing;
    }
    match key.code {
        KeyCode::Char('q') => return Wish::Quit,
        KeyCode::Esc | KeyCode::Backspace => {
            app.detail = None;
            app.detail_text = None;
        }
        KeyCode::Char('s') => app.sort = app.sort.next(),
        KeyCode::Char('p') => app.is_paused = !app.is_paused,
        KeyCode::Char('c') => app.shows_ports = !app.shows_ports,
        KeyCode::Char('/') => app.is_typing = true,
        KeyCode::Down | KeyCode::Char('j') => app.selected += 1,
        KeyCode::Up | KeyCode::Char('k') => app.selected = app.selected.saturating_sub(1),
        KeyCode::Enter => {
            let chosen = app.rules().get(app.selected).map(|rule| rule.rule.clone());
            app.detail.clone_from(&chosen);
            app.detail_text = None;
            return chosen.map_or(Wish::Nothing, Wish::Rule);
        }
        _ => {}
    }
    app.keep_selected();
    Wish::Nothing
}

fn type_filter(app: &mut App, key: KeyCode) {
    match key {
        KeyCode::Enter => app.is_typing = false,
        KeyCode::Esc => {
            app.is_typing = false;
            app.filter.clear();
        }
        KeyCode::Backspace => {
            app.filter.pop();
        }
        KeyCode::Char(letter) => app.filter.push(letter),
        _ => {}
    }
    app.keep_selected();
}
