//! Runs `fwctl` in the workspace's directory.

use std::{path::Path, process::Command};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `fwctl` with these words, which are separated by blanks.
pub(crate) fn fwctl(words: &str) -> Ended {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO_BIN_EXE_fwctl"))
        .args(words.split_whitespace())
        .current_dir(workspace)
        .env_remove("CLICOLOR_FORCE")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
