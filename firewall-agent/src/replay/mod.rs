//! Captured packets, judged by a policy with the capture's own times: in user space, or by the kernel's programs.

mod capture;
mod frame;
mod kernel;
mod run;
mod way;

pub use capture::{CaptureError, Captured, read};
pub use frame::{Frame, Unusable};
pub use kernel::{KernelEngine, KernelEngineError};
pub use run::{Outcome, Replay, ReplayError, Replayed};
pub use way::{Directions, NoWay};
