//! A terminal with a program on it, as an SSH session has one.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use firewall_tests::wait::wait_until;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, OutputFlags, tcgetattr},
    },
    unistd::{Pid, setsid},
};

use crate::screen::Screen;

/// How long a picture may take that comes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Terminal {
    /// The side of who looks and types; none where they have hung up.
    master: Option<File>,
    /// The program's side, so that the terminal is still there when the program has ended.
    slave: OwnedFd,
    program: Child,
    written: Arc<Mutex<Vec<u8>>>,
}

/// How a terminal treats what is typed and written.
pub(crate) type Manner = (LocalFlags, OutputFlags);

impl Terminal {
    /// A terminal of 80 columns and 24 rows on which a program runs, in a session of its own, with somebody who looks.
    pub(crate) fn run(command: Command) -> Self {
        let terminal = Self::run_unread(command);
        terminal.read();
        terminal
    }

    /// The same, where nobody reads what is written.
    pub(crate) fn run_unread(mut command: Command) -> Self {
        let OpenptyResult { master, slave } = openpty(&size(80, 24), None).expect("there are terminals");
        // A program that had the other side of its own terminal would never see it go.
        for end in [&master, &slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("ours");
        }
        let side = || slave.try_clone().expect("a descriptor");
        command.stdin(side()).stdout(side()).stderr(side());
        command.env("TERM", "xterm-256color");
        // SAFETY: it makes system calls only, which are safe after a fork.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                // SAFETY: takes no pointer; standard input is the terminal by now.
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        Self {
            program: command.spawn().expect("it runs"),
            master: Some(File::from(master)),
            slave,
            written: Arc::default(),
        }
    }

    /// From now on somebody looks.
    pub(crate) fn read(&self) {
        let mut master = self.master().try_clone().expect("a descriptor");
        let written = Arc::clone(&self.written);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once the other side is closed.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                written.lock().expect("whole").extend_from_slice(&bytes[..count]);
            }
        });
    }

    fn master(&self) -> &File {
        self.master.as_ref().expect("nobody has hung up")
    }

    pub(crate) fn manner(&self) -> Manner {
        let manner = tcgetattr(&self.slave).expect("a terminal");
        (manner.local_flags, manner.output_flags)
    }

    pub(crate) fn type_keys(&self, keys: &str) {
        self.master().write_all(keys.as_bytes()).expect("it is there");
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = size(columns, rows);
        // SAFETY: the pointer is a reference's, to what this request takes.
        let result = unsafe { libc::ioctl(self.master().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(result, 0, "a terminal has a size");
    }

    pub(crate) fn screen(&self) -> Screen {
        Screen::of(&String::from_utf8_lossy(&self.written.lock().expect("whole")))
    }

    /// Waits until a text is shown.
    pub(crate) fn sees(&self, text: &str) {
        let seen = wait_until(PATIENCE, || self.screen().text().contains(text));
        assert!(seen, "{text:?} is not shown:\n{}", self.screen().text());
    }

    /// Waits until the picture has a size.
    pub(crate) fn fills(&self, columns: usize, rows: usize) {
        let filled = wait_until(PATIENCE, || self.screen().size() == (columns, rows));
        assert!(filled, "{:?}:\n{}", self.screen().size(), self.screen().text());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a process number"));
        kill(pid, signal).expect("it is there");
    }

    /// The connection breaks: there is no terminal any more.
    pub(crate) fn hang_up(&mut self) {
        self.master = None;
    }

    /// Waits for the end of the program.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = wait_until(PATIENCE, || {
            status = self.program.try_wait().expect("our child");
            status.is_some()
        });
        assert!(ended, "it goes on:\n{}", self.screen().text());
        status.expect("it has ended")
    }

    /// Asserts that the terminal is as a shell wants it: as it was, with a cursor, and the screen from before.
    pub(crate) fn is_as_it_was(&self, before: Manner) {
        assert_eq!(self.manner(), before);
        // The last bytes may still be on their way to who reads.
        let shows_all = || {
            let screen = self.screen();
            !screen.is_alternate && !screen.hides_cursor
        };
        assert!(wait_until(PATIENCE, shows_all), "{:?}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

const fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
