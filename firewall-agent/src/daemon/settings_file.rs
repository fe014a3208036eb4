//! The file of the agent's settings, and what has become of it since the start.

use super::agent::Agent;
use crate::{
    control::protocol::{SettingsState, SettingsStatus},
    settings::{OnDisk, SettingsError, SettingsSource},
};

/// Says that the agent goes on with settings that are not those on disk.
pub(super) fn tell_of_copy(error: &SettingsError) {
    tracing::error!(
        "the settings cannot be used, and the agent goes on with its copy of what it last started with; \
         `firewall-agent check-settings` says whether they are right again: {error}"
    );
}

impl Agent {
    /// Remembers where the settings are from, with which everything has started, and keeps a copy of them.
    pub(super) fn settle_settings(&self, source: SettingsSource) {
        if let Err(error) = source.keep(&self.settings.state_dir) {
            self.note(format!(
                "no copy of the settings could be kept, so a broken {} would keep the agent from starting: {error}",
                source.path().display()
            ));
        }
        // It is set once, by the start.
        let _ = self.settings_source.set(source);
    }

    /// How the settings stand.
    pub(crate) fn settings_status(&self) -> Option<SettingsStatus> {
        let source = self.settings_source.get()?;
        let (state, fault) = match source.on_disk() {
            OnDisk::InUse => (SettingsState::InUse, None),
            OnDisk::Changed => (SettingsState::Changed, None),
            OnDisk::Broken(error) => (SettingsState::Broken, Some(error.to_string())),
        };
        Some(SettingsStatus {
            path: source.path().to_owned(),
            state,
            fault,
        })
    }
}
