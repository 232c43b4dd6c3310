//! A folder that this process alone may write to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::again::{Again, Because};
use super::folder::ShardFolder;
use super::journal::{Journal, Record, Stretch, Totals};
use super::key::RunKey;
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
    /// The stretches that have some are embedded again. Each is replaced once it is complete, if that gains a row and loses
    /// none.
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
    /// finished any more; one whose rejects are not all listed is embedded again. Shards that do not count, because they
    /// are damaged or of a run that is replaced, are not removed before the first new stretch is kept.
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
        let mut taken = self.record.names();
        let (mut again, mut lost) = (Again::default(), Vec::new());
        if continued {
            lost = self.forget_damaged(progress)?;
            again = self.stretches_again(progress)?;
        } else {
            self.record = Record::default();
            taken.extend(rejects::parts(&self.folder)?);
        }
        let there = shards::list(&self.folder)?;
        taken.extend(there.iter().filter_map(|shard| Some(shard.file_stem()?.to_str()?.to_owned())));
        let finished: HashSet<PathBuf> = self.record.shards(&self.folder).collect();
        let stale = there.into_iter().filter(|file| !finished.contains(file)).collect();
        let known = Known { continued, stale, taken, again, lost };
        Ok(ShardFolder::new(self, key, known, (precision, kept)))
    }

    /// Takes the stretches out of the record of which the shard is missing or damaged.
    fn forget_damaged(&mut self, progress: &dyn Progress) -> Result<Vec<Stretch>> {
        let damaged = verify::damaged(&self.folder, &self.record.stretches, progress)?;
        let mut lost = Vec::new();
        for (start, reason) in damaged {
            let Some(stretch) = self.record.stretches.remove(&start) else { continue };
            let (name, entries) = (stretch.name(), counted(stretch.count(), "input"));
            progress.note(&format!("{name}: {reason}; {entries} to embed again"));
            self.record.finished = None;
            lost.push(stretch);
        }
        Ok(lost)
    }

    /// The stretches that are to be embedded again though their shards are sound.
    fn stretches_again(&self, progress: &dyn Progress) -> Result<Again> {
        let mut again = Again::default();
        let listed = rejects::retain(&self.folder, &self.record.names())?;
        for stretch in self.record.stretches.values() {
            let (name, rejects) = (stretch.name(), stretch.rejects);
            let found = listed.get(&name).copied().unwrap_or(0);
            if found != rejects {
                let (of, entries) = (counted(rejects, "reject"), counted(stretch.count(), "input"));
                progress.note(&format!("{name}: of {of} there are {found} in rejects.jsonl; {entries} to embed again"));
                again.insert(stretch.clone(), Because::LostRejects);
            } else if rejects > 0 && self.rejects == Rejects::Retry {
                again.insert(stretch.clone(), Because::Rejects);
            }
        }
        let Totals { entries, rejects, .. } = Totals::of(again.stretches());
        if self.rejects == Rejects::Retry && rejects > 0 {
            let (rejects, entries) = (counted(rejects, "reject"), counted(entries, "input"));
            progress.note(&format!("{rejects}; the shards that they belong to, of {entries}, are embedded again"));
        }
        Ok(again)
    }
}

/// What a run finds in its folder.
pub(super) struct Known {
    /// Whether the journal is that of this run already.
    pub(super) continued: bool,
    /// Shards that do not count: of a run that is replaced, damaged, or left over.
    pub(super) stale: Vec<PathBuf>,
    /// Names of stretches that a new one cannot have.
    pub(super) taken: HashSet<String>,
    pub(super) again: Again,
    /// Stretches that were finished, and of which the shard is damaged or gone.
    pub(super) lost: Vec<Stretch>,
}
