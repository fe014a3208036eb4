//! Finds a compiler that can build for the BPF target. Shared with `cargo xtask setup` by path.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The target triple of the eBPF object.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// The crates that may use unstable features when a stable compiler builds them: `aya-ebpf` itself, and our one
/// crate with BPF inline assembly.
pub(crate) const BOOTSTRAPPED_CRATES: &str = "aya_ebpf,firewall_common,firewall_ebpf";
/// Compiler flags of the eBPF object.
pub(crate) const RUSTFLAGS: [&str; 5] = [
    "-Ctarget-cpu=v3",
    "-Cdebuginfo=2",
    "-Clinker=bpf-linker",
    "-Clink-arg=--btf",
    "--cfg=bpf_target_arch=\"x86_64\"",
];
/// Names a rustc with a prebuilt `core` for [`TARGET`]; overrides the search.
pub(crate) const RUSTC_ENV: &str = "FIREWALL_EBPF_RUSTC";

/// The ways to compile for BPF, in order of preference: what is installed wins over what has to be built.
#[derive(Debug)]
pub(crate) enum BpfToolchain {
    /// A compiler that ships a prebuilt `core` (Debian's rustc-web with libstd-rust-web-dev-bpf).
    Prebuilt { rustc: PathBuf },
    /// The nightly toolchain with rust-src, which builds `core` itself.
    NightlyBuildStd,
}

impl BpfToolchain {
    /// Looks for the toolchains in order; the error says how to get one.
    pub(crate) fn detect() -> Result<Self, String> {
        if let Some(rustc) = env::var_os(RUSTC_ENV) {
            let rustc = PathBuf::from(rustc);
            return if has_prebuilt_core(&rustc) {
                Ok(Self::Prebuilt { rustc })
            } else {
                Err(format!(
                    "{RUSTC_ENV}={} has no core for {TARGET}",
                    rustc.display()
                ))
            };
        }
        let debian = Path::new("/usr/bin/rustc");
        if has_prebuilt_core(debian) {
            return Ok(Self::Prebuilt {
                rustc: debian.to_owned(),
            });
        }
        if nightly_has_source() {
            return Ok(Self::NightlyBuildStd);
        }
        Err(format!(
            "no compiler for {TARGET}: run `cargo xtask setup`, which installs Debian's rustc-web and \
             libstd-rust-web-dev-bpf, or `rustup toolchain install nightly --component rust-src`"
        ))
    }

    /// One line that says which way was taken.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Prebuilt { rustc } => format!("{} with its prebuilt core", rustc.display()),
            Self::NightlyBuildStd => "nightly with -Zbuild-std=core".to_owned(),
        }
    }

    /// A cargo that uses this toolchain.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Prebuilt { rustc } => {
                let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                cargo.env("RUSTC", rustc);
                cargo
            }
            Self::NightlyBuildStd => {
                let mut cargo = Command::new("rustup");
                cargo
                    .args(["run", "nightly", "cargo", "-Zbuild-std=core"])
                    .env_remove("RUSTC");
                cargo
            }
        }
    }
}

fn has_prebuilt_core(rustc: &Path) -> bool {
    sysroot(Command::new(rustc))
        .is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn nightly_has_source() -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc"]);
    sysroot(rustc).is_some_and(|root| root.join("lib/rustlib/src/rust/library/core").is_dir())
}

fn sysroot(mut rustc: Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
