//! A folder of Parquet files.

use std::path::{Path, PathBuf};

use super::parquet::{Gathered, ParquetWriter};
use super::run::{bookkeeping, journaled_shards};
use super::{Existing, FeatureSet, FeatureWriter, Header, Rows, run_state};
use crate::error::{Error, Result};
use crate::file::{AtomicFile, NewFolder};

/// A shard is full once it has this many rows.
const SHARD_ROWS: usize = 65_536;

/// The `.parquet` files directly in `folder`, by name; hidden ones are not listed.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The files that make up the feature set in `folder`: those that its journal counts, else all, by name.
///
/// # Errors
/// When there are none and no run has begun.
pub(super) fn of(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = match journaled_shards(folder)? {
        Some(shards) => shards,
        None => list(folder)?,
    };
    if files.is_empty() && run_state(folder)?.is_none() {
        return Err(Error::Data(format!("there are no embeddings in {}", folder.display())));
    }
    Ok(files)
}

/// How an error names the shards of which `path` is the last that was read.
pub(super) fn up_to(path: &Path) -> String {
    format!("the shards up to {}", path.display())
}

/// Reads every shard, in order, with these further columns. Where there is a journal they must be what it says.
pub(super) fn read(folder: &Path, keep: &[String]) -> Result<FeatureSet> {
    let files = of(folder)?;
    if files.is_empty() {
        let reason = "a run into it is under way, or was stopped before its first shard was complete";
        return Err(Error::Data(format!("no row is kept yet in {}: {reason}", folder.display())));
    }
    if let Some(damaged) = super::damaged_shards(folder, &())?.first() {
        let reason = format!("{damaged}; run the same embed command again: only what is damaged is made anew");
        return Err(Error::malformed(folder, reason));
    }
    let mut gathered = Gathered::keeping(keep);
    for file in &files {
        gathered.append(file)?;
    }
    gathered.finish(folder)
}

/// Writes shards into a hidden folder inside the output's, and moves them up when all are complete.
pub(super) struct ShardsWriter {
    folder: PathBuf,
    /// Removed with all that is in it when the writer is dropped.
    staging: tempfile::TempDir,
    /// Dropped after `staging`: removes the output's folder if this writer made it and nothing was put there.
    _made: Option<NewFolder>,
    header: Header,
    current: Box<ParquetWriter<AtomicFile>>,
    current_rows: usize,
    rows: u64,
    /// Names of the shards begun, the current one included.
    names: Vec<String>,
}

impl ShardsWriter {
    pub(super) fn create(folder: &Path, header: &Header, existing: Existing) -> Result<Self> {
        let made = NewFolder::create(folder)?;
        replaceable(folder, existing)?;
        let staging = tempfile::Builder::new()
            .prefix(".engraft-")
            .suffix(".partial")
            .tempdir_in(folder)
            .map_err(Error::io("create", folder))?;
        let names = vec![name(0)];
        let path = staging.path().join(name(0));
        let current = Box::new(ParquetWriter::create(AtomicFile::create(&path)?, &path, header)?);
        let (folder, header) = (folder.to_path_buf(), header.clone());
        Ok(Self { folder, staging, _made: made, header, current, current_rows: 0, rows: 0, names })
    }

    fn append_to_shard(&mut self, rows: &Rows) -> Result<()> {
        // A shard ends between two appends, so that no rows are copied; it may be longer by a batch.
        if self.current_rows >= SHARD_ROWS {
            let name = name(self.rows);
            let path = self.staging.path().join(&name);
            let next = ParquetWriter::create(AtomicFile::create(&path)?, &path, &self.header)?;
            let full = std::mem::replace(&mut self.current, Box::new(next));
            full.finish()?;
            self.names.push(name);
            self.current_rows = 0;
        }
        self.current_rows += rows.matrix.nrows();
        self.rows += rows.matrix.nrows() as u64;
        self.current.append(rows)
    }
}

impl FeatureWriter for ShardsWriter {
    fn append(&mut self, rows: &Rows) -> Result<()> {
        self.append_to_shard(rows).map_err(|e| visible(e, &self.folder))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { folder, staging, current, names, .. } = *self;
        current.finish().map_err(|e| visible(e, &folder))?;
        // What a run left there would tell of other shards.
        let old = list(&folder)?.into_iter().filter(|file| is_ours(file));
        for old in old.chain(bookkeeping(&folder).into_iter().filter(|file| file.exists())) {
            std::fs::remove_file(&old).map_err(Error::io("replace", &old))?;
        }
        for name in &names {
            let path = folder.join(name);
            std::fs::rename(staging.path().join(name), &path).map_err(Error::io("rename", &path))?;
        }
        Ok(())
    }
}

/// Names the output's folder instead of the hidden one within, which is gone by the time the user reads of it.
fn visible(error: Error, folder: &Path) -> Error {
    match error {
        Error::Io { action, source, .. } => Error::io(action, folder)(source),
        other => other,
    }
}

/// The name of the shard that begins with this entry: names sort in the order of the entries.
pub(super) fn name(first: u64) -> String {
    format!("part-{first:012}.parquet")
}

pub(super) fn is_ours(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.strip_prefix("part-").and_then(|rest| rest.strip_suffix(".parquet"));
    digits.is_some_and(|digits| digits.len() >= 5 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Fails when the folder holds Parquet files that must stay: any, or those that are not named as ours are.
fn replaceable(folder: &Path, existing: Existing) -> Result<()> {
    let files = list(folder)?;
    match existing {
        Existing::Refuse if !files.is_empty() => Err(Error::Exists(folder.to_path_buf())),
        Existing::Refuse => Ok(()),
        Existing::Replace => all_ours(&files),
    }
}

/// Fails on a Parquet file that engraft did not write: it is not replaced, and would be read with the shards.
pub(super) fn all_ours(files: &[PathBuf]) -> Result<()> {
    match files.iter().find(|file| !is_ours(file)) {
        Some(foreign) => {
            Err(Error::in_the_way(foreign, "it is no shard of engraft's, so it is not replaced: give another -o"))
        }
        None => Ok(()),
    }
}
