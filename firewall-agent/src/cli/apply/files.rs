//! Policy files that an operator hands in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{cli::CliError, control::protocol::NewFile};

/// Reads files, and of directories every `*.toml` file that is not hidden.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<NewFile>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        let found = files_of(path).map_err(|error| cannot_read(path, &error))?;
        for path in found {
            let text = fs::read_to_string(&path).map_err(|error| cannot_read(&path, &error))?;
            // The agent's working directory is another one.
            let path = fs::canonicalize(&path).map_err(|error| cannot_read(&path, &error))?;
            files.push(NewFile { path, text });
        }
    }
    Ok(files)
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: io::Result<Vec<PathBuf>> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let is_policy = |path: &PathBuf| {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml") && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries?.into_iter().filter(is_policy).collect();
    files.sort();
    Ok(files)
}

fn cannot_read(path: &Path, error: &io::Error) -> CliError {
    CliError::File(format!("cannot read {}: {error}", path.display()))
}
