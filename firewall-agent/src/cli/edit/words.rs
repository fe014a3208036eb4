//! Words of a line, as a shell would see them.

/// Splits a line at blanks that are not quoted. Single quotes keep everything, double quotes and a backslash as in a
/// shell; `#` at the start of a word begins a comment.
pub(in crate::cli) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' => words.extend(word.take()),
            '#' if word.is_none() => break,
            '\\' => {
                let next = characters.next().ok_or("nothing follows the last backslash")?;
                word.get_or_insert_default().push(next);
            }
            quote @ ('\'' | '"') => {
                let text = word.get_or_insert_default();
                quoted(&mut characters, quote, text)?;
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(characters: &mut std::str::Chars<'_>, quote: char, text: &mut String) -> Result<(), String> {
    while let Some(character) = characters.next() {
        match character {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    Err(format!("a quote ({quote}) is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_in_a_shell() {
        for (line, expected) in [
            ("", vec![]),
            ("  # a comment", vec![]),
            (
                "rule add x --reason 'two words' # why",
                vec!["rule", "add", "x", "--reason", "two words"],
            ),
            (r#"a "b \"c\" d" e\ f"#, vec!["a", "b \"c\" d", "e f"]),
            ("a#b ''", vec!["a#b", ""]),
            ("ä ö\r", vec!["ä", "ö"]),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(line), Ok(expected), "{line}");
        }
        for wrong in ["a 'b", "a \"b", "a\\"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }
}
