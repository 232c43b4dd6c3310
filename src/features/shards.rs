//! A folder of Parquet files.

use std::path::{Path, PathBuf};

use super::parquet::Gathered;
use super::run::journaled_shards;
use super::{FeatureSet, run_state};
use crate::error::{Error, Result};

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
    unreplaced(folder, |files| gather(folder, files, keep))
}

/// What `read` makes of the files of `folder`, all of which were still its files afterwards: a run that is under way may
/// have replaced some meanwhile, whatever became of them here, and then it reads again.
pub(super) fn unreplaced<T>(folder: &Path, read: impl Fn(&[PathBuf]) -> Result<T>) -> Result<T> {
    loop {
        let files = of(folder)?;
        let outcome = read(&files);
        let now = of(folder)?;
        if files.iter().all(|file| now.contains(file)) {
            return outcome;
        }
    }
}

fn gather(folder: &Path, files: &[PathBuf], keep: &[String]) -> Result<FeatureSet> {
    if files.is_empty() {
        let reason = "a run into it is under way, or was stopped before its first shard was complete";
        return Err(Error::Data(format!("no row is kept yet in {}: {reason}", folder.display())));
    }
    if let Some(damaged) = super::damaged_shards(folder, &())?.first() {
        let reason = format!("{damaged}; run the same embed command again: only what is damaged is made anew");
        return Err(Error::malformed(folder, reason));
    }
    let mut gathered = Gathered::keeping(keep);
    for file in files {
        gathered.append(file)?;
    }
    gathered.finish(folder)
}

/// What a stretch is kept under that begins with this entry: names sort in the order of the entries.
pub(super) fn stem(first: u64, revision: u32) -> String {
    match revision {
        0 => format!("part-{first:012}"),
        revision => format!("part-{first:012}-{revision}"),
    }
}

/// The name of the shard of this stem.
pub(super) fn file(stem: &str) -> String {
    format!("{stem}.parquet")
}

fn is_ours(file: &Path) -> bool {
    let stem = || file.file_name()?.to_str()?.strip_prefix("part-")?.strip_suffix(".parquet");
    let Some(name) = stem() else { return false };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match name.split_once('-') {
        None => name.len() >= 5 && digits(name),
        Some((first, revision)) => {
            let numbers = (first.parse(), revision.parse());
            let (Ok(first), Ok(revision)) = numbers else { return false };
            self::stem(first, revision).strip_prefix("part-") == Some(name)
        }
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
