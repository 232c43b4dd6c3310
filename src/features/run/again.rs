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
pub(super) struct Again(BTreeMap<u64, (Stretch, Because)>);

impl Again {
    pub(super) fn insert(&mut self, stretch: Stretch, because: Because) {
        self.0.insert(stretch.entries.start, (stretch, because));
    }

    pub(super) fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.0.values().map(|(stretch, _)| stretch)
    }

    /// Whether the stretch that begins with this entry is one of them.
    pub(super) fn has(&self, first: u64) -> bool {
        self.0.contains_key(&first)
    }

    /// Whether some of these entries are embedded again.
    pub(super) fn overlaps(&self, entries: &Range<u64>) -> bool {
        self.0.range(..entries.end).next_back().is_some_and(|(_, (old, _))| old.entries.end > entries.start)
    }

    /// One whose rejects are nowhere listed.
    pub(super) fn unlisted(&self) -> Option<&Stretch> {
        self.0.values().find(|(_, because)| *because == Because::LostRejects).map(|(stretch, _)| stretch)
    }

    /// The new stretch has taken the place of the old one.
    pub(super) fn done(&mut self, new: &Stretch) {
        self.0.remove(&new.entries.start);
    }

    /// Whether the new stretch takes the place of the old one: it is whole, and whoever had a row still has one.
    ///
    /// # Errors
    /// When the ids of the old rows cannot be read.
    pub(super) fn is_better(&self, folder: &Path, new: &Stretch, rejects: &[Reject]) -> Result<bool> {
        let Some((old, because)) = self.0.get(&new.entries.start) else { return Ok(false) };
        let same = (&new.entries, new.digest) == (&old.entries, old.digest);
        if !same || (*because == Because::Rejects && new.rejects >= old.rejects) {
            return Ok(false);
        }
        let Some(shard) = old.path(folder).filter(|_| !rejects.is_empty()) else { return Ok(true) };
        let had: HashSet<String> = parquet::ids(&shard)?.into_iter().collect();
        Ok(!rejects.iter().any(|reject| had.contains(&reject.id)))
    }
}
