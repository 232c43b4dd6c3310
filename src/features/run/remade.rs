//! Stretches that are embedded again because of their rejects. They take the place of what is there when the whole list has
//! been seen, together and only for the better: whatever ends the run before, the folder is as it was.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::journal::{Journal, Record, Shard, Stretch, Totals};
use super::rejects;
use crate::error::{Error, Result};
use crate::file::{AtomicFile, ClosedFile, remove_if_there};
use crate::source::Reject;

/// Old stretches, and what was embedded anew.
#[derive(Default)]
pub(super) struct Remade {
    /// By their first entry.
    old: BTreeMap<u64, Stretch>,
    pieces: Vec<Piece>,
}

/// A new stretch, complete but for the name of its shard.
struct Piece {
    file: Option<ClosedFile>,
    stretch: Stretch,
    rejects: Vec<Reject>,
}

impl Remade {
    pub(super) fn new(old: BTreeMap<u64, Stretch>) -> Self {
        Self { old, pieces: Vec::new() }
    }

    /// Whether this stretch is to be embedded again.
    pub(super) fn has(&self, first: u64) -> bool {
        self.old.contains_key(&first)
    }

    /// Whether an old stretch begins or ends with this entry, so that a new one has to end before it.
    pub(super) fn is_boundary(&self, entry: u64) -> bool {
        self.has(entry) || self.old.range(..entry).next_back().is_some_and(|(_, old)| old.entries.end == entry)
    }

    /// Whether some of these entries are embedded again.
    pub(super) fn overlaps(&self, entries: &Range<u64>) -> bool {
        self.old.range(..entries.end).next_back().is_some_and(|(_, old)| old.entries.end > entries.start)
    }

    /// Keeps a new stretch until the end.
    pub(super) fn push(
        &mut self,
        sealed: Option<(AtomicFile, Shard)>,
        mut stretch: Stretch,
        rejects: Vec<Reject>,
    ) -> Result<()> {
        let mut file = None;
        if let Some((open, shard)) = sealed {
            file = Some(open.close()?);
            stretch.shard = Some(shard);
        }
        self.pieces.push(Piece { file, stretch, rejects });
        Ok(())
    }

    /// Puts the new stretches in the place of the old ones, unless that would gain no row.
    ///
    /// # Errors
    /// [`Error::InputsChanged`] when the inputs are not those that were embedded; when the disk refuses.
    pub(super) fn replace(self, folder: &Path, journal: &mut Journal, record: &mut Record) -> Result<()> {
        if self.old.is_empty() || !self.is_better(folder)? {
            return Ok(());
        }
        // Until the journal says so, a renamed shard counts as damaged: a kill here costs time and no row.
        let mut done = Vec::new();
        for Piece { file, stretch, rejects } in self.pieces {
            file.map_or(Ok(()), ClosedFile::commit)?;
            done.push((stretch, rejects));
        }
        let others = record.stretches.keys().filter(|first| !self.old.contains_key(first));
        rejects::retain(folder, &others.map(|first| rejects::part(*first)).collect())?;
        for (stretch, rejects) in &done {
            rejects::append(folder, &rejects::part(stretch.entries.start), rejects)?;
        }
        for (stretch, _) in done {
            journal.stretch(&stretch)?;
            record.insert(stretch);
        }
        record.finished = false;
        let current: HashSet<PathBuf> = record.shards(folder).collect();
        let replaced = self.old.values().filter_map(|old| old.path(folder)).filter(|path| !current.contains(path));
        replaced.into_iter().try_for_each(|path| remove_if_there("remove", &path))
    }

    fn is_better(&self, folder: &Path) -> Result<bool> {
        let pieces = || self.pieces.iter().map(|piece| &piece.stretch);
        let (old, new) = (Totals::of(self.old.values()), Totals::of(pieces()));
        let digest = |sum: u128, stretch: &Stretch| sum.wrapping_add(stretch.digest);
        let same = self.old.values().fold(0, digest) == pieces().fold(0, digest);
        if new.entries < old.entries || (new.entries == old.entries && !same) {
            let difference = format!(
                "of {} entries whose shards have rejects {} are left, or they are others than were embedded",
                old.entries, new.entries
            );
            return Err(Error::InputsChanged { folder: folder.to_path_buf(), difference });
        }
        // Those that came in besides were in no shard.
        Ok(new.entries > old.entries || new.rows > old.rows)
    }
}
