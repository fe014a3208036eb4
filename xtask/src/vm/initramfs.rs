//! The guest's whole file system: busybox, `ip`, the programs under test with their libraries, and a few modules.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{process, setup::kernel, workspace};

const INIT: &str = include_str!("init.sh");
/// Modules in the order in which they have to be loaded.
const MODULES: [&str; 6] = [
    "veth",
    "sch_ingress",
    "cls_bpf",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
];
/// Programs of this machine that the guest has too.
const TOOLS: [&str; 2] = ["/usr/sbin/ip", "/usr/sbin/tc"];
/// What is tested, and the suite that tests it (the tests crate's binary `guest`).
const PROGRAMS: [&str; 3] = ["dist/firewall-agent", "dist/fwctl", "debug/guest"];

/// Makes the initramfs anew and returns its path.
pub(super) fn build() -> Result<PathBuf> {
    let directory = workspace::target_dir().join("vm/root");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    for folder in [
        "bin", "dev", "etc", "mnt", "modules", "proc", "run", "sys", "tmp", "var",
    ] {
        fs::create_dir_all(directory.join(folder))?;
    }
    let mut root = Root {
        directory,
        libraries: BTreeSet::new(),
    };
    root.add_busybox()?;
    for tool in TOOLS {
        root.add_program(Path::new(tool))?;
    }
    for program in PROGRAMS {
        root.add_program(&workspace::target_dir().join(program))?;
    }
    root.add_libraries()?;
    root.add_modules()?;
    root.add_policies()?;
    root.write_executable("init", INIT)?;
    root.pack()
}

struct Root {
    directory: PathBuf,
    libraries: BTreeSet<PathBuf>,
}

impl Root {
    /// busybox under its own name; `init.sh` calls its applets through it, so no links are needed but the shell's.
    fn add_busybox(&self) -> Result<()> {
        fs::copy("/bin/busybox", self.directory.join("bin/busybox")).context("copying busybox")?;
        Ok(symlink("busybox", self.directory.join("bin/sh"))?)
    }

    /// A program without its debugging information, in /bin, and the names of its libraries.
    fn add_program(&mut self, program: &Path) -> Result<()> {
        let name = program.file_name().context("a program has a name")?;
        let copy = self.directory.join("bin").join(name);
        process::output(Command::new("strip").arg("-o").arg(&copy).arg(program))?;
        let text = process::output(Command::new("ldd").arg(program))?;
        self.libraries.extend(libraries(&text));
        Ok(())
    }

    fn add_libraries(&self) -> Result<()> {
        for library in &self.libraries {
            let copy = self.directory.join(library.strip_prefix("/").unwrap_or(library));
            fs::create_dir_all(copy.parent().context("a library lies in a directory")?)?;
            fs::copy(library, &copy).with_context(|| format!("copying {}", library.display()))?;
        }
        Ok(())
    }

    fn add_modules(&self) -> Result<()> {
        for (number, module) in MODULES.iter().enumerate() {
            let Some(file) = find(&kernel::directory().join("lib/modules"), &format!("{module}.ko"))? else {
                bail!("the kernel's package has no module {module}");
            };
            fs::copy(file, self.directory.join(format!("modules/{number}-{module}.ko")))?;
        }
        Ok(())
    }

    /// The shipped policies, where the agent looks for none by itself: the suite names them.
    fn add_policies(&self) -> Result<()> {
        let policies = workspace::root().join("rules");
        if policies.is_dir() {
            process::output(
                Command::new("cp")
                    .arg("-r")
                    .arg(policies)
                    .arg(self.directory.join("etc/rules")),
            )?;
        }
        Ok(())
    }

    fn write_executable(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    /// Packs everything in the one format that the kernel unpacks (Documentation/driver-api/early-userspace).
    fn pack(&self) -> Result<PathBuf> {
        let archive = self.directory.with_file_name("initramfs.cpio");
        let mut find = Command::new("find")
            .arg(".")
            .current_dir(&self.directory)
            .stdout(Stdio::piped())
            .spawn()?;
        let names = find.stdout.take().context("find's output is piped")?;
        let status = Command::new("cpio")
            .args(["--create", "--format=newc", "--quiet", "--owner=+0:+0"])
            .current_dir(&self.directory)
            .stdin(names)
            .stdout(File::create(&archive)?)
            .status()
            .context("running cpio")?;
        if !find.wait()?.success() || !status.success() {
            bail!("cannot pack {}", archive.display());
        }
        Ok(archive)
    }
}

/// The files in what `ldd` prints: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader.
fn libraries(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
}

fn find(directory: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name() == name {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f46)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f47)\n";
        let found: Vec<PathBuf> = libraries(text).collect();
        assert_eq!(
            found,
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }
}
