//! Debian packages, installed without starting the services that come with them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{announce, require_root};
use crate::process::{self, ProcessError};

/// A Debian package, and a file by which to tell that it is installed.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name in Debian.
    pub(super) name: &'static str,
    /// A file that only it, or something as good, puts there.
    proof: &'static str,
}

const fn package(name: &'static str, proof: &'static str) -> Package {
    Package { name, proof }
}

/// What building Rust crates with C parts needs.
pub(super) const COMPILER: &[Package] = &[
    package("gcc", "/usr/bin/gcc"),
    package("libc6-dev", "/usr/include/stdio.h"),
];

/// A compiler that brings its `core` for BPF.
pub(super) const BPF_COMPILER: &[Package] = &[
    package("rustc-web", "/usr/bin/rustc"),
    package(
        "libstd-rust-web-dev-bpf",
        "/usr/lib/rustlib/bpfel-unknown-none/lib",
    ),
];

/// The clippy that belongs to that compiler.
pub(super) const BPF_CLIPPY: &[Package] = &[package("rust-web-clippy", "/usr/bin/clippy-driver")];

/// What `bpf-linker` is built from.
pub(super) const BPF_LINKER: &[Package] = &[
    package("g++", "/usr/bin/g++"),
    package("libpolly-22-dev", "/usr/lib/llvm-22/lib/libPolly.a"),
    package("llvm-22-dev", "/usr/include/llvm-c-22/llvm-c/Core.h"),
    package("zlib1g-dev", "/usr/include/zlib.h"),
];

/// What says of which commit a package is.
pub(super) const DIST: &[Package] = &[package("git", "/usr/bin/git")];

/// What the kernel and namespace suites call.
pub(super) const TEST_TOOLS: &[Package] = &[
    package("ethtool", "/usr/sbin/ethtool"),
    package("fish", "/usr/bin/fish"),
    package("iproute2", "/usr/sbin/tc"),
    package("iputils-ping", "/usr/bin/ping"),
    package("nftables", "/usr/sbin/nft"),
    package("procps", "/usr/sbin/sysctl"),
    package("python3-minimal", "/usr/bin/python3"),
    package("systemd", "/usr/bin/systemd-analyze"),
    package("tcpdump", "/usr/bin/tcpdump"),
    package("util-linux", "/usr/bin/nsenter"),
    package("zsh", "/usr/bin/zsh"),
];

/// The lab's servers, and what its clients and its attacker use.
pub(super) const LAB: &[Package] = &[
    package("curl", "/usr/bin/curl"),
    package("dropbear-bin", "/usr/sbin/dropbear"),
    package("ethtool", "/usr/sbin/ethtool"),
    package("haproxy", "/usr/sbin/haproxy"),
    package("iproute2", "/usr/sbin/tc"),
    package("iputils-ping", "/usr/bin/ping"),
    package("mariadb-client-core", "/usr/bin/mariadb"),
    package("mariadb-server-core", "/usr/sbin/mariadbd"),
    package("nginx", "/usr/sbin/nginx"),
    package("nmap", "/usr/bin/nmap"),
    package("openssl", "/usr/bin/openssl"),
    package("procps", "/usr/sbin/sysctl"),
    package("prometheus", "/usr/bin/prometheus"),
    package("prometheus-node-exporter", "/usr/bin/prometheus-node-exporter"),
    package("python3", "/usr/lib/python3.11/wsgiref/simple_server.py"),
    package(
        "python3-pymysql",
        "/usr/lib/python3/dist-packages/pymysql/__init__.py",
    ),
    package("util-linux", "/usr/bin/nsenter"),
];

/// What the benchmarks measure the firewall beside, and what they call.
pub(super) const BENCH: &[Package] = &[
    package("ethtool", "/usr/sbin/ethtool"),
    package("iproute2", "/usr/sbin/tc"),
    package("ipset", "/usr/sbin/ipset"),
    package("iptables", "/usr/sbin/iptables-legacy"),
    package("nftables", "/usr/sbin/nft"),
    package("nginx", "/usr/sbin/nginx"),
    package("openssl", "/usr/bin/openssl"),
    package("util-linux", "/usr/bin/chrt"),
    package("wrk", "/usr/bin/wrk"),
    package("xdp-tools", "/usr/sbin/xdp-filter"),
];

/// What the virtual machine is made of.
pub(super) const VM: &[Package] = &[
    package("busybox-static", "/bin/busybox"),
    package("cpio", "/usr/bin/cpio"),
    package("iproute2", "/usr/sbin/tc"),
    package("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
];

/// Services that some of the packages would start at the next boot; the lab starts its own.
const SERVICES: [&str; 4] = ["haproxy", "nginx", "prometheus", "prometheus-node-exporter"];

impl Package {
    /// Whether the file that proves it is there.
    pub(super) fn is_installed(&self) -> bool {
        Path::new(self.proof).exists()
    }
}

/// Installs packages in one go. The package lists are fetched only if apt cannot do with the ones it has.
pub(super) fn install(packages: &[&Package]) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    let step = format!("installing Debian packages: {}", names.join(" "));
    let by_hand = format!("apt-get install --no-install-recommends {}", names.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "missing: {}; there is no apt-get here: install them by this system's own means",
            names.join(" ")
        );
    }
    require_root(&step)?;
    announce(&step);

    let _stopped = ServicesHeldBack::new().context("holding back services")?;
    if install_and_name_removals(&names).is_err() {
        announce("fetching apt's package lists");
        process::output(apt_get().arg("update")).context("apt-get update")?;
        install_and_name_removals(&names).with_context(|| format!("`{by_hand}` does not work"))?;
    }
    disable_services(&names);
    match packages.iter().find(|package| !package.is_installed()) {
        Some(package) => bail!(
            "{} is installed, but {} is not there",
            package.name,
            package.proof
        ),
        None => Ok(()),
    }
}

/// Installs, and says beforehand which packages of this machine have to go because they conflict.
fn install_and_name_removals(names: &[&str]) -> Result<(), ProcessError> {
    let plan = process::output(apt_install(names).arg("--simulate"))?;
    let removed = removals(&plan);
    if !removed.is_empty() {
        announce(&format!(
            "removing Debian packages that conflict with these: {}",
            removed.join(" ")
        ));
    }
    process::output(&mut apt_install(names)).map(drop)
}

/// The packages that a simulated run of apt would remove (`Remv NAME [VERSION]`).
fn removals(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next())
        .collect()
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--yes", "--quiet"]);
    apt
}

fn apt_install(names: &[&str]) -> Command {
    let mut apt = apt_get();
    apt.args(["install", "--no-install-recommends"]).args(names);
    apt
}

/// Where systemd runs, a package enables its service for the next boot; the lab wants the program only.
fn disable_services(installed: &[&str]) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    for service in SERVICES.iter().filter(|service| installed.contains(service)) {
        // A failure leaves a service enabled that the administrator can see and disable.
        let _ = process::succeeds(Command::new("systemctl").args(["disable", "--quiet", service]));
    }
}

/// Debian's own way to keep packages from starting services: a `policy-rc.d` that says no. Removed on drop, unless it
/// was there before.
struct ServicesHeldBack {
    created: Option<PathBuf>,
}

impl ServicesHeldBack {
    fn new() -> std::io::Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self { created: None });
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { created: Some(path) })
    }
}

impl Drop for ServicesHeldBack {
    fn drop(&mut self) {
        if let Some(path) = &self.created {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_there_when_its_proof_is() {
        assert!(package("any", "/proc/self").is_installed());
        assert!(!package("any", "/proc/no-such-file").is_installed());
    }

    #[test]
    fn only_removals_are_read_from_a_plan() {
        let plan = "Remv qemu-utils [1:10.0.2]\nInst seabios (1.16.2-1 Debian:12 [all])\nConf seabios\n";
        assert_eq!(removals(plan), ["qemu-utils"]);
        assert!(removals("Inst seabios\n").is_empty());
    }

    #[test]
    fn held_back_services_are_those_of_the_lab() {
        for service in SERVICES {
            assert!(
                LAB.iter().any(|package| package.name == service),
                "{service} is not a lab package"
            );
        }
    }
}
