//! `cargo xtask vm`: the guest suite on Debian's 6.1 kernel, the oldest that is supported, in a virtual machine.

mod initramfs;
mod machine;

use anyhow::{Context, Result, bail};

use crate::{
    build,
    setup::{self, Part, kernel},
};

/// Sets up, builds, and runs the guest suite.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Part::Toolchain, Part::Vm])?;
    build::dist()?;
    suite()
}

/// Builds the guest suite and the initramfs around it and the release binaries, boots, and judges by what the suite
/// says at its end.
pub(crate) fn suite() -> Result<()> {
    build::for_tests()?;
    let image = kernel::image().context("the 6.1 kernel is not unpacked")?;
    let initramfs = initramfs::build()?;
    match machine::boot(&image, &initramfs)? {
        machine::Outcome::Passed => Ok(()),
        machine::Outcome::Failed => bail!("the guest suite failed on {}", image.display()),
        machine::Outcome::Ended => bail!("the guest ended before its suite did"),
        machine::Outcome::TimedOut => {
            bail!("the guest suite did not end in {} s", machine::PATIENCE.as_secs())
        }
    }
}
