//! What `fwctl` and the agent say to each other.
//!
//! A field may be added to a reply within a version; anything else raises [`VERSION`]. Requests refuse unknown fields,
//! so that a wish which an older agent does not know is never silently left out.

mod ban;
mod capture;
mod confirm;
mod counters;
mod edit;
pub(crate) mod event;
mod failure;
mod flow;
mod history;
mod inspection;
mod learn;
mod mode;
mod plan;
mod rule;
mod set;
mod settings;
mod shadow;
mod status;
mod watch;

use serde::{Deserialize, Serialize};

use crate::{
    state::{Head, SshConnection},
    trial::{Explanation, Question},
};

pub use ban::{BanInfo, BanList, BansChanged, NewBan};
pub use capture::{Capture, CapturedPacket, Captures, Link};
pub use confirm::{Apply, Confirm, ConfirmStatus, NewFile};
pub use counters::{Counters, InterfaceCounts, Packets, ReasonCounts, RuleCounts};
pub use edit::{Edit, Edits, LineEdit};
pub use event::{EventFilter, EventInfo, Events, IcmpMessage};
pub use failure::{Failure, FailureKind, FileDifference, Finding, Remark};
pub use flow::{FlowEnd, FlowFilter, FlowInfo, FlowSort, Flows, FlowsDeleted};
pub use history::{HistoryEntry, HistoryFault, HistoryList, HistoryVerdict, Rollback};
pub use inspection::{Inspection, InterfaceInspection};
pub use learn::{Learn, Learned, Listening, SeenConnection};
pub use mode::ModeChanged;
pub use plan::{
    Difference, FlowGroup, ListDifference, ListenerChange, ManagedVerdict, Plan, RecentFlows, RuleDifference,
};
pub use rule::{Changed, DisabledRule, NewRule, RuleDetail, RulePlace, RuleSummary, Rules, TimedRule};
pub use set::{ListDetail, ListSummary, Lists};
pub use settings::{SettingsState, SettingsStatus};
pub use shadow::{Shadow, ShadowDrops, ShadowOpened, ShadowProgress, ShadowReport, ShadowRule};
pub use status::{
    Enforcing, FileState, InterfaceFailure, InterfaceStatus, LastReload, PolicyFileStatus, RevisionStatus,
    Status, TableUse,
};
pub use watch::{WatchKind, WatchStatus};

/// Version of the protocol.
pub const VERSION: u32 = 1;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestEnvelope {
    /// [`VERSION`].
    pub version: u32,
    /// The SSH connection that the client runs in, if it does: for the record, and so that no change cuts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshConnection>,
    /// What it wants.
    pub request: Request,
}

/// What a client may want.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How things are.
    Status {},
    /// Put the policy files in force.
    Reload {
        /// Why, for the revision.
        #[serde(default)]
        why: Option<String>,
    },
    /// What a policy would change.
    Plan {
        /// Texts that stand in for policy files; the files as they are on disk where there are none.
        #[serde(default)]
        files: Vec<NewFile>,
    },
    /// Put a policy in force, for good or until it is confirmed.
    Apply(Box<Apply>),
    /// What a policy would make of live traffic: after a while, and how far that has come until then. No other request can
    /// follow on the connection.
    Shadow(Shadow),
    /// Put a former revision in force again.
    Rollback(Rollback),
    /// The newest entries of the history.
    History {
        /// At most so many.
        limit: usize,
    },
    /// Look at every link of the history.
    HistoryVerify {
        /// A hash that has to be in it.
        #[serde(default)]
        head: Option<String>,
    },
    /// Cut off older entries of the history, behind a checkpoint.
    HistoryCut {
        /// The first entry that is kept.
        first: u64,
        /// Why, for the checkpoint.
        #[serde(default)]
        why: Option<String>,
    },
    /// What one revision says differently than another.
    Diff {
        /// The older one.
        from: u64,
        /// The newer one.
        to: u64,
    },
    /// Drop everything but the failsafe.
    Panic {
        /// Whether that is to be, or to end.
        on: bool,
        /// Why, for the history.
        #[serde(default)]
        why: Option<String>,
    },
    /// Let everything pass for a while.
    Pause {
        /// How long; none ends it.
        seconds: Option<u64>,
        /// Why, for the history.
        #[serde(default)]
        why: Option<String>,
    },
    /// The change that waits is to last.
    Confirm {},
    /// Go back to what was in force before the change that waits.
    Cancel {},
    /// Every rule in force.
    RuleList {},
    /// One rule in force.
    RuleShow {
        /// Its name.
        name: String,
    },
    /// Edit the policy, live and in its files.
    Edit(Edits),
    /// Add a rule, live and in its file.
    RuleAdd(Box<NewRule>),
    /// Delete a rule, live and in its file.
    RuleDelete {
        /// Its name.
        name: String,
        /// Why, for the revision.
        #[serde(default)]
        why: Option<String>,
    },
    /// The block lists in force.
    SetList {},
    /// One block list in force.
    SetShow {
        /// Its name.
        name: String,
    },
    /// Put entries into a block list, live and in its file.
    SetAdd {
        /// Its name.
        name: String,
        /// Addresses, prefixes and ranges.
        entries: Vec<String>,
        /// Why, for the revision.
        #[serde(default)]
        why: Option<String>,
    },
    /// Take entries out of a block list, live and out of its file.
    SetDelete {
        /// Its name.
        name: String,
        /// Addresses, prefixes and ranges, as they stand there.
        entries: Vec<String>,
        /// Why, for the revision.
        #[serde(default)]
        why: Option<String>,
    },
    /// Give a block list another content, live and in its file.
    SetImport {
        /// Its name.
        name: String,
        /// The whole text of its file.
        text: String,
        /// Why, for the revision.
        #[serde(default)]
        why: Option<String>,
    },
    /// Ban addresses.
    Ban(NewBan),
    /// End bans.
    Unban {
        /// Addresses and prefixes.
        addresses: Vec<String>,
    },
    /// The bans that hold.
    BanList {},
    /// Live flows.
    FlowList {
        /// Which.
        filter: FlowFilter,
        /// At most so many.
        limit: u32,
        /// The first ones in this order; in no order where it is left out.
        #[serde(default)]
        sort: Option<FlowSort>,
        /// The other way round.
        #[serde(default)]
        reverse: bool,
    },
    /// End live flows.
    FlowDelete {
        /// Which.
        filter: FlowFilter,
    },
    /// What was counted.
    Counters {},
    /// Compare what the kernel holds with what it should hold; changes nothing.
    Inspect {},
    /// Log events: those that are remembered, then those that come, until the client goes away. No other request can
    /// follow on the connection.
    EventFollow {
        /// Which.
        #[serde(default)]
        filter: EventFilter,
        /// So many of those that are remembered.
        #[serde(default)]
        recent: u32,
    },
    /// Dropped packets, bytes and all, as they come, until the client goes away. No other request can follow on the
    /// connection.
    Capture(Capture),
    /// Live traffic, as it is seen, until the client goes away. No other request can follow on the connection.
    Learn(Learn),
    /// Why a packet passes or does not, by what is in force; changes nothing.
    Explain(Box<Question>),
}

impl Request {
    /// Whether it changes anything.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        match self {
            Self::Reload { .. }
            | Self::Apply(_)
            | Self::Rollback(_)
            | Self::HistoryCut { .. }
            | Self::Panic { .. }
            | Self::Pause { .. }
            | Self::Confirm {}
            | Self::Cancel {}
            | Self::Edit(_)
            | Self::RuleAdd(_)
            | Self::RuleDelete { .. }
            | Self::SetAdd { .. }
            | Self::SetDelete { .. }
            | Self::SetImport { .. }
            | Self::Ban(_)
            | Self::Unban { .. }
            | Self::FlowDelete { .. } => true,
            Self::Status {}
            | Self::Plan { .. }
            | Self::Shadow(_)
            | Self::History { .. }
            | Self::HistoryVerify { .. }
            | Self::Diff { .. }
            | Self::RuleList {}
            | Self::RuleShow { .. }
            | Self::SetList {}
            | Self::SetShow { .. }
            | Self::BanList {}
            | Self::FlowList { .. }
            | Self::Counters {}
            | Self::Inspect {}
            | Self::EventFollow { .. }
            | Self::Capture(_)
            | Self::Learn(_)
            | Self::Explain(_) => false,
        }
    }

    /// Whether only operators may ask for it: it changes something, or shows what packets carry.
    #[must_use]
    pub const fn is_for_operators(&self) -> bool {
        self.is_write() || matches!(self, Self::Capture(_))
    }

    /// Whether it has answers as things come, until the client goes away.
    #[must_use]
    pub const fn is_followed(&self) -> bool {
        matches!(self, Self::EventFollow { .. } | Self::Capture(_) | Self::Learn(_))
    }

    /// The word for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Reload { .. } => "reload",
            Self::Plan { .. } => "plan",
            Self::Shadow(_) => "shadow",
            Self::Rollback(_) => "rollback",
            Self::History { .. } => "history",
            Self::HistoryVerify { .. } => "history-verify",
            Self::HistoryCut { .. } => "history-cut",
            Self::Diff { .. } => "diff",
            Self::Panic { .. } => "panic",
            Self::Pause { .. } => "pause",
            Self::Apply(_) => "apply",
            Self::Confirm {} => "confirm",
            Self::Cancel {} => "cancel",
            Self::RuleList {} => "rule-list",
            Self::RuleShow { .. } => "rule-show",
            Self::Edit(_) => "edit",
            Self::RuleAdd(_) => "rule-add",
            Self::RuleDelete { .. } => "rule-delete",
            Self::SetList {} => "set-list",
            Self::SetShow { .. } => "set-show",
            Self::SetAdd { .. } => "set-add",
            Self::SetDelete { .. } => "set-delete",
            Self::SetImport { .. } => "set-import",
            Self::Ban(_) => "ban",
            Self::Unban { .. } => "unban",
            Self::BanList {} => "ban-list",
            Self::FlowList { .. } => "flow-list",
            Self::FlowDelete { .. } => "flow-delete",
            Self::Counters {} => "counters",
            Self::Inspect {} => "inspect",
            Self::EventFollow { .. } => "event-follow",
            Self::Capture(_) => "capture",
            Self::Learn(_) => "learn",
            Self::Explain(_) => "explain",
        }
    }
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyEnvelope {
    /// [`VERSION`].
    pub version: u32,
    /// The answer.
    #[serde(flatten)]
    pub reply: Reply,
}

/// The answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Done.
    Ok(Box<Response>),
    /// Not done; nothing has changed.
    Error(Failure),
}

/// Answers, one for each kind of request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Plan`].
    Plan(Box<Plan>),
    /// To [`Request::Shadow`], again and again.
    ShadowProgress(ShadowProgress),
    /// To [`Request::Shadow`] at last.
    Shadow(Box<ShadowReport>),
    /// To [`Request::History`].
    History(HistoryList),
    /// To [`Request::HistoryVerify`].
    HistoryVerdict(HistoryVerdict),
    /// To [`Request::HistoryCut`].
    HistoryHead(Head),
    /// To [`Request::Diff`].
    Difference(Difference),
    /// To [`Request::Panic`] and [`Request::Pause`].
    Mode(ModeChanged),
    /// To requests that change the policy.
    Changed(Changed),
    /// To [`Request::RuleList`].
    Rules(Rules),
    /// To [`Request::RuleShow`].
    Rule(RuleDetail),
    /// To [`Request::SetList`].
    Lists(Lists),
    /// To [`Request::SetShow`].
    List(ListDetail),
    /// To [`Request::Ban`] and [`Request::Unban`].
    BansChanged(BansChanged),
    /// To [`Request::BanList`].
    Bans(BanList),
    /// To [`Request::FlowList`].
    Flows(Flows),
    /// To [`Request::FlowDelete`].
    FlowsDeleted(FlowsDeleted),
    /// To [`Request::Counters`].
    Counters(Counters),
    /// To [`Request::Inspect`].
    Inspection(Inspection),
    /// To [`Request::EventFollow`], again and again.
    Events(Events),
    /// To [`Request::Capture`], again and again.
    Captures(Captures),
    /// To [`Request::Learn`], again and again.
    Learned(Learned),
    /// To [`Request::Explain`].
    Explanation(Box<Explanation>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_is_what_the_documentation_says() {
        let envelope = RequestEnvelope {
            version: VERSION,
            ssh: None,
            request: Request::Status {},
        };
        let text = serde_json::to_string(&envelope).expect("it is plain data");
        assert_eq!(text, r#"{"version":1,"request":{"status":{}}}"#);
        let reply = ReplyEnvelope {
            version: VERSION,
            reply: Reply::Ok(Box::new(Response::FlowsDeleted(FlowsDeleted { flows: 3 }))),
        };
        let text = serde_json::to_string(&reply).expect("it is plain data");
        assert_eq!(text, r#"{"version":1,"ok":{"flows-deleted":{"flows":3}}}"#);
        assert_eq!(
            serde_json::from_str::<ReplyEnvelope>(&text).expect("the same"),
            reply
        );
    }

    #[test]
    fn unknown_wishes_are_refused() {
        for text in [
            r#"{"version":1,"request":{"status":{"verbose":true}}}"#,
            r#"{"version":1,"request":{"reload":{"force":true}}}"#,
            r#"{"version":1,"request":{"launch":{}}}"#,
            r#"{"version":1,"request":{"status":{},"reload":{}}}"#,
            r#"{"version":1,"request":{"status":{}},"urgent":true}"#,
            r#"{"version":1,"request":{"flow-delete":{}}}"#,
            r#"{"version":1,"request":{"flow-delete":{"filter":{"adress":"10.0.0.1"}}}}"#,
        ] {
            serde_json::from_str::<RequestEnvelope>(text).expect_err(text);
        }
    }
}
