//! Text that a terminal shows as it is: what operators, files and packets say must not command it.

/// Text without characters that a terminal takes for commands or that reorder what is shown; colours stay, as far as they
/// hide nothing. Lines and tabs stay, too.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = if let Some(length) = colour(rest) {
            shown.push_str(&rest[..length]);
            length
        } else if matches!(character, '\n' | '\t') || !is_command(character) {
            shown.push(character);
            character.len_utf8()
        } else {
            shown.extend(character.escape_unicode());
            character.len_utf8()
        };
        rest = &rest[length..];
    }
    shown
}

/// Control characters, and those that have what follows shown in another order (Unicode Standard Annex #9).
pub(super) fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Length of the colour that the text begins with, if it does (ECMA-48, SGR). Concealed text and backgrounds are none:
/// text in the colour of its background is not to be seen.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    if !parameters[end..].starts_with('m') {
        return None;
    }
    let hides = |parameter: &str| matches!(parameter, "8" | "30" | "48") || is_background(parameter);
    let plain = !parameters[..end].split(';').any(hides);
    // In `38;5;8` the last number is a colour and nothing else.
    let is_of_palette = parameters[..end].starts_with("38;5;");
    (plain || is_of_palette && parameters[..end].split(';').count() == 3).then_some("\u{1b}[".len() + end + 1)
}

fn is_background(parameter: &str) -> bool {
    let number = parameter.parse::<u32>().unwrap_or_default();
    (40..=47).contains(&number) || (100..=107).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_and_not_obeyed() {
        for (text, shown) in [
            ("plain, ünï, e\u{301}, 汉字\n\t", "plain, ünï, e\u{301}, 汉字\n\t"),
            ("a\u{7}\rb\u{9b}2J", "a\\u{7}\\u{d}b\\u{9b}2J"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            (
                "\u{1b}[1m\u{1b}[31mbad\u{1b}[0m",
                "\u{1b}[1m\u{1b}[31mbad\u{1b}[0m",
            ),
            ("\u{1b}[38;5;12mblue", "\u{1b}[38;5;12mblue"),
            ("\u{1b}[8mhidden", "\\u{1b}[8mhidden"),
            ("\u{1b}[30;40mhidden", "\\u{1b}[30;40mhidden"),
            ("\u{1b}[", "\\u{1b}["),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }
}
