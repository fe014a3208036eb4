//! The policy language: from files to a policy that has passed every check.
//!
//! The way is `syntax` (TOML to sentences, with places) → `link` (every name defined) → `resolve` (the rules of one
//! host) → `lint` and `expect` (what is suspicious, what was promised). All findings of all files are collected; a
//! [`ValidPolicy`](model::ValidPolicy) exists only where none of them is an error. `rules/README.md` describes the
//! language.

mod addresses;
mod check;
mod coverage;
mod day;
pub mod difference;
pub mod edit;
pub mod evaluate;
mod expect;
mod inventory;
mod layers;
mod link;
mod lint;
pub mod list;
pub mod list_file;
mod lists;
pub mod model;
mod protocols;
mod ranges;
mod read;
mod resolve;
mod settings;
mod shadow;
pub mod store;
mod stranger;
mod suggest;
mod syntax;
mod target;
mod view;
mod writers;

pub use check::{Checked, Date, Options, check};
pub use day::day_of;
pub(crate) use read::read_lists_of;
pub use read::{Loaded, Rejected, load, read_for_check, read_sources};
pub(crate) use suggest::nearest;
pub(crate) use syntax::message_name;
pub use syntax::{Layer, built_in_services, language_keys, layer_of};
pub use target::{Scope, Target};
