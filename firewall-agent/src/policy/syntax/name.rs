//! Names that operators give to things.

use super::findings::Problem;

/// Longest name; a rule's name plus `/out` is a metric label and fits a line.
pub(crate) const MAX_NAME: usize = 63;

/// Words that mean something by themselves and name nothing else.
pub(crate) const RESERVED: [&str; 5] = ["any", "default", "not", "self", "stranger"];

/// Lower-case words of letters and digits, joined by single hyphens, beginning with a letter.
pub(crate) fn is_well_formed(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// A name that may be given to something new.
pub(crate) fn check_new(name: &str) -> Result<(), Problem> {
    if RESERVED.contains(&name) {
        return Err(Problem::new(format!(
            "`{name}` has a meaning of its own and cannot be used as a name"
        )));
    }
    check(name)
}

/// A name that may refer to something.
pub(crate) fn check(name: &str) -> Result<(), Problem> {
    if is_well_formed(name) {
        return Ok(());
    }
    let problem = Problem::new(format!("`{}` is not a name", name.escape_debug()));
    Err(match kebab(name) {
        Some(better) => problem.hint(format!("write `{better}`")),
        None => problem.hint(format!(
            "a name is lower-case words joined by hyphens, beginning with a letter, at most {MAX_NAME} characters"
        )),
    })
}

/// The name in the form that would be accepted, if that is only a matter of case and separators.
fn kebab(name: &str) -> Option<String> {
    let better = name.trim().to_ascii_lowercase().replace(['_', ' ', '.'], "-");
    is_well_formed(&better).then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kebab_case_is_a_name() {
        for name in ["a", "web-1", "mysql-from-web", "x2"] {
            assert_eq!(check_new(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn other_forms_are_not() {
        for name in [
            "",
            "1a",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "a b",
            "ä",
            &"a".repeat(64),
        ] {
            assert!(check_new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_slip_of_form_is_corrected() {
        let problem = check("Web_1").expect_err("not a name");
        assert_eq!(problem.hint.as_deref(), Some("write `web-1`"));
    }

    #[test]
    fn words_of_the_language_name_nothing() {
        for name in RESERVED {
            assert!(check_new(name).is_err(), "{name}");
        }
    }
}
