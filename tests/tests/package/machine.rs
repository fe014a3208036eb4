//! A throwaway machine: a copy of this one's root directory under a systemd of its own, in namespaces. dpkg and systemd
//! do there what they do on a host.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use firewall_tests::{netns::NetNs, wait::wait_until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const BOOT: &str = include_str!("machine.sh");

/// How long a boot may take, with an agent in it whose programs are verified first.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a packet may take that arrives.
const ARRIVAL: Duration = Duration::from_millis(300);

/// The machine's address.
pub(crate) const SERVER: &str = "10.77.2.10";
/// The peer as a stranger.
pub(crate) const STRANGER: &str = "10.77.2.1";
/// The peer as a manager.
pub(crate) const MANAGER: &str = "10.77.9.7";

/// A file system in memory, mounted for as long as the value lives.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        mount(
            Some("tmpfs"),
            directory.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .expect("root may mount");
        let disk = Self(directory);
        for name in ["up", "work", "root"] {
            fs::create_dir(disk.0.path().join(name)).expect("an empty file system");
        }
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// The machine, with a network of its own in which there is one other host.
pub(crate) struct Machine {
    /// Ends systemd, and with it everything in its namespaces.
    running: Option<Child>,
    server: NetNs,
    peer: NetNs,
    disk: Disk,
}

/// How a script has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Both outputs.
    pub(crate) said: String,
}

impl Machine {
    /// Not booted yet.
    pub(crate) fn new() -> Self {
        let server = NetNs::unnamed().expect("root may make namespaces");
        let peer = NetNs::unnamed().expect("root may make namespaces");
        server.join("eth0", &peer, "eth0").expect("they are joined");
        server
            .address("eth0", &format!("{SERVER}/24"))
            .expect("it is given");
        for address in [STRANGER, MANAGER] {
            peer.address("eth0", &format!("{address}/24"))
                .expect("it is given");
        }
        server
            .ip(&format!("route add default via {STRANGER}"))
            .expect("it is added");
        Self {
            running: None,
            server,
            peer,
            disk: Disk::new(),
        }
    }

    /// Where a file of the machine lies that differs from this machine's.
    pub(crate) fn changed(&self, path: &str) -> PathBuf {
        self.disk.0.path().join("up").join(path.trim_start_matches('/'))
    }

    /// Puts a file there before the first boot.
    pub(crate) fn put(&self, from: &Path, path: &str) {
        fs::copy(from, self.changed(path)).expect("there is room");
    }

    /// Boots it, and waits until everything is started.
    pub(crate) fn boot(&mut self) {
        let mut unshare = self.server.command("unshare");
        let child = unshare
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount",
                "--uts",
                "--ipc",
                "--cgroup",
            ])
            .args(["sh", "-c", BOOT, "sh"])
            .arg(self.disk.0.path())
            .stdin(Stdio::null())
            .spawn();
        self.running = Some(child.expect("util-linux is there"));
        let is_up = || self.run("systemctl is-active machine.target").code == Some(0);
        let up = wait_until(PATIENCE, is_up);
        assert!(up, "{}", self.run("systemctl list-jobs; systemctl --failed").said);
    }

    /// Takes the power from it: nothing is left but what was written.
    pub(crate) fn power_off(&mut self) {
        let Some(mut child) = self.running.take() else {
            return;
        };
        let _ = child.kill();
        let _ = child.wait();
        let gone = wait_until(Duration::from_secs(10), || !self.is_attached());
        assert!(gone, "the programs go with the pins");
    }

    /// Runs a script in it.
    pub(crate) fn run(&self, script: &str) -> Ended {
        let Some(init) = self.init() else {
            return Ended {
                code: None,
                said: "it is not running".to_owned(),
            };
        };
        let output = Command::new("nsenter")
            .args([
                "--target", &init, "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
            ])
            .args(["sh", "-c", &format!("exec 2>&1; {script}")])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .expect("util-linux is there");
        Ended {
            code: output.status.code(),
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// What a script says that has to end well.
    pub(crate) fn said(&self, script: &str) -> String {
        let ended = self.run(script);
        let log = "journalctl --boot --no-pager --unit=firewall-agent | tail -30";
        assert!(
            ended.code == Some(0),
            "{script}: {ended:?}\n{}",
            self.run(log).said
        );
        ended.said
    }

    /// The process of systemd, as this machine counts processes.
    fn init(&self) -> Option<String> {
        let unshare = self.running.as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// Whether its interface has an XDP program.
    pub(crate) fn is_attached(&self) -> bool {
        self.program().is_some()
    }

    /// Number of the XDP program at its interface.
    pub(crate) fn program(&self) -> Option<u64> {
        let links = self.server.ip("-json link show dev eth0").expect("it is there");
        let links: serde_json::Value = serde_json::from_str(&links).expect("JSON");
        links[0]["xdp"]["prog"]["id"].as_u64()
    }

    /// Something that listens on a port of the machine.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        let listener = self.server.run(|| TcpListener::bind(("0.0.0.0", port)));
        listener.expect("a free port")
    }

    /// Whether a connection from an address of the peer to a port of the machine comes about.
    pub(crate) fn reaches(&self, from: &str, port: u16) -> bool {
        let from: IpAddr = from.parse().expect("an address");
        let to: IpAddr = SERVER.parse().expect("an address");
        let connect = async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(from, 0))?;
            tokio::time::timeout(ARRIVAL, socket.connect(SocketAddr::new(to, port))).await?
        };
        let reached: std::io::Result<TcpStream> = self.peer.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(connect)?.into_std()
        });
        reached.is_ok()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
