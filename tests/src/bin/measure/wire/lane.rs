//! A way from the sender to a receiver.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use firewall_tests::netns::{NetNs, output};
use nix::{net::if_::if_nametoindex, unistd::Pid};

use crate::processor::{self, RECEIVING};

/// How long a receiver may take for what is in its ring when the sender stops.
const DRAIN: Duration = Duration::from_secs(20);
/// Between two looks at a receiver.
const PAUSE: Duration = Duration::from_millis(2);

/// As the sender's frames name the receiver.
const MAC: &str = "02:00:00:00:00:01";
/// Its address.
const ADDRESS: &str = "10.0.0.1";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A veth pair from the sender's network namespace to `eth0` of a receiver's. What comes in is taken by a kernel
/// thread that does nothing else, so that its time is that of the packets.
pub(crate) struct Lane {
    pub(crate) namespace: NetNs,
    far: String,
    near_index: u32,
    thread: Pid,
}

/// What a receiver has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    packets: u64,
    nanoseconds: u64,
}

impl Lane {
    /// A new receiver of what is sent from a namespace. Its interface takes frames from other programs with generic receive offload on.
    pub(crate) fn new(sender: &NetNs) -> Result<Self> {
        let namespace = NetNs::unnamed()?;
        let near = format!("l{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // The thread's name has the interface's in it, and processes of the whole machine share one list.
        let far = format!("b{}{near}", std::process::id());
        sender.join(&near, &namespace, &far)?;
        namespace.ip(&format!("link set {far} address {MAC}"))?;
        namespace.ip(&format!("address add {ADDRESS}/24 dev {far}"))?;
        output(namespace.command("ethtool").args(["-K", &far, "gro", "on"]))?;
        in_namespace(&namespace, &format!("echo 1 > /mnt/class/net/{far}/threaded"))?;
        let near_index = sender.run(|| if_nametoindex(&*near))?;
        let thread = thread_of(&far)?;
        processor::seize(thread, RECEIVING)?;
        Ok(Self {
            namespace,
            far,
            near_index,
            thread,
        })
    }

    /// Index of the sender's end.
    pub(crate) const fn near_index(&self) -> u32 {
        self.near_index
    }

    /// Name of the receiver's end.
    pub(crate) fn interface(&self) -> &str {
        &self.far
    }

    /// What the receiver has done so far.
    fn reading(&self) -> Result<Reading> {
        let devices = self
            .namespace
            .run(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
        let times = fs::read_to_string(format!("/proc/{}/schedstat", self.thread))?;
        Ok(Reading {
            packets: received(&devices, &self.far).context("the receiver's counters")?,
            nanoseconds: times.split(' ').next().unwrap_or_default().parse()?,
        })
    }

    /// What the receiver has done once its ring is empty and its thread sleeps. The counters are behind by a batch
    /// while it does not.
    fn settled(&self) -> Result<Reading> {
        let start = Instant::now();
        let mut last = self.reading()?;
        loop {
            thread::sleep(PAUSE);
            let rests = self.rests()?;
            let now = self.reading()?;
            if rests && now == last {
                return Ok(now);
            }
            ensure!(start.elapsed() < DRAIN, "a receiver does not come to rest");
            last = now;
        }
    }

    fn rests(&self) -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.thread))?;
        Ok(sleeps(&stat))
    }

    /// Nanoseconds of the receiver's processor for each packet that it took while `send` sent, and how many it took.
    pub(crate) fn cost(&self, send: impl FnOnce() -> Result<()>) -> Result<(f64, u64)> {
        let before = self.settled()?;
        send()?;
        let after = self.settled()?;
        let packets = after.packets - before.packets;
        ensure!(packets > 0, "no packet has arrived");
        #[expect(clippy::cast_precision_loss, reason = "a turn takes less than a day")]
        let cost = (after.nanoseconds - before.nanoseconds) as f64 / packets as f64;
        Ok((cost, packets))
    }
}

/// Runs a shell line in a network namespace, with its `/sys` on `/mnt`.
fn in_namespace(namespace: &NetNs, line: &str) -> Result<()> {
    let line = format!("mount -t sysfs sysfs /mnt && {line}");
    output(namespace.command("unshare").args(["--mount", "sh", "-c", &line])).map(drop)
}

/// The kernel thread of an interface.
fn thread_of(interface: &str) -> Result<Pid> {
    let prefix = format!("napi/{interface}-");
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(&prefix) {
            let number = entry.file_name().to_string_lossy().parse()?;
            return Ok(Pid::from_raw(number));
        }
    }
    bail!("{interface} has no thread of its own")
}

/// Packets that an interface has received, by `/proc/net/dev`.
fn received(devices: &str, interface: &str) -> Option<u64> {
    devices.lines().find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        if name.trim() != interface {
            return None;
        }
        numbers.split_whitespace().nth(1)?.parse().ok()
    })
}

/// Whether a thread waits for something, by its `/proc/…/stat`.
fn sleeps(stat: &str) -> bool {
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with(['S', 'I', 'D']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_rests_while_it_sleeps() {
        assert!(sleeps("7 (napi/b1l0-8193) S 2 0 0"));
        assert!(!sleeps("7 (napi/b1l0-8193) R 2 0 0"));
        assert!(!sleeps("7 (a) S) R 2 0 0"));
    }

    const DEVICES: &str = "Inter-|   Receive       |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       1    0    0    0     0          0         0        0       2    0    0    0     0       0          0
 b1l0:     240       4    0    0    0     0          0         0        0       3    0    0    0     0       0          0
";

    #[test]
    fn packets_are_read_by_interface() {
        assert_eq!(received(DEVICES, "lo"), Some(1));
        assert_eq!(received(DEVICES, "b1l0"), Some(4));
        assert_eq!(received(DEVICES, "b1l"), None);
    }
}
