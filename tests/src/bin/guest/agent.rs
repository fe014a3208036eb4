//! The real agent with the shipped policy, as it is started on a web server.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use firewall_tests::netns::{NetNs, output};
use serde_json::Value;

/// Where it pins.
pub(crate) const PINS: &str = "/sys/fs/bpf/guest";
const FOLDER: &str = "/tmp/agent";
const SETTINGS: &str = "/tmp/agent/agent.toml";
const LOG: &str = "/tmp/agent/log";
const SOCKET: &str = "/run/firewall.sock";
const SETTINGS_TEXT: &str = r#"
host = "web-1"
policy = ["/etc/rules"]
state_dir = "/tmp/agent/state"
pin_dir = "/sys/fs/bpf/guest"

# Somebody else: what the checks see is decided by the policy.
[failsafe]
management_sources = ["192.0.2.1"]

[control]
socket = "/run/firewall.sock"

[[attach]]
interface = "*"
mode = "native"

[tables]
flows = 4096
half_open_flows = 4096
rule_counters = 256
bans = 64
"#;

/// The agent, running or not.
pub(crate) struct Agent {
    process: Option<Child>,
    /// Counters and generation before it was killed.
    before: Option<(Value, Value)>,
}

impl Agent {
    /// Writes its settings.
    pub(crate) fn configure() -> Result<Self> {
        fs::create_dir_all(FOLDER)?;
        fs::write(SETTINGS, SETTINGS_TEXT)?;
        Ok(Self {
            process: None,
            before: None,
        })
    }

    /// Starts it and waits until it filters.
    pub(crate) fn start(&mut self, host: &NetNs, patience: Duration) -> Result<()> {
        let log = File::options().create(true).append(true).open(LOG)?;
        let mut agent = host
            .command("firewall-agent")
            .args(["--settings", SETTINGS])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let start = Instant::now();
        while fwctl(&["status"]).is_err() {
            if let Some(status) = agent.try_wait()? {
                bail!("it has ended: {status}");
            }
            ensure!(
                start.elapsed() < patience,
                "it does not answer after {} s",
                patience.as_secs()
            );
            thread::sleep(Duration::from_millis(100));
        }
        self.process = Some(agent);
        let status = fwctl(&["status"])?;
        ensure!(
            status["enforcing"] == "policy",
            "it enforces {}",
            status["enforcing"]
        );
        Ok(())
    }

    /// Remembers what is to be the same after a restart.
    pub(crate) fn note_counters(&mut self) -> Result<()> {
        let generation = fwctl(&["status"])?["generation"].clone();
        self.before = Some((fwctl(&["counters"])?, generation));
        Ok(())
    }

    /// The generation is the one from before, no counter is lower, and this rule's rose by so many.
    pub(crate) fn has_taken_over(&self, rule: &str, rise: u64) -> Result<()> {
        let (before, generation) = self.before.as_ref().context("nothing was noted")?;
        let now = &fwctl(&["status"])?["generation"];
        ensure!(now == generation, "generation {now} instead of {generation}");
        let after = fwctl(&["counters"])?;
        let rules = before["rules"].as_array().context("no counters were noted")?;
        for name in rules.iter().filter_map(|rule| rule["rule"].as_str()) {
            let (was, is) = (count(before, name)?, count(&after, name)?);
            ensure!(is >= was, "{name} fell from {was} to {is}");
        }
        let (was, is) = (count(before, rule)?, count(&after, rule)?);
        ensure!(is == was + rise, "{rule} rose from {was} to {is}");
        Ok(())
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Ends it as systemd would.
    pub(crate) fn end(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        output(Command::new("busybox").args(["kill", &process.id().to_string()]))?;
        process.wait()?;
        Ok(())
    }
}

/// Runs `fwctl` and returns what it prints.
pub(crate) fn fwctl(words: &[&str]) -> Result<Value> {
    let mut fwctl = Command::new("fwctl");
    let text = output(fwctl.args(["--socket", SOCKET, "--json"]).args(words))?;
    serde_json::from_str(&text).with_context(|| format!("fwctl printed no JSON but {text}"))
}

/// How many packets a rule was tried on and matched.
pub(crate) fn matches(rule: &str) -> Result<u64> {
    count(&fwctl(&["counters"])?, rule)
}

/// Takes everything out of the kernel.
pub(crate) fn unload(host: &NetNs) -> Result<()> {
    let mut agent = host.command("firewall-agent");
    output(agent.args(["--settings", SETTINGS, "unload"])).map(drop)
}

/// What it has logged.
pub(crate) fn log() -> String {
    fs::read_to_string(LOG).unwrap_or_default()
}

fn count(counters: &Value, rule: &str) -> Result<u64> {
    let rules = counters["rules"].as_array().context("there are no counters")?;
    let found = rules.iter().find(|found| found["rule"] == rule);
    let found = found.with_context(|| format!("there is no rule {rule}"))?;
    found["matches"].as_u64().context("a counter is no number")
}
