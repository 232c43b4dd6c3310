//! What is left of an input list.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::journal::Stretch;
use super::rejects;
use crate::error::{Error, Result};
use crate::features::parquet;
use crate::source::{Entry, List, Listed, Reject, Sample};

/// Whether a stretch's entries are passed on; they are checked in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// It is finished.
    Nothing,
    /// As one stretch, which is to take the place of what is there.
    Again,
    /// As any others: what it was is lost.
    Anew,
}

/// Passes on the entries that are to be embedded, and checks that those that were embedded before are still what they were.
pub(super) struct Unfinished {
    list: List,
    /// In order. The first may have been begun.
    stretches: VecDeque<(Stretch, Pass)>,
    /// Of the first stretch, as far as it has come: the sum of the digests, and the ids.
    sum: u128,
    ids: Vec<String>,
    folder: PathBuf,
    failed: bool,
}

impl Unfinished {
    pub(super) fn new(list: List, stretches: VecDeque<(Stretch, Pass)>, folder: &Path) -> Self {
        Self { list, stretches, sum: 0, ids: Vec::new(), folder: folder.to_path_buf(), failed: false }
    }

    fn step(&mut self) -> Result<Option<Listed>> {
        loop {
            let Some(listed) = self.list.next() else {
                return match self.stretches.front() {
                    None => Ok(None),
                    Some((stretch, _)) => Err(self.ended(stretch)),
                };
            };
            let listed = listed?;
            let among = |(stretch, _): &&(Stretch, Pass)| stretch.entries.contains(&listed.position);
            let Some((stretch, pass)) = self.stretches.front().filter(among) else { return Ok(Some(listed)) };
            self.sum = self.sum.wrapping_add(listed.digest);
            let (Entry::Sample(Sample { id, .. }) | Entry::Reject(Reject { id, .. })) = &listed.entry;
            self.ids.push(id.clone());
            let (pass, first) = (*pass, stretch.entries.start);
            if listed.position + 1 == stretch.entries.end {
                if self.sum != stretch.digest {
                    return Err(self.changed(stretch));
                }
                self.stretches.pop_front();
                self.sum = 0;
                self.ids.clear();
            }
            match pass {
                Pass::Nothing => {}
                Pass::Again => return Ok(Some(Listed { within: Some(first), ..listed })),
                Pass::Anew => return Ok(Some(listed)),
            }
        }
    }

    fn ended(&self, stretch: &Stretch) -> Error {
        let (start, end) = (stretch.entries.start, stretch.entries.end);
        let there = start + self.ids.len() as u64;
        self.error(&format!(
            "inputs have vanished: the list ends before entry {there}, and those from {start} to {} were embedded",
            end - 1
        ))
    }

    /// Names the first id that is another one now.
    fn changed(&self, stretch: &Stretch) -> Error {
        let (start, end) = (stretch.entries.start, stretch.entries.end - 1);
        let difference = match self.difference(stretch) {
            Ok(Some((was, is))) => format!("the first that differs was {was:?} and is now {is:?}"),
            Ok(None) => {
                "their ids are the same, but not all of their texts, paths, labels or kept columns, or their order"
                    .to_owned()
            }
            Err(e) => format!("what they were cannot be read: {e}"),
        };
        self.error(&format!("entries {start} to {end} of the inputs are not those that were embedded: {difference}"))
    }

    /// The rows are in the list's order. A reject may have stood anywhere between them.
    fn difference(&self, stretch: &Stretch) -> Result<Option<(String, String)>> {
        let ids = stretch.path(&self.folder).map_or_else(|| Ok(Vec::new()), |path| parquet::ids(&path))?;
        let mut rows = ids.into_iter().peekable();
        let mut rejected: VecDeque<String> =
            rejects::read(&self.folder, &stretch.name())?.into_iter().map(|reject| reject.id).collect();
        for id in &self.ids {
            if rows.next_if_eq(id).is_some() {
                continue;
            }
            match rejected.iter().position(|other| other == id) {
                Some(place) => drop(rejected.remove(place)),
                None => {
                    let was = rows.next().or_else(|| rejected.pop_front()).unwrap_or_default();
                    return Ok(Some((was, id.clone())));
                }
            }
        }
        Ok(None)
    }

    fn error(&self, difference: &str) -> Error {
        Error::InputsChanged { folder: self.folder.clone(), difference: difference.to_owned() }
    }
}

impl Iterator for Unfinished {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.step().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
