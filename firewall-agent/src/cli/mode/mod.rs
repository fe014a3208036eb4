//! `fwctl panic` and `fwctl pause`.

mod panic;
mod pause;

use std::fmt::Write;

pub(super) use self::{panic::Panic, pause::Pause};
use super::output::{Output, Tone};
use crate::control::protocol::ModeChanged;

fn text(output: &Output, changed: &ModeChanged) -> String {
    let mut text = String::new();
    for note in &changed.notes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {note}", output.paint(Tone::Doubtful, "note"));
    }
    let line = match (&*changed.mode, changed.seconds) {
        ("panic", _) => output.paint(
            Tone::Bad,
            "panic: everything but the failsafe is dropped; `fwctl panic off` ends it",
        ),
        ("pause", Some(seconds)) => output.paint(
            Tone::Bad,
            format!("pause: everything passes for {seconds} s; `fwctl pause off` ends it before"),
        ),
        _ => format!(
            "{}: packets are judged by the policy",
            output.paint(Tone::Good, "ok")
        ),
    };
    text + &line + "\n"
}
