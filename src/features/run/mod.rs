//! A folder of shards that one run begins and others continue, until every input is in it.
//!
//! `part-000000065536.parquet` holds the rows of a stretch of the input list that begins with entry 65,536,
//! `rejects.jsonl` the inputs that could not be embedded, and `journal.jsonl` says which stretches are finished. A stretch
//! is kept in this order: its shard under a hidden name, its rejects, the shard's own name, its line in the journal, and
//! only then what it takes the place of is removed. No shard has a name that another one has had while there is something
//! under it (`part-000000065536-1.parquet`), so that up to the line the folder is what it was, and from it on what it will
//! be. Whatever a killed process leaves behind is therefore either in the journal, or known to be left over; and where a
//! disk that lost its power kept the line and not the shard, its size or digest tells.

mod again;
mod claim;
mod folder;
mod journal;
mod key;
mod rejects;
mod state;
#[cfg(test)]
mod tests;
mod unfinished;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use claim::{Claim, Rejects};
pub use folder::{Finished, ShardFolder};
pub use key::RunKey;
pub use rejects::replaceable as rejects_replaceable;
pub(super) use state::journaled_shards;
pub use state::{DamagedShard, RunState, damaged_shards, run_state};

/// A shard is closed once it covers this many entries of the input list, if it is not told otherwise.
pub const SHARD_ENTRIES: u64 = 65_536;

/// A shard is closed once it has been open for so long, however few entries it covers: what a killed process loses.
pub const SHARD_TIME: Duration = Duration::from_secs(60);

fn journal_path(folder: &Path) -> PathBuf {
    folder.join("journal.jsonl")
}

fn rejects_path(folder: &Path) -> PathBuf {
    folder.join("rejects.jsonl")
}
