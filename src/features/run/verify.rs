//! Whether the shards are still what was written.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::journal::{Shard, Stretch};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::file;
use crate::progress::Progress;

/// The stretches, by their first entry, of which the shard is missing or another one, and what is wrong. All cores read.
pub(super) fn damaged(
    folder: &Path,
    stretches: &BTreeMap<u64, Stretch>,
    progress: &dyn Progress,
) -> Result<BTreeMap<u64, String>> {
    let shards: Vec<(u64, &Shard)> =
        stretches.iter().filter_map(|(start, stretch)| Some((*start, stretch.shard.as_ref()?))).collect();
    if shards.is_empty() {
        return Ok(BTreeMap::new());
    }
    progress.begin("checking shards", Some(shards.len() as u64));
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Ok(BTreeMap::new()));
    let check_some = || {
        while let Some((start, shard)) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = if progress.interrupted() { Err(Error::Interrupted) } else { problem(folder, shard) };
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match (outcome, found.as_mut()) {
                (_, Err(_)) => return,
                (Ok(None), Ok(_)) => {}
                (Ok(Some(reason)), Ok(found)) => drop(found.insert(*start, reason)),
                (Err(e), Ok(_)) => *found = Err(e),
            }
            drop(found);
            progress.advance(1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(shards.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(check_some);
        }
    });
    progress.end();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn problem(folder: &Path, shard: &Shard) -> Result<Option<String>> {
    let path = folder.join(&shard.file);
    let bytes = match std::fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Some("it is missing".to_owned())),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    if bytes != shard.bytes {
        return Ok(Some(format!("it has {}, and {} were written", counted(bytes, "byte"), shard.bytes)));
    }
    let sha256 = file::sha256_file(&path)?;
    Ok((sha256 != shard.sha256).then(|| "its content is not what was written".to_owned()))
}
