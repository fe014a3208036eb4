//! Whoever reads what a command writes, for commands that go on for long and may have nothing to write meanwhile.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    process::exit,
    thread,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::output::Exit;

/// From now on the program ends when nobody can read its standard output any more: a write would say so, but there may
/// be none for hours. To be called after [`super::interrupt::Interrupt::catch`], which is about the calling thread and those
/// that it starts.
pub(super) fn end_with_reader() {
    thread::spawn(|| {
        if is_gone() {
            exit(Exit::Done as i32);
        }
    });
}

/// Waits until nobody reads. False where that cannot be waited for.
fn is_gone() -> bool {
    let stdout = io::stdout();
    // No event is asked for: an error or a hang-up is told of in any case.
    let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    polled[0].revents().is_some_and(|events| events.intersects(gone))
}

/// Says something on standard error, where somebody may be reading or not.
pub(super) fn tell(text: &str) {
    // Nobody who can be told is no reason to fail.
    let _ = io::stderr().write_all(text.as_bytes());
}
