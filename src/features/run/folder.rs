//! Writes the shards of a run.

use std::collections::HashSet;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::again::Again;
use super::claim::{Claim, Known};
use super::journal::{Shard, Stretch, Totals};
use super::key::RunKey;
use super::unfinished::{Pass, Unfinished};
use super::{SHARD_ENTRIES, SHARD_TIME, rejects, rejects_path};
use crate::error::{Error, Result};
use crate::features::parquet::{self, ParquetWriter};
use crate::features::{Header, Part, Precision, Provenance, shards};
use crate::file::{self, AtomicFile};
use crate::source::{List, Reject};

/// The folder of a run: takes parts of the input list, in order, and keeps them as shards.
pub struct ShardFolder {
    claim: Claim,
    key: RunKey,
    /// Whether the journal is that of this run already.
    begun: bool,
    /// Shards that do not count. They stay until a new one is in the journal.
    stale: Vec<PathBuf>,
    taken: HashSet<String>,
    again: Again,
    lost: Vec<Stretch>,
    precision: Precision,
    kept: Vec<String>,
    shard_entries: u64,
    pub(super) shard_time: Duration,
    resumed: Totals,
    current: Option<Open>,
    /// Stretches without a row, while there is something else in the folder that only rows may replace.
    held: Vec<(Stretch, Vec<Reject>)>,
}

/// A shard that is being written.
struct Open {
    begun: Instant,
    /// Without rows there is no file.
    writer: Option<ParquetWriter<Sealed>>,
    stretch: Stretch,
    rejects: Vec<Reject>,
}

/// What a folder holds in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// All rows.
    pub rows: u64,
    /// Those that were there before this run.
    pub resumed_rows: u64,
    /// All rejects.
    pub rejects: u64,
    /// The first of them.
    pub first_reject: Option<Reject>,
    /// Where they are listed, if there are any.
    pub rejects_path: Option<PathBuf>,
    /// All texts that were cut.
    pub truncated: u64,
    /// Length of the embeddings; 0 without rows.
    pub dimension: usize,
    /// Of stretches that were embedded again and stay as they were, because a row would have been lost: which one, and why.
    pub held_back: Vec<String>,
}

impl ShardFolder {
    pub(super) fn new(
        claim: Claim,
        key: RunKey,
        Known { continued, stale, taken, again, lost }: Known,
        (precision, kept): (Precision, &[String]),
    ) -> Self {
        Self {
            resumed: claim.record.totals(),
            claim,
            key,
            begun: continued,
            stale,
            taken,
            again,
            lost,
            precision,
            kept: kept.to_vec(),
            shard_entries: SHARD_ENTRIES,
            shard_time: SHARD_TIME,
            current: None,
            held: Vec::new(),
        }
    }

    /// Closes shards after this many entries; by default [`SHARD_ENTRIES`].
    pub fn with_shard_entries(self, entries: u64) -> Self {
        Self { shard_entries: entries.max(1), ..self }
    }

    /// Rows in the shards that are complete.
    pub fn rows(&self) -> u64 {
        self.claim.record.totals().rows
    }

    /// What is left of the input list. The stream fails where the list is not what the finished stretches were made from.
    pub fn unfinished(&self, list: List) -> List {
        let pass = |first| if self.again.has(first) { Pass::Again } else { Pass::Nothing };
        let kept = self.claim.record.stretches.values().map(|stretch| (stretch, pass(stretch.entries.start)));
        let all = kept.chain(self.lost.iter().map(|stretch| (stretch, Pass::Anew)));
        let mut all: Vec<_> = all.map(|(stretch, pass)| (stretch.clone(), pass)).collect();
        all.sort_by_key(|(stretch, _)| stretch.entries.start);
        Box::new(Unfinished::new(list, all.into(), &self.claim.folder))
    }

    /// Adds a part of the input list. Rows that the precision cannot hold become rejects.
    ///
    /// # Errors
    /// When the disk refuses. The shard that was being written is then lost, and those before it are kept.
    pub fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        let part = part.stored_as(self.precision);
        let apart = |open: &Open| {
            let entries = &open.stretch.entries;
            entries.end != part.entries.start || self.again.overlaps(entries) != self.again.overlaps(&part.entries)
        };
        if self.current.as_ref().is_some_and(apart) || self.again.has(part.entries.start) {
            self.close()?;
        }
        let mut open = self.current.take().unwrap_or_else(|| Open::new(part.entries.start, &self.taken));
        if !part.rows.ids.is_empty() {
            if open.writer.is_none() {
                let header = Header::new(provenance, self.precision, &self.kept);
                open.writer = Some(Sealed::writer(&self.claim.folder, &open.stretch.name(), &header)?);
                open.stretch.dimension = header.dimension;
            }
            if let Some(writer) = &mut open.writer {
                writer.write(&part.rows)?;
            }
        }
        let stretch = &mut open.stretch;
        stretch.entries.end = part.entries.end;
        stretch.digest = stretch.digest.wrapping_add(part.digest);
        stretch.rows += part.rows.ids.len() as u64;
        stretch.rejects += part.rejects.len() as u64;
        stretch.truncated += part.truncated;
        open.rejects.extend(part.rejects);
        let full = open.stretch.count() >= self.shard_entries || open.begun.elapsed() >= self.shard_time;
        // What is embedded again takes the place of a whole stretch or of none.
        let full = full && !self.again.overlaps(&open.stretch.entries);
        self.current = Some(open);
        if full { self.close() } else { Ok(()) }
    }

    /// Completes the shard that is being written, so that all that was added is kept; of a stretch that is embedded again,
    /// only if it is whole and better than what is there. To be called as well when a run is interrupted or fails.
    ///
    /// # Errors
    /// When the disk refuses. The shard is then lost, and those before it are kept.
    pub fn close(&mut self) -> Result<()> {
        let Some(Open { writer, mut stretch, rejects, .. }) = self.current.take() else { return Ok(()) };
        let sealed = writer.map(|writer| writer.into_inner()?.seal()).transpose()?;
        if self.again.overlaps(&stretch.entries) {
            if !self.again.is_better(&self.claim.folder, &stretch, &rejects)? {
                return Ok(());
            }
        } else if sealed.is_none() && !self.begun && !self.stale.is_empty() {
            // Nothing is worth what is there, until there is a row.
            self.held.push((stretch, rejects));
            return Ok(());
        }
        let file = sealed.map(|(file, shard)| {
            stretch.shard = Some(shard);
            file
        });
        self.keep(file, stretch, &rejects)?;
        std::mem::take(&mut self.held).into_iter().try_for_each(|(stretch, rejects)| self.keep(None, stretch, &rejects))
    }

    /// Up to its line in the journal the folder is what it was.
    fn keep(&mut self, file: Option<AtomicFile>, stretch: Stretch, rejects: &[Reject]) -> Result<()> {
        let Claim { folder, journal, record, .. } = &mut self.claim;
        let fresh = journal.is_empty();
        if fresh {
            // Where no journal tells which shards count, all do, so that it has to be there before the first.
            journal.begin(&self.key)?;
        }
        rejects::append(folder, &stretch.name(), rejects)?;
        if let Some(file) = file {
            file.commit()?;
            file::sync_names(folder);
        }
        match (fresh, self.begun) {
            (false, false) => journal.replace(&self.key, &stretch)?,
            _ => journal.stretch(&stretch)?,
        }
        self.again.done(&stretch);
        let replaced = record.insert(stretch);
        self.stale.extend(replaced.iter().filter_map(|stretch| stretch.path(folder)));
        if !std::mem::replace(&mut self.begun, true) {
            // Until now they were those of another run.
            rejects::retain(folder, &record.names())?;
        }
        self.remove_stale()
    }

    /// Clears the list of rejects of those that do not count. To be called at the end of a run, however it ends.
    ///
    /// # Errors
    /// When the list cannot be read or written.
    pub fn settle(&mut self) -> Result<()> {
        if self.begun { rejects::retain(&self.claim.folder, &self.claim.record.names()).map(drop) } else { Ok(()) }
    }

    /// Completes the folder: the whole input list was added. Where nothing at all could be embedded, no journal is left,
    /// so that the next run tries again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<Finished> {
        self.close()?;
        if let Some((_, rejects)) = self.held.first() {
            // Nothing at all could be embedded, and what was there before stays.
            return Ok(Finished {
                rows: 0,
                resumed_rows: 0,
                rejects: self.held.iter().map(|(_, rejects)| rejects.len() as u64).sum(),
                rejects_path: None,
                first_reject: rejects.first().cloned(),
                truncated: 0,
                dimension: 0,
                held_back: Vec::new(),
            });
        }
        if let Some(stretch) = self.again.unlisted() {
            let Range { start, end } = stretch.entries;
            return Err(Error::Data(format!(
                "the rejects among entries {start} to {} are listed no more, and embedding them again lost rows, so that \
                 what was there stays: make all inputs readable and run the same command, or use --overwrite",
                end - 1
            )));
        }
        if self.begun {
            self.remove_stale()?;
            let totals = self.claim.record.totals();
            if totals.rows == 0 {
                self.claim.journal.clear()?;
            } else if self.claim.record.finished != Some(totals) {
                self.claim.journal.finish(totals)?;
            }
        }
        self.settle()?;
        self.kept()
    }

    /// What the folder holds now: what a run that is interrupted has kept, once its shard is [closed](Self::close).
    ///
    /// # Errors
    /// When the rejects cannot be read.
    pub fn kept(&self) -> Result<Finished> {
        let totals = self.claim.record.totals();
        let first_reject = match totals.rejects {
            0 => None,
            _ => rejects::first(&self.claim.folder)?,
        };
        Ok(Finished {
            rows: totals.rows,
            resumed_rows: self.resumed.rows,
            rejects: totals.rejects,
            rejects_path: (totals.rejects > 0).then(|| rejects_path(&self.claim.folder)),
            first_reject,
            truncated: totals.truncated,
            dimension: self.claim.record.stretches.values().map(|stretch| stretch.dimension).max().unwrap_or(0),
            held_back: self.again.held_back().to_vec(),
        })
    }

    /// The execution provider that the last of the shards was made on; `None` without one.
    ///
    /// # Errors
    /// When the shard cannot be read.
    pub fn provider(&self) -> Result<Option<String>> {
        let Some(last) = self.claim.record.shards(&self.claim.folder).last() else { return Ok(None) };
        Ok(parquet::provenance(&last)?.map(|provenance| provenance.provider))
    }

    fn remove_stale(&mut self) -> Result<()> {
        self.stale.drain(..).try_for_each(|path| file::remove_if_there("remove", &path))
    }
}

impl Open {
    fn new(first: u64, taken: &HashSet<String>) -> Self {
        let mut stretch = Stretch::new(first);
        while taken.contains(&stretch.name()) {
            stretch.revision += 1;
        }
        Self { begun: Instant::now(), writer: None, stretch, rejects: Vec::new() }
    }
}

/// A file that knows the digest of what was written, not of what the disk made of it.
struct Sealed {
    file: AtomicFile,
    hasher: Sha256,
    bytes: u64,
}

impl Sealed {
    fn writer(folder: &Path, name: &str, header: &Header) -> Result<ParquetWriter<Self>> {
        let path = folder.join(shards::file(name));
        header.check()?;
        let file = AtomicFile::create(&path)?;
        ParquetWriter::create(Self { file, hasher: Sha256::new(), bytes: 0 }, &path, header)
    }

    /// The file, on the disk but for its name, and what it is.
    fn seal(mut self) -> Result<(AtomicFile, Shard)> {
        self.file.sync()?;
        let name = self.file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let shard = Shard { file: name, bytes: self.bytes, sha256: file::hex(&self.hasher.finalize()) };
        Ok((self.file, shard))
    }
}

impl Write for Sealed {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(buffer.get(..written).unwrap_or(buffer));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
