//! Whether somebody is writing a file at this moment.

use std::{fs::File, io, os::fd::AsRawFd};

/// Sets which signal tells of a lease that is to be given back (linux `asm-generic/fcntl.h`).
const F_SETSIG: libc::c_int = 10;

/// Whether a process has the file open for writing: what is in it may then be half of what is to be.
///
/// The kernel gives a read lease only on a file that nobody has open for writing (`fcntl(2)`, "Leases"), and only to
/// the file's owner or root. False where it gives none for another reason: on file systems without leases, and to
/// somebody else.
pub(super) fn has_writer(file: &File) -> bool {
    // A writer that comes while the lease is held waits until it is given back, and the holder is sent this signal:
    // one that is ignored unless somebody asks for it, other than the SIGIO that it would be.
    let _ = lease(file, F_SETSIG, libc::SIGURG);
    match lease(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => {
            let _ = lease(file, libc::F_SETLEASE, libc::F_UNLCK);
            false
        }
        Err(error) => error.raw_os_error() == Some(libc::EAGAIN),
    }
}

fn lease(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and these commands take a number.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_writer_is_seen_and_a_reader_is_none() {
        let written = tempfile::NamedTempFile::new().expect("a file");
        let file = File::open(written.path()).expect("it is there");
        assert!(has_writer(&file), "the temporary file is open for writing");
        let path = written.into_temp_path();
        let _reader = File::open(&path).expect("it is there");
        assert!(!has_writer(&file));
        let writer = OpenOptions::new().append(true).open(&path).expect("ours");
        assert!(has_writer(&file));
        drop(writer);
        assert!(!has_writer(&file));
    }
}
