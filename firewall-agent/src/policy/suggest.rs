//! "Did you mean": the known name that is closest to a misspelt one.

/// Names so far apart (in edits, by length of the written one) are not taken for each other.
fn tolerance(written: &str) -> usize {
    match written.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    }
}

/// The known name that is closest to `written`; of equally close ones the first in the alphabet.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerance = tolerance(written);
    known
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(written.chars().count()) <= tolerance)
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["management", "monitoring", "web", "db"];

    #[test]
    fn finds_a_slip_of_the_finger() {
        assert_eq!(nearest("managment", KNOWN), Some("management"));
        assert_eq!(nearest("wbe", KNOWN), Some("web"));
    }

    #[test]
    fn does_not_guess_wildly() {
        assert_eq!(nearest("xy", KNOWN), None);
        assert_eq!(nearest("printers", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }
}
