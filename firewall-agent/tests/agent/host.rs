//! An agent on a kernel in memory, with policy files of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use firewall_agent::{
    control::protocol::{Failure, NewRule, RulePlace},
    daemon::{Agent, StartError},
    dataplane::fake::FakeKernel,
    policy::edit::{RuleDraft, Verdict},
    settings::{self, Settings},
    state::Actor,
};

pub(crate) const INVENTORY: &str = r#"layer = "inventory"

[hosts.web-1]
role = "web"
addresses = ["10.77.2.10", "fd77:2::10"]

[hosts.db-1]
role = "db"
addresses = ["10.77.3.10", "fd77:3::10"]

[networks]
management = ["10.77.9.0/24", "fd77:9::/64"]
"#;

pub(crate) const BASE: &str = r#"layer = "base"
interfaces = ["eth*"]

# Who may manage our hosts.
[[rule]]
name = "ssh"
allow = "ssh"
from = "management"

[[rule]]
name = "web-to-db"
allow = "mysql"
from = "web"
to = "db"
"#;

pub(crate) const WEB: &str = r#"layer = "role web"

[[rule]]
name = "site" # the site
allow = ["http", "https"]
from = "any"
"#;

pub(crate) const DB: &str = "layer = \"role db\"\n";

/// A host: a kernel in memory, policy files, a state directory.
pub(crate) struct Host {
    pub(crate) kernel: FakeKernel,
    directory: tempfile::TempDir,
    extra_settings: String,
    control_settings: String,
    managers: &'static str,
}

impl Host {
    /// With the files above, and one interface, `eth0`.
    pub(crate) fn new() -> Self {
        let host = Self {
            kernel: FakeKernel::new(),
            directory: tempfile::tempdir().expect("a directory"),
            extra_settings: String::new(),
            control_settings: String::new(),
            managers: "\"10.77.9.0/24\"",
        };
        fs::create_dir(host.directory.path().join("policy")).expect("made");
        for (name, text) in [
            ("inventory.toml", INVENTORY),
            ("base.toml", BASE),
            ("web.toml", WEB),
            ("db.toml", DB),
        ] {
            host.write(name, text);
        }
        host.kernel.add_link(FakeKernel::link(2, "eth0"));
        host
    }

    /// With further lines of settings.
    pub(crate) fn with_settings(mut self, lines: &str) -> Self {
        self.extra_settings.push_str(lines);
        self
    }

    /// With settings that name nobody who may always manage it.
    pub(crate) fn without_managers(mut self) -> Self {
        self.managers = "";
        self
    }

    /// With further lines of the settings' section `control`.
    pub(crate) fn with_control(mut self, lines: &str) -> Self {
        self.control_settings.push_str(lines);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn policy_file(&self, name: &str) -> PathBuf {
        self.path("policy").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.policy_file(name), text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.policy_file(name)).expect("there")
    }

    /// Adds text to the end of a policy file.
    pub(crate) fn append(&self, name: &str, text: &str) {
        self.write(name, &format!("{}{text}", self.read(name)));
    }

    pub(crate) fn settings(&self) -> Settings {
        let text = format!(
            "host = \"web-1\"\npolicy = [\"policy\"]\nstate_dir = \"state\"\npin_dir = \"pins\"\n{}\n\
             [failsafe]\nmanagement_sources = [{}]\n[control]\nsocket = \"control.sock\"\n{}",
            self.extra_settings, self.managers, self.control_settings
        );
        settings::parse(&text, &self.path("agent.toml")).expect("the settings are right")
    }

    pub(crate) fn try_start(&self) -> Result<Agent, StartError> {
        Agent::start(self.settings(), Box::new(self.kernel.dataplane()))
    }

    pub(crate) fn start(&self) -> Agent {
        self.try_start().expect("it starts")
    }
}

pub(crate) fn operator() -> Actor {
    Actor::new(1000, Some("alex".into()))
}

/// A rule that allows tcp/8080 from the management network.
pub(crate) fn debug_rule() -> NewRule {
    let mut rule = RuleDraft::new("debug", Verdict::Allow, "tcp/8080");
    rule.from = vec!["management".into()];
    NewRule {
        rule,
        file: None,
        place: RulePlace::End,
        why: Some("a test".into()),
        seconds: None,
    }
}

/// The names of the rules in force.
pub(crate) fn rule_names(agent: &Agent) -> Vec<String> {
    let rules = agent.rules().expect("the kernel answers");
    rules.rules.into_iter().map(|rule| rule.name).collect()
}

/// Whether a file is whole and holds this text.
pub(crate) fn holds(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|content| content == text)
}

/// The failure, which has to be one.
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> Failure {
    outcome.expect_err("it has to be refused")
}
