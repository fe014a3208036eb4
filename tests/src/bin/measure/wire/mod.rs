//! Live frames over veth pairs: a sender on one processor, and receivers on another, each in a network namespace of
//! its own behind what is measured.

mod lane;
mod sender;

pub(crate) use lane::Lane;
pub(crate) use sender::Sender;
