//! An error with its causes, in one line.

use std::error::Error;

/// The error and what caused it, from the outside in. A cause that the line above has already said is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot pin")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_and_are_not_said_twice() {
        assert_eq!(
            chain(&Outer(io::Error::other("no space"))),
            "cannot pin: no space"
        );
        assert_eq!(chain(&io::Error::other("no space")), "no space");
    }
}
