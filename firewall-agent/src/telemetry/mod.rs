//! What the monitoring reads: `/metrics` in two formats, and `/healthz`.

mod collect;
#[cfg(feature = "ebpf-log")]
pub(crate) mod ebpf_log;
mod encode;
mod family;
mod http;
mod text_format;

pub use http::{MetricsError, MetricsServer};
