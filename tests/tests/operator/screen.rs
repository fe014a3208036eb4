//! What a terminal shows of what was written to it.

use std::collections::BTreeMap;

/// As much of a terminal as full-screen programs here make use of.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    cells: BTreeMap<(usize, usize), char>,
    row: usize,
    column: usize,
    /// Whether the alternate screen is shown, and the one from before kept.
    pub(crate) is_alternate: bool,
    pub(crate) hides_cursor: bool,
    /// Whether anything was given a colour.
    pub(crate) has_colour: bool,
}

impl Screen {
    /// After everything that was written.
    pub(crate) fn of(written: &str) -> Self {
        let mut screen = Self::default();
        let mut letters = written.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\x1b' => screen.obey(&mut letters),
                '\r' => screen.column = 0,
                '\n' => screen.row += 1,
                letter => {
                    screen.cells.insert((screen.row, screen.column), letter);
                    screen.column += 1;
                }
            }
        }
        screen
    }

    /// A control sequence (ECMA-48): `[`, parameters, and a letter that says what to do.
    fn obey(&mut self, letters: &mut impl Iterator<Item = char>) {
        if letters.next() != Some('[') {
            return;
        }
        let mut parameters = String::new();
        for letter in letters {
            if !('@'..='~').contains(&letter) {
                parameters.push(letter);
                continue;
            }
            let mut numbers = parameters.split(';').map(|number| number.parse().unwrap_or(1));
            match (letter, parameters.as_str()) {
                ('H', _) => {
                    let mut place = || numbers.next().unwrap_or(1_usize).saturating_sub(1);
                    (self.row, self.column) = (place(), place());
                }
                ('J', _) => self.cells.clear(),
                ('h', "?1049") => self.is_alternate = true,
                ('l', "?1049") => self.is_alternate = false,
                ('l', "?25") => self.hides_cursor = true,
                ('h', "?25") => self.hides_cursor = false,
                // 39 and 49 take colour back, and stand in plain pictures too.
                ('m', _) => {
                    self.has_colour |= numbers.any(|number| matches!(number, 30..=38 | 40..=48 | 90..));
                }
                _ => {}
            }
            return;
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let (mut row, mut column) = (0, 0);
        for (place, letter) in &self.cells {
            while row < place.0 {
                text.push('\n');
                (row, column) = (row + 1, 0);
            }
            text.extend(std::iter::repeat_n(' ', place.1 - column));
            text.push(*letter);
            column = place.1 + 1;
        }
        text
    }

    /// Columns and rows that are written to.
    pub(crate) fn size(&self) -> (usize, usize) {
        let columns = self.cells.keys().map(|(_, column)| column + 1).max();
        let rows = self.cells.keys().map(|(row, _)| row + 1).max();
        (columns.unwrap_or(0), rows.unwrap_or(0))
    }
}
