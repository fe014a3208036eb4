//! Reads the settings file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::Settings;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file does not say what settings can say. The message shows the place.
    #[error("{}:{line}:{column}: {message}\n{source}", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from one.
        line: usize,
        /// Column in characters, from one.
        column: usize,
        /// What is wrong, in one line.
        message: String,
        /// With an excerpt.
        source: Box<toml::de::Error>,
    },
}

/// Reads and checks the settings file.
pub fn load(path: &Path) -> Result<Settings, SettingsError> {
    parse(&read(path)?, path)
}

pub(super) fn read(path: &Path) -> Result<String, SettingsError> {
    fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Checks the text of a settings file; relative paths in it start at the file's directory.
pub fn parse(text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let settings: Settings = toml::from_str(text).map_err(|source| parse_error(text, path, source))?;
    Ok(settings.anchored(path.parent().unwrap_or(Path::new("."))))
}

fn parse_error(text: &str, path: &Path, source: toml::de::Error) -> SettingsError {
    let (line, column) = source.span().map_or((1, 1), |span| position(text, span.start));
    SettingsError::Parse {
        path: path.to_owned(),
        line,
        column,
        message: source.message().to_owned(),
        source: Box::new(source),
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, Path::new("agent.toml"))
            .expect_err("the settings are wrong")
            .to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = error("role = \"web\"\nhots = \"web1\"\n");
        assert!(
            error.starts_with("agent.toml:2:1: unknown field `hots`"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_place() {
        for (text, start) in [
            ("[metrics]\nlisten = \"9690\"\n", "agent.toml:2:10: "),
            (
                "[failsafe]\nmanagement_sources = [\"10.0.0.1/8\"]\n",
                "agent.toml:2:22: ",
            ),
            (
                "[failsafe]\nmanagement_ports = [1, 2, 3, 4, 5]\n",
                "agent.toml:2:20: ",
            ),
            ("[failsafe]\nmanagement_ports = [0]\n", "agent.toml:2:20: "),
            ("[tables]\nflows = 12\n", "agent.toml:2:9: "),
            (
                "[[attach]]\ninterface = \"eth[\"\nmode = \"native\"\n",
                "agent.toml:2:13: ",
            ),
            (
                "[[attach]]\ninterface = \"eth0\"\nmode = \"turbo\"\n",
                "agent.toml:3:8: ",
            ),
            ("role = ", "agent.toml:1:8: "),
        ] {
            let error = error(text);
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load(Path::new("/nonexistent/agent.toml")).expect_err("there is no such file");
        assert!(error.to_string().contains("/nonexistent/agent.toml"), "{error}");
    }
}
