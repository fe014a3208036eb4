//! Flows: what identifies one, the states it goes through, and the table that holds it.

mod filter;
mod key;
mod state;
mod table;

pub use key::FlowKey;
pub use state::{Flow, STATES, Seen, State, Step, Timeouts, advance, flow_flags, reopens};
pub use table::{BUCKET_WAYS, Bucket, BucketBytes, Entry, Found, Inserted, NewFlow, Table};
