//! A server behind its agent, and a peer that is the rest of the world.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use firewall_agent::failpoint::Step;
use firewall_tests::{
    bpffs::Bpffs,
    json_schema::faults,
    netns::{NetNs, output},
    wait::wait_until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Where an installed agent has its settings and policies.
pub(crate) const HOME: &str = "/etc/firewall-agent";

/// The verifier is slow where many share a machine.
const START: Duration = Duration::from_mins(2);

/// How long a packet may take that arrives.
const ARRIVAL: Duration = Duration::from_millis(500);

pub(crate) const SERVER: &str = "10.77.2.10";
pub(crate) const SERVER_V6: &str = "fd77:2::10";
/// The peer as a stranger.
pub(crate) const STRANGER: &str = "10.77.2.1";
/// The peer as a manager.
pub(crate) const MANAGER: &str = "10.77.9.7";
pub(crate) const MANAGER_V6: &str = "fd77:9::7";

const SETTINGS: &str = r#"
host = "web-1"
policy = ["policy"]
state_dir = "state"
pin_dir = "PINS"
[failsafe]
management_sources = ["10.77.9.0/24", "fd77:9::/64"]
[control]
socket = "control.sock"
[metrics]
listen = "127.0.0.1:9464"
[tables]
flows = 16384
half_open_flows = 4096
"#;

pub(crate) const INVENTORY: &str = r#"layer = "inventory"

[hosts.web-1]
role = "web"
addresses = ["10.77.2.10", "fd77:2::10"]

[networks]
management = ["10.77.9.0/24", "fd77:9::/64"]
"#;

pub(crate) const BASE: &str = r#"layer = "base"
interfaces = ["eth*"]

[[rule]]
name = "ping"
allow = "ping"
from = "management"

[[rule]]
name = "metrics"
allow = "firewall-agent-metrics"
from = "management"
"#;

pub(crate) const WEB: &str = r#"layer = "role web"

# The site is for everybody.
[[rule]]
name = "site" # what we are here for
allow = ["http", "https"]
from = "any"
"#;

/// A server with an agent that can be started, and a peer that is joined to it.
pub(crate) struct Site {
    pub(crate) server: NetNs,
    pub(crate) peer: NetNs,
    directory: tempfile::TempDir,
    bpffs: Bpffs,
    agent: Option<Child>,
    /// What runs the agent as another user.
    as_user: Vec<String>,
    pub(crate) settings: PathBuf,
    pub(crate) socket: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    /// With the policy above, the agent not started.
    pub(crate) fn new() -> Self {
        let server = NetNs::new("op-server").expect("root may make namespaces");
        let peer = NetNs::new("op-peer").expect("root may make namespaces");
        server.join("eth0", &peer, "eth0").expect("they are joined");
        for address in ["10.77.2.10/24", "fd77:2::10/64"] {
            server.address("eth0", address).expect("it is given");
        }
        for address in ["10.77.2.1/24", "10.77.9.7/24", "fd77:2::1/64", "fd77:9::7/64"] {
            peer.address("eth0", address).expect("it is given");
        }
        for route in [
            "route add default via 10.77.2.1",
            "-6 route add default via fd77:2::1",
        ] {
            server.ip(route).expect("it is added");
        }
        let directory = directory().expect("there is room");
        let site = Self {
            server,
            peer,
            settings: directory.path().join("agent.toml"),
            socket: directory.path().join("control.sock"),
            directory,
            bpffs: Bpffs::mount().expect("root may mount"),
            agent: None,
            as_user: Vec::new(),
        };
        fs::create_dir(site.path("policy")).expect("made");
        let settings = SETTINGS.replace("PINS", &site.pins().to_string_lossy());
        fs::write(&site.settings, settings).expect("written");
        for (name, text) in [
            ("inventory.toml", INVENTORY),
            ("base.toml", BASE),
            ("web.toml", WEB),
        ] {
            site.write(name, text);
        }
        site
    }

    /// The same, with the agent running.
    pub(crate) fn started() -> Self {
        let mut site = Self::new();
        site.start();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.bpffs.path().join("agent")
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

    /// What the agents have logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    fn agent_command(&self, words: &[&str]) -> Command {
        let mut command = match self.as_user.split_first() {
            None => self.server.command(env!("CARGO_BIN_EXE_suite-agent")),
            Some((program, arguments)) => {
                let mut command = self.server.command(program);
                command.args(arguments);
                command
            }
        };
        command.arg("--settings").arg(&self.settings).args(words);
        command.env("FIREWALL_SUITE_ORDERS", self.path("orders"));
        command
    }

    /// From now on the agent is run by this user, with these capabilities and no others. What it writes to is the user's.
    pub(crate) fn run_as(&mut self, user: u32, capabilities: &[String]) {
        // The user need not be able to reach the one that was built.
        let program = self.path("firewall-agent");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_suite-agent"), &program).expect("there is room");
        }
        let places = [self.directory.path(), self.bpffs.path()];
        let owner = format!("{user}:{user}");
        output(Command::new("chown").args(["-R", &owner]).args(places)).expect("root may");
        let only: Vec<String> = capabilities.iter().map(|name| format!(",+{name}")).collect();
        let set = format!("-all{}", only.concat());
        let words = [
            "setpriv",
            "--reuid",
            &user.to_string(),
            "--regid",
            &user.to_string(),
            "--clear-groups",
            "--no-new-privs",
            &format!("--inh-caps={set}"),
            &format!("--ambient-caps={set}"),
            &format!("--bounding-set={set}"),
            &program.to_string_lossy(),
        ];
        self.as_user = words.map(str::to_owned).to_vec();
    }

    /// Runs an agent that is going to end by itself.
    pub(crate) fn try_to_run(&self) -> Ended {
        ended(&mut self.agent_command(&["run"]))
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("agent.log"))
            .expect("ours");
        let mut command = self.agent_command(&["--log-format", "json"]);
        let child = command.stderr(log).stdout(Stdio::null()).process_group(0).spawn();
        self.agent = Some(child.expect("it runs"));
        let answers = wait_until(START, || self.fwctl("status").code == Some(0));
        assert!(answers, "the agent does not answer:\n{}", self.log());
    }

    /// Has the agent that runs die at a step of the next change.
    pub(crate) fn die_at(&self, step: Step) {
        self.order(&format!("{step:?}"));
        self.await_order();
    }

    /// Has the agent that runs see a calendar that stands so many seconds ahead of the machine's.
    pub(crate) fn step_calendar(&self, seconds: i64) {
        self.order(&format!("calendar {seconds}"));
        self.await_order();
    }

    /// Starts the agent with such a calendar.
    pub(crate) fn start_with_calendar(&mut self, seconds: i64) {
        self.order(&format!("calendar {seconds}"));
        self.start();
    }

    fn order(&self, order: &str) {
        // As a whole, or the agent would read half of it.
        fs::write(self.path("orders.new"), order).expect("ours");
        fs::rename(self.path("orders.new"), self.path("orders")).expect("ours");
    }

    fn await_order(&self) {
        let taken = wait_until(Duration::from_secs(10), || !self.path("orders").exists());
        assert!(taken, "the agent takes no orders:\n{}", self.log());
    }

    /// Waits for the end of an agent that dies by itself; false where it lives on.
    pub(crate) fn is_dead(&mut self) -> bool {
        let mut agent = self.agent.take().expect("it was running");
        let dead = wait_until(Duration::from_millis(500), || {
            matches!(agent.try_wait(), Ok(Some(_)))
        });
        if !dead {
            self.agent = Some(agent);
        }
        dead
    }

    /// The agent's process number.
    pub(crate) fn agent_id(&self) -> u32 {
        self.agent.as_ref().expect("it is running").id()
    }

    /// Sends a signal to the agent.
    pub(crate) fn signal(&self, signal: Signal) {
        let agent = self.agent.as_ref().expect("it is running");
        let pid = Pid::from_raw(i32::try_from(agent.id()).expect("a process number"));
        kill(pid, signal).expect("it is there");
    }

    /// Ends the agent by a signal and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let mut agent = self.agent.take().expect("it is running");
        let _ = agent.wait().expect("it ends");
    }

    /// What a restart of the machine does: nothing is left in the kernel.
    pub(crate) fn reboot(&mut self) {
        self.end(Signal::SIGKILL);
        self.reboot_from_dead();
    }

    /// The same, where the agent is dead already.
    pub(crate) fn reboot_from_dead(&mut self) {
        if self.pins().exists() {
            fs::remove_dir_all(self.pins()).expect("the pins are ours");
        }
        let free = wait_until(Duration::from_secs(5), || !self.is_attached("eth0"));
        assert!(free, "the programs go with the pins");
    }

    pub(crate) fn unload(&self) -> Ended {
        ended(&mut self.agent_command(&["unload"]))
    }

    /// `fwctl` with these words, which are separated by blanks.
    pub(crate) fn fwctl(&self, words: &str) -> Ended {
        self.fwctl_over("", words)
    }

    /// The same, to be run.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = self.server.command(env!("CARGO_BIN_EXE_suite-fwctl"));
        command
            .arg("--socket")
            .arg(&self.socket)
            .args(words.split_whitespace());
        command
    }

    /// The same in an SSH session: `CLIENT PORT SERVER PORT`.
    pub(crate) fn fwctl_over(&self, ssh: &str, words: &str) -> Ended {
        let mut command = self.command(words);
        command.env("SSH_CONNECTION", ssh);
        ended(&mut command)
    }

    /// `fwctl` with these words, which may have blanks in them.
    pub(crate) fn fwctl_words(&self, words: &[&str]) -> Ended {
        let mut command = self.server.command(env!("CARGO_BIN_EXE_suite-fwctl"));
        ended(command.arg("--socket").arg(&self.socket).args(words))
    }

    /// What `fwctl` prints, which has to end well.
    pub(crate) fn said(&self, words: &str) -> String {
        let ended = self.fwctl(words);
        assert_eq!(ended.code, Some(0), "fwctl {words}: {ended:?}");
        ended.stdout
    }

    /// What `fwctl` prints as JSON, which has to be what the schema of the command says.
    pub(crate) fn json(&self, words: &str) -> Value {
        self.json_of(&format!("{words} --json"))
    }

    /// The same of words that ask for JSON themselves.
    pub(crate) fn json_of(&self, words: &str) -> Value {
        let value = serde_json::from_str(&self.said(words)).expect("JSON");
        fits_schema(words, &value);
        value
    }

    /// Packets that a rule has decided about, or `(default in)`.
    pub(crate) fn packets(&self, rule: &str) -> u64 {
        let counters = self.json("counters");
        let rules = counters["rules"].as_array().expect("rules");
        let counted = rules.iter().find(|counted| counted["rule"] == rule);
        let counted = counted.unwrap_or_else(|| panic!("no rule {rule}"));
        counted["packets"].as_u64().expect("a number")
    }

    /// The text of a page of the agent's monitoring endpoint.
    pub(crate) fn page(&self, path: &str) -> String {
        let stream = self.server.run(|| TcpStream::connect("127.0.0.1:9464"));
        let mut stream = stream.expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    }

    /// Something that listens on a port of the server, of both families.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        let listener = self.server.run(|| TcpListener::bind(("::", port)));
        listener.expect("a free port")
    }

    /// A connection from an address of the peer to a port of the server, if it comes about.
    pub(crate) fn connect(&self, from: &str, port: u16) -> Option<TcpStream> {
        let to = if from.contains(':') { SERVER_V6 } else { SERVER };
        let to = SocketAddr::new(to.parse().expect("an address"), port);
        let from = SocketAddr::new(from.parse().expect("an address"), 0);
        self.peer.run(|| connect_from(from, to))
    }

    /// Whether an interface of the server has an XDP program.
    pub(crate) fn is_attached(&self, interface: &str) -> bool {
        let link = self.server.ip(&format!("link show dev {interface}"));
        link.is_ok_and(|text| text.contains("xdp"))
    }

    /// What `tc` says of an interface of the server.
    pub(crate) fn tc(&self, words: &str) -> String {
        let mut command = self.server.command("tc");
        output(command.args(words.split_whitespace())).expect("tc is installed")
    }
}

/// A directory of the site's own, whose path is as long as [`HOME`]: what is printed is laid out as it would be there.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let above = env::temp_dir();
    let left = HOME.len().saturating_sub(above.as_os_str().len() + 1);
    let mut builder = tempfile::Builder::new();
    builder.prefix("").rand_bytes(left.max(6)).tempdir_in(above)
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// A connection out of the namespace of the calling thread, if it comes about.
pub(crate) fn connect_from(from: SocketAddr, to: SocketAddr) -> Option<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = match from {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
        }
        .expect("a socket");
        socket.bind(from).expect("an address of the peer");
        tokio::time::timeout(ARRIVAL, socket.connect(to)).await
    });
    let stream = stream.ok()?.ok()?.into_std().expect("a socket");
    stream.set_nonblocking(false).expect("it can block");
    stream.set_read_timeout(Some(ARRIVAL)).expect("a time-out");
    Some(stream)
}

/// Whether bytes get from each end to the other.
pub(crate) fn exchange(one: &mut TcpStream, other: &mut TcpStream) -> bool {
    other.set_read_timeout(Some(ARRIVAL)).expect("a time-out");
    let mut byte = [0];
    one.write_all(b"?").is_ok()
        && other.read_exact(&mut byte).is_ok()
        && byte == *b"?"
        && other.write_all(b"!").is_ok()
        && one.read_exact(&mut byte).is_ok()
        && byte == *b"!"
}

/// Asserts that what a command has printed is what its schema says.
pub(crate) fn fits_schema(words: &str, value: &Value) {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../../firewall-agent/schema.json")).expect("JSON")
    });
    let words: Vec<&str> = words.split_whitespace().collect();
    let schema = (1..=words.len().min(2))
        .rev()
        .find_map(|count| SCHEMA["commands"].get(words[..count].join(" ")));
    let schema = schema.unwrap_or_else(|| panic!("{words:?} has no schema"));
    let faults = faults(&SCHEMA, schema, value);
    assert!(faults.is_empty(), "{words:?}: {}\n{value}", faults.join("\n"));
}
