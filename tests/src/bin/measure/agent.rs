//! The agent as a process, on a server of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use firewall_agent::settings::TableSettings;
use firewall_tests::{bpffs::Bpffs, netns::output, wait::wait_until};
use nix::unistd::{SysconfVar, sysconf};
use tempfile::TempDir;

use crate::{
    map_memory,
    pair::Pair,
    plain_rule::DropRule,
    policies::{LOAD_BALANCER, load_balancer_files},
};

/// The verifier is slow where many share a machine.
const START: Duration = Duration::from_mins(2);
/// An agent that has used less than so many seconds of a processor for so long is at rest.
const CALM: Duration = Duration::from_millis(1500);
const CALM_SECONDS: f64 = 0.03;
/// Maps that hold flows.
const FLOW_TABLES: [&str; 2] = ["FLOWS", "HALF_FLOWS"];

/// A running agent; it ends with the value, or with this process.
pub(crate) struct Agent {
    child: Child,
    pins: Bpffs,
    _directory: TempDir,
    _pair: Pair,
}

impl Agent {
    /// Starts it with the shipped policy of a load balancer, these rules in front and a block list of so many, and waits until it answers.
    pub(crate) fn start(binaries: &Path, rules: &[DropRule], listed: u32) -> Result<Self> {
        let pair = Pair::new()?;
        let directory = tempfile::tempdir()?;
        let pins = Bpffs::mount()?;
        let policy = directory.path().join("policy");
        fs::create_dir(&policy)?;
        for (name, text) in load_balancer_files(rules, listed)? {
            fs::write(policy.join(name), text)?;
        }
        let settings = directory.path().join("agent.toml");
        fs::write(&settings, settings_text(&pins.path().join("agent"), rules.len()))?;
        let log = directory.path().join("log");
        let mut command = pair.server.command("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(binaries.join("firewall-agent"));
        command.arg("--settings").arg(&settings);
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let agent = Self {
            child,
            pins,
            _directory: directory,
            _pair: pair,
        };
        let socket = settings.with_file_name("control.sock");
        let answers = wait_until(START, || agent.answers(binaries, &socket));
        ensure!(answers, "the agent does not answer: {}", fs::read_to_string(log)?);
        let mut fwctl = Command::new(binaries.join("fwctl"));
        let status = output(fwctl.arg("--socket").arg(&socket).args(["status", "--json"]))?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let in_force = status["rules"].as_u64().unwrap_or_default();
        ensure!(
            in_force > u64::try_from(rules.len())?,
            "the policy is not in force: {}",
            fs::read_to_string(log)?
        );
        Ok(agent)
    }

    fn answers(&self, binaries: &Path, socket: &Path) -> bool {
        let mut fwctl = Command::new(binaries.join("fwctl"));
        let status = fwctl.arg("--socket").arg(socket).arg("status");
        let status = status.stdout(Stdio::null()).stderr(Stdio::null()).status();
        self.child.id() != 0 && status.is_ok_and(|status| status.success())
    }

    /// Waits until what it does after a start (slots are made ready) is over.
    pub(crate) fn calm_down(&self) -> Result<()> {
        let mut last = self.processor_seconds()?;
        let calm = wait_until(START, || {
            thread::sleep(CALM);
            let now = self.processor_seconds().unwrap_or(last);
            let used = now - last;
            last = now;
            used < CALM_SECONDS
        });
        ensure!(calm, "the agent does not come to rest");
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    /// Bytes that are resident, those of mapped arrays among them.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        resident(&fs::read_to_string(self.file("smaps_rollup"))?).context("no resident memory")
    }

    /// Bytes of the kernel's maps but flow tables.
    pub(crate) fn map_bytes(&self) -> Result<u64> {
        let maps = map_memory::below(self.pins.path())?;
        let others = maps
            .iter()
            .filter(|((name, _), _)| !FLOW_TABLES.contains(&&**name));
        Ok(others.map(|(_, bytes)| bytes).sum())
    }

    /// Seconds of processor time so far.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        let ticks = ticks(&fs::read_to_string(self.file("stat"))?).context("no processor time")?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no length of a tick")?;
        #[expect(clippy::cast_precision_loss, reason = "ticks of less than a day")]
        Ok(ticks as f64 / per_second as f64)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counters for what a policy has beside so many rules.
const FURTHER_COUNTERS: usize = 100;

/// Tables are as they are by default, but for policies that need more.
fn settings_text(pins: &Path, rules: usize) -> String {
    let pins = pins.display();
    let counters = TableSettings::default()
        .rule_counters
        .max(u32::try_from(rules + FURTHER_COUNTERS).unwrap_or(u32::MAX));
    format!(
        "host = \"{LOAD_BALANCER}\"\npolicy = [\"policy\"]\nstate_dir = \"state\"\npin_dir = \"{pins}\"\n\
         [failsafe]\nmanagement_sources = [\"10.77.9.0/24\"]\n\
         [control]\nsocket = \"control.sock\"\n[metrics]\nlisten = \"127.0.0.1:9464\"\n\
         [tables]\nrule_counters = {counters}\n"
    )
}

/// `Rss` of `/proc/…/smaps_rollup`, in bytes.
fn resident(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Ticks in user and kernel mode, by `/proc/…/stat`.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        let rollup = "0-1 ---p 00000000 00:00 0    [rollup]\nRss:               10240 kB\nPss:    9 kB\n";
        assert_eq!(resident(rollup), Some(10_485_760));
        assert_eq!(resident("Pss: 9 kB\n"), None);
    }

    #[test]
    fn processor_time_is_that_of_both_modes() {
        let stat = "7 (an agent) S 1 7 7 0 -1 4194560 900 0 0 0 12 30 0 0 20 0 5 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (an agent) S 1"), None);
    }
}
