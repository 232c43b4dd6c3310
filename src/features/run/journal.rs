//! `journal.jsonl`: which run fills the folder, and which stretches of the input list are finished.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use same_file::Handle;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::key::RunKey;
use super::{journal_path, rejects_path};
use crate::error::{Error, Result};
use crate::features::{Existing, shards};
use crate::file;

/// Of the file's lines; a journal of another version is refused.
const VERSION: u32 = 1;

/// How each journal starts.
const START: &[u8] = b"{\"journal\":";

/// Hexadecimal digits of the digest that each line ends with.
const DIGITS: usize = 16;

/// How each line ends, but for the digest of what stands before it and `"}`. Lines of engraft 0.1.0's first days have none.
const CHECK: &[u8] = b",\"check\":\"";

/// A finished stretch of the input list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stretch {
    /// Which of those that began with the same entry, from 0: what it is kept under is never the name of another.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(super) revision: u32,
    /// What holds its rows, if it has any.
    #[serde(flatten)]
    pub(super) shard: Option<Shard>,
    pub(super) entries: Range<u64>,
    pub(super) rows: u64,
    pub(super) rejects: u64,
    pub(super) truncated: u64,
    pub(super) dimension: usize,
    /// The wrapping sum of the entries' digests, in hexadecimal.
    #[serde(with = "hexadecimal")]
    pub(super) digest: u128,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_first(revision: &u32) -> bool {
    *revision == 0
}

impl Stretch {
    /// Nothing yet, to begin with this entry.
    pub(super) fn new(first: u64) -> Self {
        Self {
            revision: 0,
            shard: None,
            entries: first..first,
            rows: 0,
            rejects: 0,
            truncated: 0,
            dimension: 0,
            digest: 0,
        }
    }

    /// By which its rejects are known; with `.parquet`, the name of its shard.
    pub(super) fn name(&self) -> String {
        shards::stem(self.entries.start, self.revision)
    }

    /// Number of its entries.
    pub(super) fn count(&self) -> u64 {
        self.entries.end.saturating_sub(self.entries.start)
    }

    /// Of its shard, if it has rows.
    pub(super) fn path(&self, folder: &Path) -> Option<PathBuf> {
        self.shard.as_ref().map(|shard| folder.join(&shard.file))
    }
}

/// A shard as it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shard {
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Counts of a run, so far or in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) entries: u64,
    pub(super) rows: u64,
    pub(super) rejects: u64,
    pub(super) truncated: u64,
}

impl Totals {
    pub(super) fn of<'a>(stretches: impl IntoIterator<Item = &'a Stretch>) -> Self {
        stretches.into_iter().fold(Self::default(), |sum, stretch| Self {
            entries: sum.entries.saturating_add(stretch.count()),
            rows: sum.rows.saturating_add(stretch.rows),
            rejects: sum.rejects.saturating_add(stretch.rejects),
            truncated: sum.truncated.saturating_add(stretch.truncated),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// The first stretch of a run that takes the place of another one.
    Another {
        journal: u32,
        run: Map<String, Value>,
        first: Stretch,
    },
    Run {
        journal: u32,
        run: Map<String, Value>,
    },
    Stretch(Stretch),
    Finished {
        finished: Totals,
    },
}

/// What the lines say together.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `None` while no run has begun.
    pub(super) key: Option<RunKey>,
    /// By their first entry; none overlaps another.
    pub(super) stretches: BTreeMap<u64, Stretch>,
    /// Where the whole input list was done, what it came to then.
    pub(super) finished: Option<Totals>,
    /// Bytes of what counts. What follows was torn by a killed process.
    length: u64,
}

impl Record {
    /// What the journal in `folder` says; `None` where there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = journal_path(folder);
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes, &path).map(Some),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Error::io("read", &path)(e)),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut record = Self::default();
        let whole: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")).collect();
        // A disk that lost its power may have kept the length of a line and not its text.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(record);
        }
        if whole.is_empty() && !(bytes.starts_with(START) || START.starts_with(bytes)) {
            return Err(foreign(path));
        }
        for (i, line) in whole.iter().enumerate() {
            let parsed = match parsed(line) {
                Ok(parsed) => parsed,
                Err(_) if i > 0 && i + 1 == whole.len() => break,
                Err(_) if i == 0 && serde_json::from_slice::<Line>(line).is_err() => return Err(foreign(path)),
                Err(reason) => return Err(damaged(path, i, &reason)),
            };
            record.add(parsed, i, path)?;
            record.length += line.len() as u64;
        }
        Ok(record)
    }

    fn add(&mut self, line: Line, i: usize, path: &Path) -> Result<()> {
        match line {
            Line::Run { journal, .. } | Line::Another { journal, .. } if journal != VERSION => {
                return Err(Error::malformed(path, format!("version {journal} of the journal is not known")));
            }
            Line::Run { run, .. } if i == 0 => self.key = Some(RunKey::from_json(run)),
            _ if i == 0 => return Err(foreign(path)),
            Line::Run { .. } => return Err(damaged(path, i, "it begins another run")),
            Line::Another { run, first, .. } => {
                self.key = Some(RunKey::from_json(run));
                self.stretches.clear();
                self.insert(named(first, i, path)?);
            }
            Line::Stretch(stretch) => drop(self.insert(named(stretch, i, path)?)),
            Line::Finished { finished } => self.finished = Some(finished),
        }
        Ok(())
    }

    /// Puts a stretch in the place of all that it overlaps: these were done again.
    /// Returns these. What is finished stays so where no entry is left over.
    pub(super) fn insert(&mut self, stretch: Stretch) -> Vec<Stretch> {
        let mut replaced = Vec::new();
        while let Some((&start, before)) = self.stretches.range(..stretch.entries.end).next_back() {
            if before.entries.end <= stretch.entries.start {
                break;
            }
            replaced.extend(self.stretches.remove(&start));
        }
        if Totals::of(&replaced).entries != stretch.count() {
            self.finished = None;
        }
        self.stretches.insert(stretch.entries.start, stretch);
        replaced
    }

    /// The shards' paths.
    pub(super) fn shards<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        self.stretches.values().filter_map(|stretch| stretch.path(folder))
    }

    /// The stretches' names.
    pub(super) fn names(&self) -> HashSet<String> {
        self.stretches.values().map(Stretch::name).collect()
    }

    /// Whether the whole input list was done, and all of it is still told of.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.is_some_and(|finished| finished.entries == self.totals().entries)
    }

    pub(super) fn totals(&self) -> Totals {
        Totals::of(self.stretches.values())
    }
}

/// A stretch of this line, if its shard can be one of ours.
fn named(stretch: Stretch, i: usize, path: &Path) -> Result<Stretch> {
    let named = stretch.shard.as_ref().map_or(stretch.rows == 0, |shard| shard.file == shards::file(&stretch.name()));
    let counted = stretch.rows.checked_add(stretch.rejects) == Some(stretch.count());
    if stretch.entries.is_empty() || !named || !counted {
        return Err(damaged(path, i, "it is no stretch of the input list"));
    }
    Ok(stretch)
}

/// What a line says, if it is what was written.
fn parsed(line: &[u8]) -> std::result::Result<Line, String> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let check = body.len().checked_sub(CHECK.len() + DIGITS + 2).and_then(|place| {
        let (before, rest) = body.split_at(place);
        Some((before, rest.strip_prefix(CHECK)?.strip_suffix(b"\"}")?))
    });
    if check.is_some_and(|(before, digest)| check_of(before).as_bytes() != digest) {
        return Err("it is not what was written".to_owned());
    }
    serde_json::from_slice(body).map_err(|e| e.to_string())
}

/// Of a line, without its closing brace: the start of its SHA-256.
fn check_of(line: &[u8]) -> String {
    let mut digest = file::sha256_hex(line);
    digest.truncate(DIGITS);
    digest
}

fn damaged(path: &Path, i: usize, reason: &str) -> Error {
    Error::malformed(path, format!("line {} is damaged: {reason}; --overwrite begins afresh", i + 1))
}

/// The file, open and locked: one process at a time writes to a folder.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Of what counts.
    length: u64,
    state: State,
}

/// Whether what the file holds is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Known,
    /// It could not be read, and is to be replaced once there is something to write.
    Unread,
}

impl Journal {
    /// Opens the folder's journal, or makes an empty one, and reads it.
    pub(super) fn lock(folder: &Path, existing: Existing) -> Result<(Self, Record)> {
        let path = journal_path(folder);
        let mut file = locked(folder, &path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        let (record, state) = match Record::parse(&bytes, &path) {
            // What cannot be read is no loss to who begins afresh; what is not ours stays.
            Err(Error::Malformed { .. }) if existing == Existing::Replace => (Record::default(), State::Unread),
            parsed => (parsed?, State::Known),
        };
        Ok((Self { path, file, length: record.length, state }, record))
    }

    /// Whether no run has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn clear(&mut self) -> Result<()> {
        (self.length, self.state) = (0, State::Known);
        self.file.set_len(0).map_err(Error::io("write", &self.path))
    }

    /// Begins a run where none is.
    pub(super) fn begin(&mut self, key: &RunKey) -> Result<()> {
        self.append(&Line::Run { journal: VERSION, run: key.as_json().clone() })
    }

    /// Adds the first stretch of another run: what was there counts no more.
    pub(super) fn replace(&mut self, key: &RunKey, first: &Stretch) -> Result<()> {
        self.append(&Line::Another { journal: VERSION, run: key.as_json().clone(), first: first.clone() })
    }

    pub(super) fn stretch(&mut self, stretch: &Stretch) -> Result<()> {
        self.append(&Line::Stretch(stretch.clone()))
    }

    pub(super) fn finish(&mut self, totals: Totals) -> Result<()> {
        self.append(&Line::Finished { finished: totals })
    }

    /// The line is on the disk when this returns, or it does not count.
    fn append(&mut self, line: &Line) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| Error::malformed(&self.path, e))?;
        bytes.pop();
        let check = check_of(&bytes);
        bytes.extend([CHECK, check.as_bytes(), b"\"}\n"].concat());
        let written = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)))
            .and_then(|_| self.file.write_all(&bytes))
            .and_then(|()| self.file.sync_all());
        if written.is_err() {
            // If the disk does not even allow that, the next run cuts it off.
            let _ = self.file.set_len(self.length);
        }
        written.map_err(Error::io("write", &self.path))?;
        self.length += bytes.len() as u64;
        self.state = State::Known;
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.is_empty() && self.state == State::Known {
            // The file was made for its lock alone.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The journal's file, with the lock on it.
fn locked(folder: &Path, path: &Path) -> Result<File> {
    loop {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(Error::io("write", path))?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                Error::Usage(format!("another engraft is writing to {}: wait for it to end", folder.display()))
            }
            TryLockError::Error(e) => Error::io("lock", path)(e),
        })?;
        // An empty journal is removed by who made it, and may have gone between the opening and the lock.
        let mine = file.try_clone().and_then(Handle::from_file).map_err(Error::io("read", path))?;
        if Handle::from_path(path).is_ok_and(|there| there == mine) {
            return Ok(file);
        }
    }
}

fn foreign(path: &Path) -> Error {
    let others = rejects_path(path.parent().unwrap_or(path));
    let kept = others.file_name().unwrap_or_default().display();
    let reason = format!("it is no journal of engraft's, so neither it nor {kept} is replaced: give another -o");
    Error::in_the_way(path, reason)
}

mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RunKey {
        RunKey::from_json(Map::from_iter([("precision".to_owned(), "f32".into())]))
    }

    fn stretch(entries: Range<u64>) -> Stretch {
        let stretch = Stretch::new(entries.start);
        let file = shards::file(&stretch.name());
        Stretch {
            shard: Some(Shard { file, bytes: 1, sha256: "00".to_owned() }),
            rows: entries.end - entries.start,
            entries,
            dimension: 2,
            digest: u128::MAX - 5,
            ..stretch
        }
    }

    #[test]
    fn what_was_written_is_read_and_a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, record) = Journal::lock(folder.path(), Existing::Refuse).unwrap();
        assert!(record.key.is_none() && journal.is_empty());
        let Err(Error::Usage(said)) = Journal::lock(folder.path(), Existing::Refuse) else { panic!() };
        assert!(said.contains("another engraft is writing"), "{said}");

        let without = Stretch { shard: None, rows: 0, rejects: 3, ..stretch(4..7) };
        journal.begin(&key()).unwrap();
        for stretch in [&stretch(0..4), &without] {
            journal.stretch(stretch).unwrap();
        }
        drop(journal);
        let path = journal_path(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for torn in ["{\"entries\":", "\0\0\0\n", ""] {
            std::fs::write(&path, [&whole, torn.as_bytes()].concat()).unwrap();
            let (mut journal, record) = Journal::lock(folder.path(), Existing::Refuse).unwrap();
            assert_eq!(record.key, Some(key()));
            assert_eq!(record.stretches.values().collect::<Vec<_>>(), [&stretch(0..4), &without]);
            journal.finish(record.totals()).unwrap();
            drop(journal);
            let (_, record) = Journal::lock(folder.path(), Existing::Refuse).unwrap();
            assert_eq!(record.totals(), Totals { entries: 7, rows: 4, rejects: 3, truncated: 0 });
            assert_eq!(record.finished, Some(record.totals()));
        }
    }

    #[test]
    fn another_run_counts_from_its_first_stretch_on() {
        let folder = tempfile::tempdir().unwrap();
        let other = RunKey::from_json(Map::from_iter([("precision".to_owned(), "f16".into())]));
        let lock = || Journal::lock(folder.path(), Existing::Refuse).unwrap();
        let (mut journal, _) = lock();
        journal.begin(&key()).unwrap();
        journal.stretch(&stretch(0..4)).unwrap();
        journal.finish(Totals::default()).unwrap();
        drop(journal);
        let path = journal_path(folder.path());
        let before = std::fs::read(&path).unwrap();
        let (mut journal, _) = lock();
        let anew = Stretch { revision: 1, shard: None, rows: 0, rejects: 2, ..stretch(0..2) };
        journal.replace(&other, &anew).unwrap();
        drop(journal);
        let after = std::fs::read(&path).unwrap();
        assert!(after.starts_with(&before));
        // Killed between any two bytes, it is one run or the other.
        for length in before.len()..after.len() {
            std::fs::write(&path, &after[..length]).unwrap();
            let (mut journal, record) = lock();
            assert!(record.finished.is_some() && record.key == Some(key()), "{length}");
            assert_eq!(record.stretches.values().collect::<Vec<_>>(), [&stretch(0..4)]);
            // Going on with the old run leaves nothing of the other.
            journal.stretch(&stretch(4..5)).unwrap();
            drop(journal);
            assert_eq!(lock().1.key, Some(key()));
            assert_eq!(lock().1.stretches.len(), 2);
        }
        std::fs::write(&path, &after).unwrap();
        let (_journal, record) = lock();
        assert!(record.finished.is_none() && record.key == Some(other));
        assert_eq!(record.stretches.values().collect::<Vec<_>>(), [&anew]);
    }

    #[test]
    fn no_line_is_believed_that_is_not_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::lock(folder.path(), Existing::Refuse).unwrap();
        journal.begin(&key()).unwrap();
        journal.stretch(&stretch(0..4)).unwrap();
        journal.finish(Totals { entries: 4, rows: 4, rejects: 0, truncated: 0 }).unwrap();
        drop(journal);
        let path = journal_path(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let said = Record::parse(&whole, &path).unwrap();
        assert!(said.is_finished());
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[place] ^= 1 << bit;
                let Ok(record) = Record::parse(&flipped, &path) else { continue };
                // The last line, with what runs into it, may be torn: the run then goes on from there. Or what is damaged is the
                // word `check`, and all else is as it was.
                assert!(record.stretches == said.stretches || !record.is_finished(), "byte {place}, bit {bit}");
                assert!(record.stretches.values().all(|stretch| said.stretches.values().any(|one| one == stretch)));
                assert_eq!(record.key, said.key);
            }
        }
        // A line that is gone is missed.
        let mut lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        lines.remove(1);
        assert!(!Record::parse(&lines.concat(), &path).unwrap().is_finished());
    }

    #[test]
    fn stretches_that_cannot_be_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(folder.path());
        let odd = [
            Stretch { entries: Range { start: 4, end: 0 }, ..stretch(4..4) },
            Stretch { rows: 5, ..stretch(0..4) },
            Stretch { rejects: u64::MAX, ..stretch(0..4) },
            Stretch { shard: None, ..stretch(0..4) },
            Stretch {
                shard: Some(Shard { file: "../part-0.parquet".to_owned(), bytes: 1, sha256: String::new() }),
                ..stretch(0..4)
            },
        ];
        for stretch in odd {
            let line = serde_json::to_string(&stretch).unwrap();
            let text = format!(
                "{{\"journal\":1,\"run\":{{}}}}\n{line}\n{{\"finished\":{{\"entries\":0,\"rows\":0,\"rejects\":0,\"truncated\":0}}}}\n"
            );
            assert!(matches!(Record::parse(text.as_bytes(), &path), Err(Error::Malformed { .. })), "{text}");
        }
    }

    #[test]
    fn a_later_stretch_takes_the_place_of_those_it_overlaps() {
        let mut record = Record::default();
        for entries in [0..4, 4..8, 8..12, 20..24, 2..9] {
            record.insert(stretch(entries));
        }
        assert_eq!(record.stretches.keys().copied().collect::<Vec<_>>(), [2, 20]);
        record.insert(stretch(0..2));
        assert_eq!(record.stretches.len(), 3);
    }

    #[test]
    fn what_is_no_journal_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal_path(folder.path());
        for text in ["dear diary", "dear diary\n", "{\"entries\": 1}\n", "{\"journal\": 9, \"run\": {}}\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(Journal::lock(folder.path(), Existing::Refuse).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, "{\"journal\":1,\"run\":{}}\nhm\n{\"finished\":{}}\n").unwrap();
        assert!(matches!(Journal::lock(folder.path(), Existing::Refuse), Err(Error::Malformed { .. })));
        let (journal, record) = Journal::lock(folder.path(), Existing::Replace).unwrap();
        assert!(record.key.is_none() && journal.is_empty());
        drop(journal);
        assert!(path.exists(), "nothing has taken its place");
        std::fs::write(&path, "dear diary").unwrap();
        assert!(Journal::lock(folder.path(), Existing::Replace).is_err(), "it is not ours");
        drop(std::fs::remove_file(&path));
        drop(Journal::lock(folder.path(), Existing::Refuse).unwrap());
        assert!(!path.exists(), "an empty journal goes again");
    }
}
