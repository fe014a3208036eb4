//! The log in systemd's journal: a field for everything that is said, so that `journalctl FW_RULE=ssh` finds it.

use std::{
    io,
    os::linux::fs::MetadataExt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Set by systemd where an output goes to the journal: the device and inode of its end (`systemd.exec(5)`).
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// What the fields' names start with.
const PREFIX: &str = "FW";

/// What the journal calls the lines.
const IDENTIFIER: &str = "firewall-agent";

/// Most packets in the log in a second, of all rules and reasons. The journal takes 10,000 lines in 30 seconds of a
/// service, and nothing at all for the rest of them (`journald.conf(5)`): changes must not go missing in a flood.
const PACKETS_PER_SECOND: u32 = 200;

/// Whether systemd reads what is written to standard error.
pub(super) fn goes_to_the_journal() -> bool {
    let Ok(stream) = std::env::var(JOURNAL_VARIABLE) else {
        return false;
    };
    let Ok(error_output) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    is_stream(&stream, error_output.st_dev(), error_output.st_ino())
}

/// `DEVICE:INODE`. A program that the service starts may have the variable and another output.
fn is_stream(text: &str, device: u64, inode: u64) -> bool {
    let numbers = text.split_once(':');
    numbers.is_some_and(|(one, other)| one.parse() == Ok(device) && other.parse() == Ok(inode))
}

/// Writes to the journal; fields are called `FW_…`.
pub(super) fn journal() -> io::Result<tracing_journald::Layer> {
    Ok(tracing_journald::layer()?
        .with_field_prefix(Some(PREFIX.to_owned()))
        .with_syslog_identifier(IDENTIFIER.to_owned()))
}

/// How many packets may still be logged.
#[derive(Debug, Default)]
pub(super) struct PacketBudget {
    second: AtomicU64,
    logged: AtomicU32,
    left_out: AtomicU64,
}

impl PacketBudget {
    /// Whether one more may be logged in this second, which is counted from anything. Where a new second begins after
    /// some were left out, says how many that were.
    pub(super) fn take(&self, second: u64) -> (bool, Option<u64>) {
        let mut left_out = None;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.logged.store(0, Ordering::Relaxed);
            left_out = Some(self.left_out.swap(0, Ordering::Relaxed)).filter(|count| *count > 0);
        }
        let fits = self.logged.fetch_add(1, Ordering::Relaxed) < PACKETS_PER_SECOND;
        if !fits {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        (fits, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_systemd_made_is_the_journal() {
        assert!(is_stream("9:4711", 9, 4711));
        for other in ["9:4712", "8:4711", "9", "", ":", "nine:4711"] {
            assert!(!is_stream(other, 9, 4711), "{other}");
        }
    }

    #[test]
    fn a_flood_is_cut_and_what_is_left_out_is_counted() {
        let budget = PacketBudget::default();
        let taken = (0..PACKETS_PER_SECOND + 30).map(|_| u32::from(budget.take(1).0));
        assert_eq!(taken.sum::<u32>(), PACKETS_PER_SECOND);
        assert_eq!(budget.take(2), (true, Some(30)));
        assert_eq!(budget.take(2), (true, None));
    }
}
