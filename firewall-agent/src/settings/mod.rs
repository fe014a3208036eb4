//! The agent's settings: `/etc/firewall-agent/agent.toml`.
//!
//! They say where things are, who may use the control socket, and what no policy can take away (the failsafe). What
//! passes and what does not is said by the policy, never here. `examples/agent.toml` shows every key.

mod access;
mod attach;
mod failsafe;
mod file;
mod source;
mod tables;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub use access::{ControlSettings, GroupName};
pub use attach::{AttachChoice, AttachMode, InterfaceGlob};
pub use failsafe::FailsafeSettings;
pub(crate) use failsafe::network;
pub use file::{SettingsError, load, parse};
pub(crate) use source::OnDisk;
pub use source::{Loaded, SettingsSource, load_or_copy};
pub use tables::TableSettings;

/// Where the settings are looked for unless `--settings` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/firewall-agent/agent.toml";

/// Where the control socket is unless the settings say otherwise.
pub const DEFAULT_SOCKET: &str = "/run/firewall-agent/control.sock";

/// Where programs, maps and links are pinned unless the settings say otherwise. A BPF file system of the agent's own:
/// what systemd mounts on `/sys/fs/bpf` only root may enter.
pub const DEFAULT_PINS: &str = "/run/firewall_bpf/agent";

/// Everything that the settings file can say. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The role whose policy this host enforces; may be left out where the inventory gives the host one.
    #[serde(default)]
    pub role: Option<String>,
    /// The name of this host in the inventory; by default the machine's host name up to its first dot.
    #[serde(default)]
    pub host: Option<String>,
    /// Policy files, and directories whose `*.toml` files are policy files.
    #[serde(default = "default_policy")]
    pub policy: Vec<PathBuf>,
    /// Where confirmed revisions and counter numbers are kept. One directory per agent.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// Where programs, maps and links are pinned; on a bpffs. One directory per agent.
    #[serde(default = "default_pin_dir")]
    pub pin_dir: PathBuf,
    /// At start, policy files that differ from the last confirmed revision are put in force, if they check. Off by
    /// default: they are reported as pending and wait for `fwctl reload`.
    #[serde(default)]
    pub enforce_changed_files_at_boot: bool,
    /// A start that finds no revision puts the policy files in force. Where this is false, nothing is filtered until
    /// the first `fwctl apply`. Nor is it without a management source, whatever is said here.
    #[serde(default = "yes")]
    pub enforce_files_at_first_start: bool,
    /// Management access that no policy can take away.
    #[serde(default)]
    pub failsafe: FailsafeSettings,
    /// The control socket and who may use it.
    #[serde(default)]
    pub control: ControlSettings,
    /// The monitoring endpoint; off where it is left out.
    #[serde(default)]
    pub metrics: Option<MetricsSettings>,
    /// How XDP attaches, by interface name; the first entry that fits decides. `auto` where none does.
    #[serde(default)]
    pub attach: Vec<AttachChoice>,
    /// Sizes of the kernel's tables. They hold until the agent is unloaded.
    #[serde(default)]
    pub tables: TableSettings,
}

/// Where `/metrics` and `/healthz` are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// Address and TCP port to listen on. The policy has to allow the monitoring hosts in.
    pub listen: SocketAddr,
}

impl Settings {
    /// Makes paths that are not absolute relative to `base`, the directory of the settings file.
    fn anchored(mut self, base: &Path) -> Self {
        for path in &mut self.policy {
            *path = base.join(&*path);
        }
        for path in [&mut self.state_dir, &mut self.pin_dir, &mut self.control.socket] {
            *path = base.join(&*path);
        }
        self
    }
}

const fn yes() -> bool {
    true
}

fn default_policy() -> Vec<PathBuf> {
    vec!["/etc/firewall-agent/policy".into()]
}

fn default_state_dir() -> PathBuf {
    "/var/lib/firewall-agent".into()
}

fn default_pin_dir() -> PathBuf {
    DEFAULT_PINS.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        parse(text, Path::new("/etc/firewall-agent/agent.toml")).expect("the settings are right")
    }

    #[test]
    fn an_empty_file_is_enough() {
        let settings = settings("");
        assert_eq!(settings.policy, [PathBuf::from("/etc/firewall-agent/policy")]);
        assert_eq!(settings.control.socket, Path::new(DEFAULT_SOCKET));
        assert_eq!(settings.metrics, None);
        assert!(!settings.enforce_changed_files_at_boot && settings.enforce_files_at_first_start);
        assert_eq!(settings.failsafe.management_ports, [22]);
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        let example = settings(include_str!("../../examples/agent.toml"));
        let defaults = settings("");
        assert_eq!(example.tables, defaults.tables);
        assert_eq!(example.state_dir, defaults.state_dir);
        assert_eq!(example.pin_dir, defaults.pin_dir);
        assert_eq!(example.policy, defaults.policy);
        assert_eq!(
            (
                example.enforce_changed_files_at_boot,
                example.enforce_files_at_first_start
            ),
            (
                defaults.enforce_changed_files_at_boot,
                defaults.enforce_files_at_first_start
            )
        );
        assert_eq!(example.control.socket, defaults.control.socket);
    }

    #[test]
    fn relative_paths_start_at_the_settings_file() {
        let settings = settings("policy = [\"policy\", \"/srv/rules\"]\nstate_dir = \"state\"");
        assert_eq!(
            settings.policy,
            [PathBuf::from("/etc/firewall-agent/policy"), "/srv/rules".into()]
        );
        assert_eq!(settings.state_dir, Path::new("/etc/firewall-agent/state"));
    }

    #[test]
    fn the_first_attach_entry_that_fits_decides() {
        let settings = settings(
            "[[attach]]\ninterface = \"eth0\"\nmode = \"generic\"\n\
             [[attach]]\ninterface = \"eth*\"\nmode = \"native\"\n",
        );
        assert_eq!(
            AttachChoice::mode_of(&settings.attach, "eth0"),
            AttachMode::Generic
        );
        assert_eq!(
            AttachChoice::mode_of(&settings.attach, "eth1"),
            AttachMode::Native
        );
        assert_eq!(AttachChoice::mode_of(&settings.attach, "ens1"), AttachMode::Auto);
    }
}
