//! Bans: addresses that no packet comes from or goes to, for a while or for good. The kernel ends them by itself.

use std::{net::IpAddr, time::Duration};

use firewall_common::{counters::Hook, reason::Reason};
use ipnet::IpNet;

use super::{
    agent::{Agent, Editor},
    chain::chain,
    kernel::Kernel,
    report::kernel_failure,
};
use crate::{
    calendar,
    control::protocol::{BanInfo, BanList, BansChanged, Failure, FailureKind, NewBan},
    dataplane::{Bans, ClockReading, DataplaneError, ban_table},
    failpoint::Step,
    settings::{FailsafeSettings, network},
    state::{Actor, Ban, BanFile, Event, LONGEST, Moment, StateDirectory, Unrecorded},
};

/// The bans and their file. Only who holds the editor changes them.
#[derive(Debug)]
pub(super) struct BanBook {
    bans: Vec<Ban>,
    file: BanFile,
    /// The last change, and whether the history tells of it.
    change: Option<Unrecorded>,
    is_recorded: bool,
}

impl BanBook {
    /// Reads the bans, and has the kernel's tables hold what is left of them.
    pub(super) fn open(state: &StateDirectory, kernel: &mut Kernel) -> (Self, Vec<String>) {
        let (file, kept, problem) = BanFile::open(state);
        let mut book = Self {
            bans: kept.bans,
            file,
            change: kept.change,
            is_recorded: false,
        };
        let problem = match problem {
            // What the kernel holds stays as it is.
            Some(problem) => Some(problem.to_string()),
            None => book.restore(kernel).err().map(|error| chain(&error)),
        };
        let problem = problem.map(|problem| format!("bans may not hold: {problem}"));
        (book, problem.into_iter().collect())
    }

    fn restore(&mut self, kernel: &mut Kernel) -> Result<(), DataplaneError> {
        let clock = kernel.dataplane.clock()?;
        for ban in &mut self.bans {
            let until = ban.until.take();
            ban.until = until.map(|until| until.in_this_boot(ban.since, &clock));
        }
        self.bans = self.live(&clock);
        kernel.dataplane.set_bans(&self.table(&clock)).map(drop)
    }

    /// An agent that ended between a change and its record has left it unrecorded. Says so.
    pub(super) fn catch_up(&mut self, editor: &mut Editor) -> Option<String> {
        let change = self.change.as_ref()?;
        self.is_recorded = editor.history.tells(change);
        if self.is_recorded {
            return None;
        }
        let what = format!(
            "the agent ended while it made a change of {} ({})",
            change.record.by.describe(),
            change.record.event.name()
        );
        self.record(editor);
        Some(if self.is_recorded {
            format!("{what}: the change holds, and was recorded by this start")
        } else {
            format!("{what}: the change holds, and cannot be recorded yet")
        })
    }

    /// Records the last change where that is to be done yet.
    fn record(&mut self, editor: &mut Editor) {
        if let Some(change) = self.change.as_ref().filter(|_| !self.is_recorded) {
            self.is_recorded = editor.record_kept(change);
        }
    }

    /// Those that have not ended.
    pub(super) fn live(&self, clock: &ClockReading) -> Vec<Ban> {
        let bans = self.bans.iter().filter(|ban| is_live(ban, clock));
        bans.cloned().collect()
    }

    fn table(&self, clock: &ClockReading) -> Bans {
        table(&self.bans, clock)
    }
}

fn table(bans: &[Ban], clock: &ClockReading) -> Bans {
    let ends = bans
        .iter()
        .map(|ban| (ban.prefix, ban.until.as_ref().map_or(0, |until| until.ticks)));
    ban_table(&ends.collect(), clock)
}

fn is_live(ban: &Ban, clock: &ClockReading) -> bool {
    ban.until
        .as_ref()
        .is_none_or(|until| !until.left(clock).is_zero())
}

impl Agent {
    /// Bans addresses and prefixes, live at once.
    pub fn ban(&self, by: &Actor, new: &NewBan) -> Result<BansChanged, Failure> {
        let prefixes = prefixes(&new.addresses)?;
        let time = time(new.seconds)?;
        let operator = by.from.map(|from| from.client.ip());
        for prefix in &prefixes {
            self.refuse_own(*prefix, operator)?;
        }
        let occasion = Some((Event::Ban, by, new.reason.as_deref()));
        self.change_bans(occasion, |bans, clock| {
            let mut changes = Vec::new();
            for &prefix in &prefixes {
                let until = time.map(|time| Moment::after(time, clock));
                let before = bans.len();
                bans.retain(|ban| ban.prefix != prefix);
                let what = if bans.len() == before {
                    "banned"
                } else {
                    "banned anew"
                };
                let ends = until
                    .as_ref()
                    .map_or_else(|| "for good".to_owned(), |until| format!("until {:.0}", until.at));
                changes.push(format!("{what} {} {ends}", short(prefix)));
                bans.push(Ban {
                    prefix,
                    since: calendar::now(),
                    until,
                    by: by.clone(),
                    reason: new.reason.clone(),
                });
            }
            let remarks = prefixes
                .iter()
                .filter_map(|prefix| outlived(bans, *prefix, clock));
            let remarks = remarks.collect();
            Ok((changes, remarks))
        })
        .inspect(|changed| log(by, changed, new.reason.as_deref()))
    }

    /// Ends bans, live at once.
    pub fn unban(&self, by: &Actor, addresses: &[String]) -> Result<BansChanged, Failure> {
        let prefixes = prefixes(addresses)?;
        self.change_bans(Some((Event::Unban, by, None)), |bans, _| {
            let mut remarks = Vec::new();
            for prefix in &prefixes {
                let before = bans.len();
                bans.retain(|ban| ban.prefix != *prefix);
                if bans.len() == before {
                    return Err(not_banned(bans, *prefix));
                }
                let rest = bans.iter().find(|ban| ban.prefix.contains(prefix));
                remarks.extend(rest.map(|ban| {
                    format!(
                        "{} stays shut: {} is banned, too",
                        short(*prefix),
                        short(ban.prefix)
                    )
                }));
            }
            let changes = prefixes
                .iter()
                .map(|prefix| format!("{} is banned no more", short(*prefix)));
            Ok((changes.collect(), remarks))
        })
        .inspect(|changed| log(by, changed, None))
    }

    /// The bans that hold.
    pub fn ban_list(&self) -> Result<BanList, Failure> {
        let (_, counters) = self.counted()?;
        let clock = self.read_clock()?;
        let mut bans = self.lock_bans().live(&clock);
        bans.sort_by_key(|ban| ban.prefix);
        let dropped = [Hook::Ingress, Hook::Egress].map(|hook| counters.reason(hook, Reason::Banned).packets);
        Ok(BanList {
            bans: bans.into_iter().map(|ban| info(ban, &clock)).collect(),
            dropped_packets: dropped.iter().sum(),
        })
    }

    /// How many bans hold.
    pub(crate) fn ban_count(&self) -> Result<usize, Failure> {
        let clock = self.read_clock()?;
        let book = self.lock_bans();
        Ok(book.bans.iter().filter(|ban| is_live(ban, &clock)).count())
    }

    /// Forgets bans that have ended: the kernel has let those packets pass since.
    pub(crate) fn forget_ended_bans(&self) {
        let Ok(clock) = self.read_clock() else { return };
        if self.lock_bans().bans.iter().all(|ban| is_live(ban, &clock)) {
            return;
        }
        // Ended ones are left out of every change.
        match self.change_bans(None, |_, _| Ok((Vec::new(), Vec::new()))) {
            Ok(left) => tracing::info!(bans = left.bans, "bans have ended"),
            Err(failure) => tracing::warn!("ended bans are still kept: {}", failure.message),
        }
    }

    pub(super) fn read_clock(&self) -> Result<ClockReading, Failure> {
        let clock = self.kernel().dataplane.clock();
        clock.map_err(|error| kernel_failure(&error))
    }

    /// Changes the bans that have not ended: durably first, then in the kernel. On failure both are what they were.
    fn change_bans(
        &self,
        occasion: Option<(Event, &Actor, Option<&str>)>,
        change: impl FnOnce(&mut Vec<Ban>, &ClockReading) -> Result<(Vec<String>, Vec<String>), Failure>,
    ) -> Result<BansChanged, Failure> {
        let mut editor = self.lock_editor();
        let clock = self.read_clock()?;
        let mut bans = self.lock_bans().live(&clock);
        let (changes, remarks) = change(&mut bans, &clock)?;
        let mut book = self.lock_bans();
        // What could not be recorded before comes first.
        book.record(&mut editor);
        let is_for_the_record = occasion.is_some();
        let led_here = occasion.map(|(event, by, why)| editor.to_record(event, by, why, &changes));
        // One that has ended by itself ended when its entry says.
        let led_here = led_here.or_else(|| book.change.clone());
        let written = book.file.write(&bans, led_here.as_ref());
        written.map_err(|error| failed(&error))?;
        Step::BansWritten.done();
        let mut kernel = self.kernel();
        let generation = match kernel.dataplane.set_bans(&table(&bans, &clock)) {
            Ok(generation) => generation,
            Err(error) => {
                let restored = kernel.dataplane.set_bans(&book.table(&clock)).map(drop);
                let rewritten = book.file.write(&book.bans, book.change.as_ref());
                if restored.is_err() || rewritten.is_err() {
                    tracing::error!("bans may be others than `fwctl ban list` shows");
                }
                return Err(failed(&error));
            }
        };
        Step::BansSwitched.done();
        drop(kernel);
        book.bans = bans;
        book.change = led_here;
        let count = book.bans.len();
        let in_force = self.in_force().with_epoch(generation);
        self.set_in_force(in_force);
        if is_for_the_record {
            book.is_recorded = false;
            book.record(&mut editor);
            self.follow_history(&editor);
        }
        drop(book);
        drop(editor);
        Ok(BansChanged {
            changes,
            bans: count,
            generation,
            remarks,
        })
    }

    /// Nobody bans himself, who manages this host, or the host.
    fn refuse_own(&self, prefix: IpNet, operator: Option<IpAddr>) -> Result<(), Failure> {
        let hint = if prefix.prefix_len() == prefix.max_prefix_len() {
            "nothing was changed"
        } else {
            "nothing was changed; ban a narrower prefix that leaves it out"
        };
        let refused = |whom: String| {
            let message = format!("{} is not banned: it {whom}", short(prefix));
            Err(Failure::new(FailureKind::Conflict, message).hint(hint))
        };
        let has = |address: IpAddr| prefix.contains(&address.to_canonical());
        if let Some(operator) = operator.filter(|operator| has(*operator)) {
            let is_or_has = if prefix.prefix_len() == prefix.max_prefix_len() {
                "is where you are logged in from".to_owned()
            } else {
                format!("has {}, where you are logged in from", operator.to_canonical())
            };
            return refused(is_or_has);
        }
        if let Some((what, network)) = failsafe_of(&self.settings.failsafe, prefix) {
            return refused(format!(
                "has addresses of {}, {what} in the agent's settings",
                short(network)
            ));
        }
        let own = self.kernel().dataplane.local_addresses();
        let own = own.map_err(|error| kernel_failure(&error))?;
        match own.into_iter().find(|address| has(*address)) {
            Some(address) => refused(format!("has {address}, an address of this host")),
            None => Ok(()),
        }
    }
}

/// What of the failsafe overlaps a prefix.
fn failsafe_of(failsafe: &FailsafeSettings, prefix: IpNet) -> Option<(&'static str, IpNet)> {
    let overlaps = |network: &&IpNet| network.contains(&prefix) || prefix.contains(*network);
    let sources = failsafe.management_sources.iter().find(overlaps);
    let sources = sources.map(|network| ("a management source of the failsafe", *network));
    sources.or_else(|| {
        let resolvers = failsafe.resolvers.iter().find(overlaps);
        resolvers.map(|network| ("a resolver of the failsafe", *network))
    })
}

/// What an operator names: IPv4 in IPv6 stands on the wire as IPv4.
fn prefixes(texts: &[String]) -> Result<Vec<IpNet>, Failure> {
    let mut prefixes = Vec::new();
    for text in texts {
        let prefix = network(text).map_err(|message| Failure::new(FailureKind::BadRequest, message))?;
        let prefix = match prefix.addr().to_canonical() {
            IpAddr::V4(v4) if prefix.prefix_len() == 128 => IpAddr::V4(v4).into(),
            _ => prefix,
        };
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    Ok(prefixes)
}

fn time(seconds: Option<u64>) -> Result<Option<Duration>, Failure> {
    match seconds.map(Duration::from_secs) {
        Some(time) if time.is_zero() || time > LONGEST => Err(Failure::new(
            FailureKind::BadRequest,
            "a ban with an end lasts between a second and a year",
        )
        .hint("without `--for` it has no end")),
        time => Ok(time),
    }
}

/// A wider ban that ends later than the one of this prefix.
fn outlived(bans: &[Ban], prefix: IpNet, clock: &ClockReading) -> Option<String> {
    let left = |ban: &Ban| {
        ban.until
            .as_ref()
            .map_or(Duration::MAX, |until| until.left(clock))
    };
    let own = bans.iter().find(|ban| ban.prefix == prefix).map(left)?;
    let wider = bans
        .iter()
        .find(|ban| ban.prefix != prefix && ban.prefix.contains(&prefix) && left(ban) > own)?;
    Some(format!(
        "{} stays shut for longer: {} is banned, too",
        short(prefix),
        short(wider.prefix)
    ))
}

fn not_banned(bans: &[Ban], prefix: IpNet) -> Failure {
    let failure = Failure::new(FailureKind::NotFound, format!("{} is not banned", short(prefix)));
    match bans.iter().find(|ban| ban.prefix.contains(&prefix)) {
        Some(wider) => failure.hint(format!("{} is, and has it", short(wider.prefix))),
        None => failure.hint("`fwctl ban list` shows the bans that hold"),
    }
}

/// A single address without its length.
fn short(prefix: IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

fn info(ban: Ban, clock: &ClockReading) -> BanInfo {
    BanInfo {
        prefix: short(ban.prefix),
        since: ban.since,
        seconds_left: ban.until.as_ref().map(|until| until.left(clock).as_secs()),
        until: ban.until.map(|until| until.at),
        by: ban.by,
        reason: ban.reason,
    }
}

fn log(by: &Actor, changed: &BansChanged, reason: Option<&str>) {
    tracing::info!(
        uid = by.uid,
        user = by.user,
        reason,
        bans = changed.bans,
        changes = ?changed.changes,
        "the bans have changed"
    );
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(FailureKind::Failed, chain(error)).hint("the bans are what they were")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_named_in_one_way() {
        let parsed = |text: &str| prefixes(&[text.to_owned()]).map(|found| found[0].to_string());
        assert_eq!(parsed("192.0.2.1"), Ok("192.0.2.1/32".into()));
        assert_eq!(parsed("::ffff:192.0.2.1"), Ok("192.0.2.1/32".into()));
        assert_eq!(parsed("2001:db8::/32"), Ok("2001:db8::/32".into()));
        let failure = parsed("192.0.2.1/24").expect_err("bits behind the length");
        assert!(failure.message.contains("192.0.2.0/24"), "{}", failure.message);
        assert!(parsed("host").is_err());
        let twice = ["192.0.2.1", "192.0.2.1/32"].map(str::to_owned);
        assert_eq!(prefixes(&twice).map(|found| found.len()), Ok(1));
    }

    #[test]
    fn times_have_bounds() {
        assert_eq!(time(None), Ok(None));
        assert_eq!(time(Some(60)), Ok(Some(Duration::from_mins(1))));
        for seconds in [0, LONGEST.as_secs() + 1, u64::MAX] {
            assert!(time(Some(seconds)).is_err(), "{seconds}");
        }
    }
}
