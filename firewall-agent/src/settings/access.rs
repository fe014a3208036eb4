//! Who may use the control socket.

use std::path::PathBuf;

use serde::Deserialize;

/// The control socket. Root may do everything; everybody else needs a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// Path of the socket.
    pub socket: PathBuf,
    /// The group whose members may change what is in force, and read.
    pub operators: Option<GroupName>,
    /// The group whose members may read.
    pub readers: Option<GroupName>,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            socket: super::DEFAULT_SOCKET.into(),
            operators: None,
            readers: None,
        }
    }
}

/// A group of the machine, by its name or number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected the name or the number of a group")]
pub enum GroupName {
    /// By number.
    Number(u32),
    /// By name.
    Name(String),
}
