//! Where settings are from: their file, or the copy of what the agent has last started with where that is broken.

use std::{
    env, fs, io,
    path::{Path, PathBuf, absolute},
};

use super::{Settings, SettingsError, default_state_dir, file};
use crate::state::durable::{self, PRIVATE};

/// The copy's name in the state directory.
const COPY: &str = "settings.toml";

/// What systemd sets where a unit has a `StateDirectory=` (`systemd.exec(5)`).
const STATE_VARIABLE: &str = "STATE_DIRECTORY";

/// Settings, and where they are from if they are from anywhere.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Their file, and what it said.
    pub source: Option<SettingsSource>,
}

/// The file of the settings in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsSource {
    /// The file.
    path: PathBuf,
    /// The text that is in use: the file's, or its copy's.
    text: String,
}

/// How the file on disk stands to what is in use.
#[derive(Debug)]
pub(crate) enum OnDisk {
    /// The same.
    InUse,
    /// It says something else, and could be used.
    Changed,
    /// It cannot be used.
    Broken(SettingsError),
}

impl From<Settings> for Loaded {
    fn from(settings: Settings) -> Self {
        Self {
            settings,
            source: None,
        }
    }
}

/// Reads and checks the settings file. Where it cannot be used, and what the agent has last started with is known, it is
/// that, and the error says why.
pub fn load_or_copy(path: &Path) -> Result<(Loaded, Option<SettingsError>), SettingsError> {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    let (text, error) = match file::read(&path) {
        Ok(text) => match file::parse(&text, &path) {
            Ok(settings) => return Ok((Loaded::new(settings, path, text), None)),
            Err(error) => (text, error),
        },
        Err(error) => (String::new(), error),
    };
    let mut directories = state_directories(&text, &path).into_iter();
    match directories.find_map(|directory| read_copy(&directory, &path)) {
        Some((settings, text)) => Ok((Loaded::new(settings, path, text), Some(error))),
        None => Err(error),
    }
}

impl Loaded {
    fn new(settings: Settings, path: PathBuf, text: String) -> Self {
        Self {
            settings,
            source: Some(SettingsSource { path, text }),
        }
    }
}

impl SettingsSource {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How the file stands now.
    pub(crate) fn on_disk(&self) -> OnDisk {
        match file::read(&self.path) {
            Ok(text) if text == self.text => OnDisk::InUse,
            Ok(text) => match file::parse(&text, &self.path) {
                Ok(_) => OnDisk::Changed,
                Err(error) => OnDisk::Broken(error),
            },
            Err(error) => OnDisk::Broken(error),
        }
    }

    /// Keeps what is in use for a start that finds the file broken; durable when it returns.
    pub(crate) fn keep(&self, state_dir: &Path) -> io::Result<()> {
        let path = state_dir.join(COPY);
        let text = format!("{}{}", head(&self.path), self.text);
        // Nothing is written that is there: the disk may be full.
        if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        durable::replace(&path, text.as_bytes(), PRIVATE)
    }
}

/// The first line of a copy. Settings that are looked for elsewhere are others.
fn head(of: &Path) -> String {
    format!("# Copy of {}, as an agent last started with it.\n", of.display())
}

fn read_copy(directory: &Path, of: &Path) -> Option<(Settings, String)> {
    let text = fs::read_to_string(directory.join(COPY)).ok()?;
    let text = text.strip_prefix(&head(of))?;
    let settings = file::parse(text, of).ok()?;
    // One that says otherwise was left behind where the state was kept formerly.
    (settings.state_dir == directory).then(|| (settings, text.to_owned()))
}

/// Where the state may be kept: as a broken file still says, as systemd says, or where it is kept by default.
fn state_directories(text: &str, path: &Path) -> Vec<PathBuf> {
    let base = path.parent().unwrap_or(Path::new("/"));
    let said = text.lines().find_map(said_in_line);
    let systemd = env::var(STATE_VARIABLE).ok();
    let systemd = systemd.and_then(|all| all.split(':').next().map(PathBuf::from));
    let all = [said, systemd, Some(default_state_dir())];
    all.into_iter()
        .flatten()
        .map(|directory| base.join(directory))
        .collect()
}

fn said_in_line(line: &str) -> Option<PathBuf> {
    let table: toml::Table = toml::from_str(line).ok()?;
    Some(table.get("state_dir")?.as_str()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().expect("a directory"));
            fs::create_dir(place.0.path().join("state")).expect("made");
            place
        }

        fn settings(&self) -> PathBuf {
            self.0.path().join("agent.toml")
        }

        fn write(&self, text: &str) {
            fs::write(self.settings(), text).expect("ours");
        }

        /// What a start with these settings leaves behind.
        fn start(&self) {
            let (loaded, fault) = load_or_copy(&self.settings()).expect("right");
            assert!(fault.is_none());
            let source = loaded.source.expect("from a file");
            source.keep(&loaded.settings.state_dir).expect("there is room");
        }

        fn broken(&self) -> Result<String, String> {
            match load_or_copy(&self.settings()) {
                Ok((loaded, Some(_))) => Ok(loaded.settings.host.unwrap_or_default()),
                Ok((_, None)) => panic!("it is not broken"),
                Err(error) => Err(error.to_string()),
            }
        }
    }

    const GOOD: &str = "host = \"web-1\"\nstate_dir = \"state\"\n";

    #[test]
    fn a_broken_file_is_stood_in_for_by_what_was_last_used() {
        let place = Place::new();
        place.write(GOOD);
        place.start();
        for broken in [
            "hots = \"web-2\"\nstate_dir = \"state\"\n",
            "state_dir = \"state\" # here\nhost = \"web-2\nthis is no TOML [[[",
        ] {
            place.write(broken);
            assert_eq!(place.broken().as_deref(), Ok("web-1"), "{broken}");
        }
        place.write("host = \"web-3\"\nstate_dir = \"state\"\n");
        place.start();
        place.write("host = 3\nstate_dir = \"state\"\n");
        assert_eq!(place.broken().as_deref(), Ok("web-3"), "the last one");
    }

    #[test]
    fn a_broken_file_is_an_error_where_nothing_is_known_that_could_stand_in() {
        let place = Place::new();
        place.write("hots = 1\nstate_dir = \"state\"\n");
        let error = place.broken().expect_err("no agent has started");
        assert!(error.contains("agent.toml:1:1: unknown field `hots`"), "{error}");

        place.write(GOOD);
        place.start();
        let copy = place.0.path().join("state").join(COPY);
        let kept = fs::read_to_string(&copy).expect("there");
        place.write("hots = 1\nstate_dir = \"state\"\n");
        for (useless, why) in [
            (GOOD.to_owned(), "it does not say whose copy it is"),
            (kept.replace("agent.toml", "other.toml"), "it is another file's"),
            (kept.replace("\"state\"", "\"elsewhere\""), "it was left behind"),
            (kept.replace("host", "hots"), "it is broken itself"),
        ] {
            fs::write(&copy, useless).expect("ours");
            place.broken().expect_err(why);
        }
        fs::write(&copy, kept).expect("ours");
        assert_eq!(place.broken().as_deref(), Ok("web-1"));
    }

    #[test]
    fn what_has_become_of_the_file_is_seen() {
        let place = Place::new();
        place.write(GOOD);
        let (loaded, _) = load_or_copy(&place.settings()).expect("right");
        let source = loaded.source.expect("from a file");
        assert!(matches!(source.on_disk(), OnDisk::InUse));
        place.write("host = \"web-2\"\n");
        assert!(matches!(source.on_disk(), OnDisk::Changed));
        place.write("host = ");
        assert!(matches!(source.on_disk(), OnDisk::Broken(_)));
        fs::remove_file(place.settings()).expect("ours");
        assert!(matches!(source.on_disk(), OnDisk::Broken(_)));
        place.write(GOOD);
        assert!(matches!(source.on_disk(), OnDisk::InUse));
    }
}
