//! A folder that this process alone may write to.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::folder::ShardFolder;
use super::journal::{Journal, Record, Stretch, Totals};
use super::key::RunKey;
use super::remade::Remade;
use super::{rejects, rejects_path, verify};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::features::{Existing, Precision, check_kept, shards};
use crate::file::{self, NewFolder};
use crate::progress::Progress;

/// What becomes of the rejects of a run that is continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejects {
    /// They stay.
    Keep,
    /// The stretches that have some are embedded again, and their shards replaced at the end of the run if that gained a row.
    Retry,
}

/// A folder that this process alone may write to, with what is in it. Dropped before a run begins, it leaves the folder
/// as it was.
#[derive(Debug)]
pub struct Claim {
    pub(super) folder: PathBuf,
    pub(super) journal: Journal,
    pub(super) record: Record,
    existing: Existing,
    rejects: Rejects,
    /// Dropped after the journal: removes a folder that was made for nothing.
    _made: Option<NewFolder>,
}

impl Claim {
    /// Locks `folder`, which is made if it is not there. [`Existing::Replace`] begins afresh whatever is in it;
    /// [`Existing::Refuse`] continues a run, and refuses shards that no journal tells of.
    ///
    /// # Errors
    /// [`Error::Usage`] when another process writes there, or a file that engraft did not write is in the way;
    /// [`Error::Exists`]; when the folder cannot be written.
    pub fn new(folder: &Path, existing: Existing) -> Result<Self> {
        let made = NewFolder::create(folder)?;
        let (journal, record) = Journal::lock(folder, existing)?;
        let files = shards::list(folder)?;
        shards::all_ours(&files)?;
        if record.key.is_none() {
            if existing == Existing::Refuse && !files.is_empty() {
                return Err(Error::Exists(folder.to_path_buf()));
            }
            rejects::replaceable(&rejects_path(folder))?;
        }
        Ok(Self { folder: folder.to_path_buf(), journal, record, existing, rejects: Rejects::Keep, _made: made })
    }

    /// What becomes of the rejects of a run that is continued; by default they stay.
    pub fn with_rejects(self, rejects: Rejects) -> Self {
        Self { rejects, ..self }
    }

    /// Begins the run of this key or continues it. A shard that is missing or damaged is told of and its stretch is not
    /// finished any more. Nothing but what killed processes left over is removed before the first new shard is complete.
    ///
    /// # Errors
    /// [`Error::Usage`] when the folder holds a run of another key, or a kept column has a name of ours;
    /// [`Error::Interrupted`]; when a file cannot be read.
    pub fn begin(
        mut self,
        key: RunKey,
        precision: Precision,
        kept: &[String],
        progress: &dyn Progress,
    ) -> Result<ShardFolder> {
        check_kept(kept)?;
        let continued = match (&self.record.key, self.existing) {
            (Some(was), Existing::Refuse) => {
                key.continues(was, &self.folder)?;
                true
            }
            _ => false,
        };
        file::remove_abandoned(&self.folder, file::HIDDEN);
        if continued {
            self.forget_damaged(progress)?;
        } else {
            self.record = Record::default();
        }
        let finished: HashSet<PathBuf> = self.record.shards(&self.folder).collect();
        let stale = shards::list(&self.folder)?.into_iter().filter(|file| !finished.contains(file)).collect();
        let remade = match self.rejects {
            Rejects::Keep => Remade::default(),
            Rejects::Retry => self.rejected(progress),
        };
        Ok(ShardFolder::new(self, key, continued, (stale, remade), (precision, kept)))
    }

    /// The stretches that have rejects.
    fn rejected(&self, progress: &dyn Progress) -> Remade {
        let some = self.record.stretches.iter().filter(|(_, stretch)| stretch.rejects > 0);
        let some: BTreeMap<u64, Stretch> = some.map(|(first, stretch)| (*first, stretch.clone())).collect();
        if !some.is_empty() {
            let Totals { entries, rejects, .. } = Totals::of(some.values());
            progress.note(&format!(
                "{}; the shards that they belong to, of {}, are made again",
                counted(rejects, "reject"),
                counted(entries, "input")
            ));
        }
        Remade::new(some)
    }

    /// Forgets the stretches that are not whole any more.
    fn forget_damaged(&mut self, progress: &dyn Progress) -> Result<()> {
        let damaged = verify::damaged(&self.folder, &self.record.stretches, progress)?;
        for (start, reason) in damaged {
            self.forget(start, &reason, progress);
        }
        let counts = rejects::retain(&self.folder, &self.parts())?;
        let count = |start: u64| counts.get(&rejects::part(start)).copied().unwrap_or(0);
        let lacking = self.record.stretches.iter().filter(|(start, stretch)| count(**start) != stretch.rejects);
        let lacking: Vec<(u64, u64)> = lacking.map(|(start, stretch)| (*start, stretch.rejects)).collect();
        for (start, rejects) in &lacking {
            let reason = format!("of {} there are {} in rejects.jsonl", counted(*rejects, "reject"), count(*start));
            self.forget(*start, &reason, progress);
        }
        if !lacking.is_empty() {
            rejects::retain(&self.folder, &self.parts())?;
        }
        Ok(())
    }

    fn forget(&mut self, start: u64, reason: &str, progress: &dyn Progress) {
        let Some(stretch) = self.record.stretches.remove(&start) else { return };
        let entries = counted(stretch.count(), "input");
        progress.note(&format!("{}: {reason}; {entries} to embed again", rejects::part(start)));
        self.record.finished = false;
    }

    /// The names of the stretches that count.
    fn parts(&self) -> HashSet<String> {
        self.record.stretches.keys().map(|start| rejects::part(*start)).collect()
    }
}
