//! What the journal tells those who read a folder.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::journal::{Record, Totals};
use super::verify;
use crate::error::Result;
use crate::progress::Progress;

/// How far the run in a folder has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunState {
    /// Whether the whole input list was done.
    pub finished: bool,
    /// Inputs that are done, as rows or rejects.
    pub entries: u64,
    /// Inputs that could not be embedded.
    pub rejects: u64,
    /// Texts that were longer than the backbone takes, and cut.
    pub truncated: u64,
}

/// A shard that is missing, cannot be read, or is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedShard {
    /// The file's name.
    pub shard: String,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for DamagedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.shard, self.reason)
    }
}

/// What the journal in `folder` says; `None` where there is none. That of a run that has kept nothing yet is empty. The
/// shards themselves are not checked: see [`damaged_shards`].
///
/// # Errors
/// When it cannot be read, or is not what its name says.
pub fn run_state(folder: &Path) -> Result<Option<RunState>> {
    let Some(record) = Record::read(folder)? else { return Ok(None) };
    let Totals { entries, rejects, truncated, .. } = record.totals();
    Ok(Some(RunState { finished: record.is_finished(), entries, rejects, truncated }))
}

/// The shards of `folder` that are missing or not what its journal says was written, each with what is wrong; none where there
/// is no journal. All of them are read.
///
/// # Errors
/// As [`run_state`]; when a shard cannot be read; [`Error::Interrupted`](crate::Error::Interrupted).
pub fn damaged_shards(folder: &Path, progress: &dyn Progress) -> Result<Vec<DamagedShard>> {
    let Some(record) = Record::read(folder)? else { return Ok(Vec::new()) };
    let damaged = verify::damaged(folder, &record.stretches, progress)?.into_iter();
    let named = |(start, reason)| {
        let shard = record.stretches.get(&start)?.shard.as_ref()?.file.clone();
        Some(DamagedShard { shard, reason })
    };
    Ok(damaged.filter_map(named).collect())
}

/// The shards that the journal in `folder` counts, in the order of the input list; `None` where no run has begun.
pub(in crate::features) fn journaled_shards(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some(Record { key: Some(_), stretches, .. }) = Record::read(folder)? else { return Ok(None) };
    Ok(Some(stretches.values().filter_map(|stretch| stretch.path(folder)).collect()))
}
