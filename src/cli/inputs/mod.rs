//! From the paths a user names to features: read from a file, or embedded now.

#[cfg(feature = "full")]
mod drawn;
mod flags;
mod job;
#[cfg(feature = "full")]
mod load;
#[cfg(feature = "full")]
mod shards;

#[cfg(feature = "full")]
pub(super) use drawn::{draw, embed_entries, embed_entries_into};
pub(super) use flags::{SourceArgs, count, json_word};
pub(super) use job::{Job, Loaded, embed, embed_all, modality, nothing_embedded, open};
#[cfg(feature = "full")]
pub(super) use load::{are_features, check_same_making, load, load_keeping, named, names, note_unused_device};
#[cfg(feature = "full")]
pub(super) use shards::{End, Ran, run_into};
