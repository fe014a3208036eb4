//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::{App, BAN_SECONDS, Wish};

/// Does what a key says.
pub(super) fn press(app: &mut App, key: KeyEvent) -> Wish {
    if key.kind == KeyEventKind::Release {
        return Wish::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Wish::Quit;
    }
    app.said = None;
    if let Some(address) = app.asks_ban.take() {
        return answer(app, address, key.code);
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
        KeyCode::Char('h') => app.shows_changes = !app.shows_changes,
        KeyCode::Tab => app.chooses_source = !app.chooses_source,
        KeyCode::Char('b') => {
            app.asks_ban = app.chosen_source();
            if app.asks_ban.is_none() {
                app.said = Some("choose a source first: Tab, then Up and Down".to_owned());
            }
        }
        KeyCode::Down | KeyCode::Char('j') => *chosen(app) += 1,
        KeyCode::Up | KeyCode::Char('k') => {
            let chosen = chosen(app);
            *chosen = chosen.saturating_sub(1);
        }
        KeyCode::Enter => {
            app.selected_event = 0;
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

/// What Up and Down choose.
const fn chosen(app: &mut App) -> &mut usize {
    if app.detail.is_some() {
        &mut app.selected_event
    } else if app.chooses_source {
        &mut app.selected_source
    } else {
        &mut app.selected
    }
}

/// The answer to whether an address is to be banned. Whatever is not yes is no.
fn answer(app: &mut App, address: String, key: KeyCode) -> Wish {
    let seconds = match key {
        KeyCode::Char('y') => Some(BAN_SECONDS),
        KeyCode::Char('g') => None,
        _ => {
            app.said = Some(format!("{address} is not banned"));
            return Wish::Nothing;
        }
    };
    Wish::Ban { address, seconds }
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
