//! Where a capture comes from.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::cli::CliError;

/// A capture file or standard input, with how much of it was read.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    position: Position,
}

/// How far a source was read.
#[derive(Clone)]
pub(super) struct Position {
    read: Arc<AtomicU64>,
    /// Nobody knows how much will come of a pipe.
    whole: Option<u64>,
}

/// What a source is called.
pub(super) fn name(path: &Path) -> Cow<'_, str> {
    if path == Path::new("-") {
        return "standard input".into();
    }
    path.to_string_lossy()
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let (reader, whole): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let opened = File::open(path).and_then(|file| {
                let metadata = file.metadata()?;
                Ok((file, metadata))
            });
            let (file, metadata) =
                opened.map_err(|error| CliError::File(format!("cannot read {}: {error}", path.display())))?;
            (Box::new(file), metadata.is_file().then_some(metadata.len()))
        };
        Ok(Self {
            reader,
            position: Position {
                read: Arc::default(),
                whole,
            },
        })
    }

    pub(super) fn position(&self) -> Position {
        self.position.clone()
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(buffer)?;
        self.position.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl Position {
    pub(super) fn text(&self, packets: u64) -> String {
        match self.whole {
            Some(whole) if whole > 0 => {
                format!(
                    "{packets} packets, {} %",
                    self.read.load(Ordering::Relaxed) * 100 / whole
                )
            }
            _ => format!("{packets} packets"),
        }
    }
}
