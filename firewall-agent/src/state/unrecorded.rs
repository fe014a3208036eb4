//! A change that the history is to tell of.

use serde::{Deserialize, Serialize};

use super::{Note, Record, StateDirectory};

/// What an entry of the history is to say. It is kept with the change, or noted before it: an agent that ends between the
/// change and its entry leaves it unrecorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unrecorded {
    /// The number that the entry was to have; a later one, where it could not be recorded at once.
    pub entry: u64,
    /// What the entry says.
    pub record: Record,
}

impl Unrecorded {
    /// The file `pause.json`, which is there while a pause is made or ended.
    #[must_use]
    pub fn note_of_pause(state: &StateDirectory) -> Note<Self> {
        Note::new(state, "pause.json")
    }
}
