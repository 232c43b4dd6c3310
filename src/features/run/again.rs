//! Finished stretches that are embedded again. Each keeps its place until what takes it is complete and worth it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::journal::Stretch;
use crate::error::Result;
use crate::features::parquet;
use crate::source::Reject;

/// Why a stretch is embedded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// It has rejects.
    Rejects,
    /// Lines of it are missing in the list of rejects.
    LostRejects,
}

/// The stretches that are embedded again, by their first entry.
#[derive(Debug, Default)]
pub(super) struct Again {
    stretches: BTreeMap<u64, (Stretch, Because)>,
    /// Why some stay as they were.
    held_back: Vec<String>,
}

impl Again {
    pub(super) fn insert(&mut self, stretch: Stretch, because: Because) {
        self.stretches.insert(stretch.entries.start, (stretch, because));
    }

    pub(super) fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.stretches.values().map(|(stretch, _)| stretch)
    }

    /// Whether the stretch that begins with this entry is one of them.
    pub(super) fn has(&self, first: u64) -> bool {
        self.stretches.contains_key(&first)
    }

    /// Whether some of these entries are embedded again.
    pub(super) fn overlaps(&self, entries: &Range<u64>) -> bool {
        self.stretches.range(..entries.end).next_back().is_some_and(|(_, (old, _))| old.entries.end > entries.start)
    }

    /// One whose rejects are nowhere listed.
    pub(super) fn unlisted(&self) -> Option<&Stretch> {
        self.stretches.values().find(|(_, because)| *because == Because::LostRejects).map(|(stretch, _)| stretch)
    }

    /// Why some stay as they were: a row would have been lost.
    pub(super) fn held_back(&self) -> &[String] {
        &self.held_back
    }

    /// The new stretch has taken the place of the old one.
    pub(super) fn done(&mut self, new: &Stretch) {
        self.stretches.remove(&new.entries.start);
    }

    /// Whether the new stretch takes the place of the old one: it is whole, and whoever had a row still has one. Keeps what to
    /// tell where one has none.
    ///
    /// # Errors
    /// When the ids of the old rows cannot be read.
    pub(super) fn is_better(&mut self, folder: &Path, new: &Stretch, rejects: &[Reject]) -> Result<bool> {
        let Some((old, because)) = self.stretches.get(&new.entries.start) else { return Ok(false) };
        if (&new.entries, new.digest) != (&old.entries, old.digest) {
            return Ok(false);
        }
        let had: HashSet<String> = match old.path(folder) {
            Some(shard) if !rejects.is_empty() => parquet::ids(&shard)?.into_iter().collect(),
            _ => HashSet::new(),
        };
        if let Some(Reject { id, reason, .. }) = rejects.iter().find(|reject| had.contains(&reject.id)) {
            let name = old.name();
            self.held_back.push(format!("{name} stays as it was: {id} has a row in it and would have none, {reason}"));
            return Ok(false);
        }
        Ok(*because == Because::LostRejects || new.rejects < old.rejects)
    }
}
