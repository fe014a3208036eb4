//! The README's commands, all of them, in the order in which they stand there.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use firewall_tests::pcap::web_server;
use nix::sys::signal::Signal;

use crate::site::{STRANGER, Site};

/// Where the README puts things, and where below a directory of its own the test does.
const PLACES: [&str; 4] = ["/etc/", "/usr/", "/var/lib/", "/run/firewall-agent"];

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The lines of the fenced blocks that are commands.
fn commands(readme: &str) -> Vec<String> {
    readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .flat_map(str::lines)
        .map(str::to_owned)
        .collect()
}

/// A machine that the README's commands are run on: the server of a [`Site`], with a root directory of its own.
struct Machine {
    site: Site,
    root: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let site = Site::new();
        let root = site.path("root");
        fs::create_dir(&root).expect("made");
        Self { site, root }
    }

    /// The same text about this machine.
    fn moved(&self, text: &str) -> String {
        let root = self.root.to_string_lossy();
        let pins = self.site.pins();
        let text = text.replace("/run/firewall_bpf/agent", &pins.to_string_lossy());
        PLACES.iter().fold(text, |text, place| {
            // At the beginning of a path only.
            [" ", "\"", "="].iter().fold(text, |text, before| {
                text.replace(&format!("{before}{place}"), &format!("{before}{root}{place}"))
            })
        })
    }

    fn moved_back(&self, text: &str) -> String {
        text.replace(&*self.root.to_string_lossy(), "")
    }

    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            // CI is the second one, and what it runs is the rest; here only whether they are commands at all.
            ["cargo", "xtask", ..] => self.shell(&format!("{command} --help")),
            ["apt-get", "install", package] => {
                assert!(package.contains(env!("CARGO_PKG_VERSION")), "{package}");
                self.install();
                String::new()
            }
            ["systemctl", "restart", "firewall-agent"] => {
                self.site.start();
                String::new()
            }
            ["systemctl", "stop", "firewall-agent"] => {
                self.site.end(Signal::SIGTERM);
                String::new()
            }
            ["firewall-agent", ..] => {
                let settings = self.root.join("etc/firewall-agent/agent.toml");
                self.shell(&format!("{command} --settings {}", settings.display()))
            }
            _ => self.shell(&self.moved(command)),
        }
    }

    /// What the commands use of the package, whose own suite shows what dpkg does with it; settings with the places of
    /// this machine, and who may manage it.
    fn install(&mut self) {
        for (from, to) in [
            (env!("CARGO_BIN_EXE_suite-agent"), "/usr/sbin/firewall-agent"),
            (env!("CARGO_BIN_EXE_suite-fwctl"), "/usr/bin/fwctl"),
        ] {
            self.shell(&self.moved(&format!("install -D {from} {to}")));
        }
        self.shell(
            &self.moved("install -d /usr/share/doc/firewall-agent/examples/rules /etc/firewall-agent/policy"),
        );
        self.shell(&self.moved("cp rules/*.toml /usr/share/doc/firewall-agent/examples/rules/"));
        let text =
            fs::read_to_string(workspace().join("firewall-agent/package/agent.toml")).expect("it is there");
        let (before, after) = text
            .split_once("management_sources = []")
            .expect("they are to be named");
        let defaults = "policy = [\"/etc/firewall-agent/policy\"]\nstate_dir = \"/var/lib/firewall-agent\"\n\
                        pin_dir = \"/run/firewall_bpf/agent\"\n";
        let control = "[control]\nsocket = \"/run/firewall-agent/control.sock\"\n";
        let text = format!(
            "host = \"web-1\"\n{defaults}{before}management_sources = [\"10.77.9.0/24\"]{after}{control}"
        );
        let settings = self.root.join("etc/firewall-agent/agent.toml");
        fs::write(&settings, self.moved(&text)).expect("ours");
        self.site.settings = settings;
        self.site.socket = self.root.join("run/firewall-agent/control.sock");
    }

    fn shell(&self, command: &str) -> String {
        let path = format!(
            "{}:{}:{}",
            self.root.join("usr/sbin").display(),
            self.root.join("usr/bin").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = self
            .site
            .server
            .command("sh")
            .args(["-c", command])
            .current_dir(workspace())
            .env("PATH", path)
            .env("SSH_CONNECTION", "")
            .env("FIREWALL_AGENT_SOCKET", &self.site.socket)
            .output()
            .expect("there is a shell");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{command}: {}\n{text}{complaint}",
            output.status
        );
        text
    }
}

#[test]
fn every_command_of_the_readme_works() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("it is there");
    let commands = commands(&readme);
    assert!(commands.len() > 20, "{commands:#?}");
    let mut machine = Machine::new();
    let (unloading, others): (Vec<_>, Vec<_>) = commands
        .iter()
        .partition(|command| command.starts_with("systemctl stop") || command.ends_with(" unload"));
    for command in others {
        let printed = machine.run(command);
        if command.starts_with("fwctl") {
            println!("$ {command}\n{}", machine.moved_back(&printed));
        }
        if command.starts_with("fwctl rule list") {
            // For the counters that come next.
            let _ = machine.site.connect(STRANGER, 443);
        }
    }
    // They stand with the installation, and end the story.
    assert_eq!(unloading.len(), 2);
    for command in unloading {
        machine.run(command);
    }
    assert!(!machine.site.is_attached("eth0") && !machine.site.pins().exists());
}

/// What is printed wherever it is run.
#[test]
fn the_readme_shows_what_is_printed_of_policy_files() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("it is there");
    let shown: Vec<(&str, &str)> = readme
        .split("```text\n$ ")
        .skip(1)
        .filter_map(|block| block.split("```").next()?.split_once('\n'))
        .filter(|(command, _)| command.contains("--policy rules"))
        .collect();
    assert_eq!(shown.len(), 2, "{shown:#?}");
    let place = tempfile::tempdir().expect("a directory");
    symlink(workspace().join("rules"), place.path().join("rules")).expect("ours");
    fs::write(place.path().join("web.pcap"), web_server()).expect("ours");
    for (command, text) in shown {
        let mut fwctl = Command::new(env!("CARGO_BIN_EXE_suite-fwctl"));
        fwctl.current_dir(place.path()).args(command.split(' ').skip(1));
        let output = fwctl.output().expect("it runs");
        assert_eq!(text, String::from_utf8_lossy(&output.stdout), "{command}");
    }
}

/// Every unit and settings key in the README's own words is checked elsewhere; the links are here.
#[test]
fn the_files_that_the_documents_name_are_there() {
    for document in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "rules/README.md"] {
        let text = fs::read_to_string(workspace().join(document)).expect("it is there");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let beside = Path::new(document).parent().expect("a name has one");
            let target = workspace().join(beside).join(link);
            assert!(target.exists(), "{document} names {link}");
        }
    }
}
