//! `rejects.jsonl`: the inputs that could not be embedded, each with the stretch that it belongs to.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rejects_path;
use crate::error::{Error, Result};
use crate::file::{AtomicFile, first_line, remove_if_there};
use crate::source::Reject;

/// How each line starts.
const START: &[u8] = b"{\"id\":";

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(flatten)]
    reject: Cow<'a, Reject>,
    part: Cow<'a, str>,
}

/// Adds lines to the end, with the name of their stretch; they are on the disk when this returns.
pub(super) fn append(folder: &Path, part: &str, rejects: &[Reject]) -> Result<()> {
    if rejects.is_empty() {
        return Ok(());
    }
    let path = rejects_path(folder);
    let mut bytes = Vec::new();
    for reject in rejects {
        let line = Line { reject: Cow::Borrowed(reject), part: part.into() };
        serde_json::to_writer(&mut bytes, &line).map_err(|e| Error::malformed(&path, e))?;
        bytes.push(b'\n');
    }
    let mut options = File::options();
    let mut file = options.read(true).append(true).create(true).open(&path).map_err(Error::io("write", &path))?;
    let mut add = || {
        let length = file.metadata()?.len();
        if !ends_a_line(&mut file, length)? {
            bytes.insert(0, b'\n');
        }
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            // If the disk does not even allow that, what is torn is no line.
            let _ = file.set_len(length);
        }
        written
    };
    add().map_err(Error::io("write", &path))
}

/// Whether nothing torn stands at the end, which would swallow the next line.
fn ends_a_line(file: &mut File, length: u64) -> std::io::Result<bool> {
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last == [b'\n'])
}

/// Drops the lines of other stretches than these, and what a killed process tore. Returns how many each has.
pub(super) fn retain(folder: &Path, finished: &HashSet<String>) -> Result<HashMap<String, u64>> {
    let path = rejects_path(folder);
    let (mut counts, mut drop_some) = (HashMap::new(), false);
    each(&path, |line| match line {
        Some((_, line)) if finished.contains(&*line.part) => *counts.entry(line.part.into_owned()).or_default() += 1,
        _ => drop_some = true,
    })?;
    if drop_some && counts.is_empty() {
        remove_if_there("remove", &path)?;
    } else if drop_some {
        let mut file = AtomicFile::create(&path)?;
        let mut written = Ok(());
        each(&path, |line| {
            if let Some((text, line)) = line
                && finished.contains(&*line.part)
                && written.is_ok()
            {
                written = file.write_all(text).and_then(|()| file.write_all(b"\n"));
            }
        })?;
        written.map_err(Error::io("write", &path))?;
        file.commit()?;
    }
    Ok(counts)
}

/// The names of the stretches that have lines.
pub(super) fn parts(folder: &Path) -> Result<HashSet<String>> {
    let mut found = HashSet::new();
    each(&rejects_path(folder), |line| found.extend(line.map(|(_, line)| line.part.into_owned())))?;
    Ok(found)
}

/// The rejects of one stretch.
pub(super) fn read(folder: &Path, part: &str) -> Result<Vec<Reject>> {
    let mut found = Vec::new();
    each(&rejects_path(folder), |line| {
        found.extend(line.filter(|(_, line)| line.part == part).map(|(_, line)| line.reject.into_owned()));
    })?;
    Ok(found)
}

/// The first that is listed.
pub(super) fn first(folder: &Path) -> Result<Option<Reject>> {
    let mut first = None;
    each(&rejects_path(folder), |line| {
        if first.is_none() {
            first = line.map(|(_, line)| line.reject.into_owned());
        }
    })?;
    Ok(first)
}

/// Calls `with` for each line and its text; `None` stands for a line that is none of ours.
fn each(path: &Path, mut with: impl FnMut(Option<(&[u8], Line)>)) -> Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let mut text = Vec::new();
    while file.read_until(b'\n', &mut text).map_err(Error::io("read", path))? > 0 {
        let whole = text.strip_suffix(b"\n");
        with(whole.and_then(|whole| Some((whole, serde_json::from_slice(whole).ok()?))));
        text.clear();
    }
    Ok(())
}

/// Fails when a file is there and is not a list of rejects: one that engraft did not write is not replaced.
///
/// # Errors
/// [`Error::Usage`] in that case; when it cannot be read.
pub fn replaceable(path: &Path) -> Result<()> {
    let first = first_line(path, 1 << 20)?;
    let torn = !first.ends_with(b"\n") && first.starts_with(START);
    if first.is_empty() || torn || serde_json::from_slice::<Reject>(&first).is_ok() {
        return Ok(());
    }
    Err(Error::in_the_way(path, "it is no list of rejects of engraft's, so it is not replaced: give another -o"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::shards;
    use crate::source::Stage;

    fn reject(id: &str) -> Reject {
        Reject { id: id.to_owned(), stage: Stage::Read, reason: "gone".to_owned() }
    }

    #[test]
    fn lines_of_unfinished_stretches_and_torn_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        assert!(retain(folder.path(), &HashSet::new()).unwrap().is_empty());
        let part = |first: u64| shards::stem(first, 0);
        append(folder.path(), &part(0), &[reject("a"), reject("b")]).unwrap();
        append(folder.path(), &part(8), &[reject("c")]).unwrap();
        assert_eq!(parts(folder.path()).unwrap(), HashSet::from([part(0), part(8)]));
        let path = rejects_path(folder.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        assert!(
            whole.starts_with("{\"id\":\"a\",\"stage\":\"read\",\"reason\":\"gone\",\"part\":\"part-000000000000\"}\n")
        );
        std::fs::write(&path, whole.clone() + "{\"id\":\"d").unwrap();
        let counts = retain(folder.path(), &HashSet::from([part(0), part(8)])).unwrap();
        assert_eq!((counts[&part(0)], counts[&part(8)]), (2, 1));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        retain(folder.path(), &HashSet::from([part(8)])).unwrap();
        assert_eq!(read(folder.path(), &part(8)).unwrap(), [reject("c")]);
        assert_eq!(read(folder.path(), &part(0)).unwrap(), []);
        // What a full disk tore swallows no line that comes after it.
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        append(folder.path(), &part(16), &[reject("e")]).unwrap();
        assert_eq!(read(folder.path(), &part(16)).unwrap(), [reject("e")]);
        replaceable(&path).unwrap();
        std::fs::write(&path, &whole[..20]).unwrap();
        replaceable(&path).unwrap();
        std::fs::write(&path, "{\"mine\": 1}\n").unwrap();
        assert!(matches!(replaceable(&path), Err(Error::Usage(_))));
    }
}
