//! A policy drafted from what was seen of live traffic, for an operator to edit.

mod draft;
mod group;
mod observations;
mod sources;

pub use draft::{Draft, draft};
pub use observations::{Observations, Service};
