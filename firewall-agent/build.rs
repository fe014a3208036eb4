//! Compiles `firewall-ebpf` for the BPF target and leaves the object, stripped, in `OUT_DIR` for `include_bytes_aligned!`.
//!
//! `aya-build` is not used: it fixes the compiler flags, and the target CPU has to be `v3` (with the default one
//! rustc may turn `ctx.data()` into shifts that the verifier refuses).
#[path = "build/remap.rs"]
mod remap;
#[path = "build/strip.rs"]
mod strip;
#[path = "build/toolchain.rs"]
mod toolchain;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use toolchain::BpfToolchain;

const OBJECT: &str = "firewall-ebpf";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned();
    for watched in [
        "firewall-ebpf",
        "firewall-common/src",
        "firewall-common/Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo:rerun-if-env-changed={}", toolchain::RUSTC_ENV);

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let toolchain = match BpfToolchain::detect() {
        Ok(toolchain) => toolchain,
        Err(error) => {
            println!("cargo::error={error}");
            return;
        }
    };
    println!("cargo:rustc-env=FIREWALL_EBPF_COMPILER={}", toolchain.describe());

    match build(&root, &out_dir, &toolchain) {
        Ok(built) => {
            let object = fs::read(&built).expect("the object that was built can be read");
            match strip::without_debug_information(&object) {
                Ok(object) => fs::write(out_dir.join(OBJECT), object).expect("OUT_DIR can be written to"),
                Err(error) => println!("cargo::error=the eBPF object cannot be stripped: {error}"),
            }
        }
        Err(error) => println!("cargo::error={error}"),
    }
}

fn build(root: &Path, out_dir: &Path, toolchain: &BpfToolchain) -> Result<PathBuf, String> {
    let profile = out_dir
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "build"))
        .and_then(Path::parent);
    // What is installed is the same wherever it was built: the object's line information has no absolute paths.
    let is_dist = profile.is_some_and(|profile| profile.ends_with("dist"));
    // One target directory for the other profiles of the host build, so that the object is compiled once for them.
    let name = if is_dist { "ebpf-dist" } else { "ebpf" };
    let target_dir = profile
        .and_then(Path::parent)
        .map_or_else(|| out_dir.join(name), |target| target.join(name));
    let mut flags: Vec<String> = toolchain::RUSTFLAGS
        .iter()
        .map(|flag| (*flag).to_owned())
        .collect();
    if is_dist {
        flags.extend(remap::flags(root));
    }

    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--package",
            OBJECT,
            "--target",
            toolchain::TARGET,
            "--target-dir",
        ])
        .arg(&target_dir)
        .env("RUSTC_BOOTSTRAP", toolchain::BOOTSTRAPPED_CRATES)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    if env::var_os("CARGO_FEATURE_EBPF_LOG").is_some() {
        cargo.args(["--features", "log"]);
    }
    run(&mut cargo)?;
    Ok(target_dir.join(toolchain::TARGET).join("release").join(OBJECT))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        for line in text.lines().filter(|line| line.starts_with("warning")) {
            println!("cargo:warning={line}");
        }
        return Ok(());
    }
    for line in text.lines() {
        println!("cargo:warning={line}");
    }
    Err(format!("the eBPF object does not build ({})", output.status))
}
