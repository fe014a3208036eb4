//! Captured packets, judged by a policy in user space with the capture's own times.

mod capture;
mod frame;
mod run;
mod way;

pub use capture::{CaptureError, Captured, read};
pub use frame::{Frame, Unusable};
pub use run::{Outcome, Replay, Replayed};
pub use way::{Directions, NoWay};
