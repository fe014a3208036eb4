//! Requests on the control socket, each to the method that does it.

use std::sync::Arc;

use super::{agent::Agent, lists::ListEdit};
use crate::{
    control::{
        EventReceiver, Handler, Peer, StreamReceiver,
        protocol::{EventFilter, Events, Failure, FailureKind, Request, Response},
    },
    dataplane::give_back_memory,
    state::Cause,
};

impl Handler for Agent {
    fn handle(&self, peer: &Peer, request: Request) -> Result<Response, Failure> {
        let (name, is_write) = (request.name(), request.is_write());
        let outcome = self.answer(peer, request);
        if is_write {
            // A block list takes many times its size on its way into force.
            give_back_memory();
        }
        if let (Err(failure), true) = (&outcome, is_write) {
            tracing::warn!(
                uid = peer.actor.uid,
                user = peer.actor.user,
                request = name,
                kind = ?failure.kind,
                "refused: {}",
                failure.message
            );
        }
        outcome
    }

    fn follow(&self, filter: &EventFilter, recent: u32) -> Result<(Events, EventReceiver), Failure> {
        self.follow_events(filter, recent)
    }

    fn stream(self: Arc<Self>, peer: &Peer, request: Request) -> Result<StreamReceiver, Failure> {
        match request {
            Request::Capture(wanted) => self.start_capture(&peer.actor, &wanted),
            Request::Learn(wanted) => self.start_learning(&peer.actor, &wanted),
            Request::Shadow(wanted) => self.start_shadow(&peer.actor, &wanted),
            other => {
                let message = format!("{} has one answer", other.name());
                Err(Failure::new(FailureKind::BadRequest, message))
            }
        }
    }
}

impl Agent {
    fn answer(&self, peer: &Peer, request: Request) -> Result<Response, Failure> {
        let by = &peer.actor;
        Ok(match request {
            Request::Status {} => Response::Status(Box::new(self.status()?)),
            Request::Reload { why } => Response::Changed(self.reload(by, Cause::Reload, why)?),
            Request::Rollback(rollback) => Response::Changed(self.rollback(by, rollback)?),
            Request::History { limit } => Response::History(self.history(limit)?),
            Request::HistoryVerify { head } => {
                Response::HistoryVerdict(self.verify_history(head.as_deref())?)
            }
            Request::HistoryCut { first, why } => Response::HistoryHead(self.cut_history(by, first, why)?),
            Request::Diff { from, to } => Response::Difference(self.difference(from, to)?),
            Request::Panic { on: true, why } => Response::Mode(self.panic(by, why.as_deref())?),
            Request::Panic { on: false, why } => Response::Mode(self.end_panic(by, why.as_deref())?),
            Request::Pause {
                seconds: Some(seconds),
                why,
            } => Response::Mode(self.pause(by, seconds, why.as_deref())?),
            Request::Pause { seconds: None, why } => Response::Mode(self.end_pause(by, why.as_deref())?),
            Request::Plan { files } => Response::Plan(Box::new(self.plan(by, files)?)),
            Request::Apply(apply) => Response::Changed(self.apply(by, *apply)?),
            Request::Confirm {} => Response::Changed(self.confirm(by)?),
            Request::Cancel {} => Response::Changed(self.cancel(by)?),
            Request::RuleList {} => Response::Rules(self.rules()?),
            Request::RuleShow { name } => Response::Rule(self.rule(&name)?),
            Request::Edit(edits) => Response::Changed(self.edit(by, &edits)?),
            Request::RuleAdd(rule) => Response::Changed(self.add_rule(by, &rule)?),
            Request::RuleDelete { name, why } => Response::Changed(self.delete_rule(by, &name, why)?),
            Request::SetList {} => Response::Lists(self.lists()),
            Request::SetShow { name } => Response::List(self.list(&name)?),
            Request::SetAdd { name, entries, why } => {
                Response::Changed(self.add_to_list(by, &ListEdit { name, entries, why })?)
            }
            Request::SetDelete { name, entries, why } => {
                Response::Changed(self.delete_from_list(by, &ListEdit { name, entries, why })?)
            }
            Request::SetImport { name, text, why } => {
                Response::Changed(self.import_list(by, &name, text, why)?)
            }
            Request::Ban(new) => Response::BansChanged(self.ban(by, &new)?),
            Request::Unban { addresses } => Response::BansChanged(self.unban(by, &addresses)?),
            Request::BanList {} => Response::Bans(self.ban_list()?),
            Request::FlowList {
                filter,
                limit,
                sort,
                reverse,
            } => Response::Flows(self.sorted_flows(&filter, limit, sort, reverse)?),
            Request::FlowDelete { filter } => Response::FlowsDeleted(self.delete_flows(by, &filter)?),
            Request::Counters {} => Response::Counters(self.counters()?),
            Request::Inspect {} => Response::Inspection(self.inspect()?),
            // The server follows; this is for who asks without one.
            Request::EventFollow { filter, recent } => Response::Events(self.follow(&filter, recent)?.0),
            Request::Capture(_) | Request::Learn(_) | Request::Shadow(_) => {
                let message = "this has many answers, and a connection of its own";
                return Err(Failure::new(FailureKind::BadRequest, message));
            }
            Request::Explain(question) => Response::Explanation(Box::new(self.explain(*question)?)),
        })
    }
}
