//! A policy tried in user space: what the verdict path says of a packet, and why.
//!
//! The answer comes from [`HostEngine`], which runs the code that the kernel programs run. The reasons come from a walk
//! over the policy's own rules that shares nothing with it ([`walk()`]); where the two differ, that is said.

mod explain;
mod packet;
mod question;
mod subject;
mod walk;

pub use explain::{CrossCheck, Explanation, NOW_TICKS, Step, Tried, explain};
pub(crate) use explain::{asked_frame, verdict_name};
pub use packet::frame;
pub use question::{Question, QuestionError, Way};
pub use subject::{Subject, SubjectError, Verdicted};
pub use walk::{KnownFlow, Surroundings, Walked, walk};

#[cfg(doc)]
use crate::engine::HostEngine;
