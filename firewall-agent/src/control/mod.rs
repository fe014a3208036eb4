//! The control socket: the protocol, the server in the agent, and the client in `fwctl`.
//!
//! One JSON value to a line in each direction. A request is `{"version":1,"request":{"status":{}}}`; the reply is
//! `{"version":1,"ok":{"status":{…}}}` or `{"version":1,"error":{"kind":"…","message":"…"}}`. A connection may carry any
//! number of requests, one after the other.

mod access;
pub mod client;
mod framing;
pub mod protocol;
mod seats;
mod server;

pub use access::{AccessError, AccessRules, Peer, Privilege};
pub use server::{EventReceiver, Handler, Limits, Server, ServerError, StreamReceiver, StreamSender};
