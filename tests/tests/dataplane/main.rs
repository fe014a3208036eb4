//! The dataplane against the kernel: loading, switching, attaching, adopting, unloading. Needs root.
//!
//! Verifying the programs is what a test costs. Where it does not matter what a test finds loaded, it adopts what the
//! last one has left, see [`wire::Wire::shared`].

mod adoption;
mod connections;
mod flood;
mod interfaces;
mod limits;
mod paths;
mod policies;
mod slots;
mod wire;
