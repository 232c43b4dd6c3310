//! Files by a pattern.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Paths};

use super::input::Input;
use super::{Entries, Entry, Extent, Reject, SourceOptions, Stage, folder, open};
use crate::error::{Error, Result};

/// `*` and `?` stop at `/`; hidden files are matched only by a pattern that says so.
const RULES: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The images, tables and archives that match a pattern, in the order of names; each as though it was one of several inputs.
///
/// Folders that match are passed over (`**` finds what is in them), and so are files of no known kind. The names in a folder
/// that is searched are all in memory, unlike with a folder as input.
///
/// # Errors
/// When the pattern cannot be read or nothing that matches is an input.
pub(super) fn matches(pattern: &str, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    let mut matched =
        Matches { paths: paths(pattern)?, current: None, options: options.clone(), extent: extent.clone(), passed: 0 };
    match matched.next() {
        Some(first) => Ok(Box::new(std::iter::once(Ok(first?)).chain(matched))),
        None if matched.passed > 0 => {
            let passed = matched.passed;
            Err(Error::Usage(format!("none of the {passed} matches of {pattern} is an image, a table or an archive")))
        }
        None => Err(Error::Usage(format!("nothing matches {pattern}"))),
    }
}

/// Everything that matches.
///
/// # Errors
/// When the pattern cannot be read.
pub(super) fn paths(pattern: &str) -> Result<Paths> {
    glob::glob_with(pattern, RULES).map_err(|e| Error::Usage(format!("the pattern {pattern} cannot be read: {e}")))
}

/// The archives that match, where all inputs that match are archives; `None` where another one does, or nothing.
///
/// # Errors
/// As [`paths`].
pub(super) fn only_archives(pattern: &str) -> Result<Option<Vec<PathBuf>>> {
    let mut archives = Vec::new();
    for path in paths(pattern)? {
        // What cannot be read becomes a reject, and so do images that cannot be.
        let Ok(path) = path else { return Ok(None) };
        match Input::of_file(&path) {
            _ if path.is_dir() => {}
            Some(Input::Archives(_)) => archives.push(path),
            None if !folder::is_unreadable_image(&path) => {}
            Some(_) | None => return Ok(None),
        }
    }
    Ok(Some(archives).filter(|archives| !archives.is_empty()))
}

struct Matches {
    paths: Paths,
    current: Option<Entries>,
    options: SourceOptions,
    extent: Arc<Extent>,
    /// How many matches were no inputs.
    passed: u64,
}

impl Matches {
    fn entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entries) = &mut self.current {
                match entries.next() {
                    Some(entry) => return entry.map(Some),
                    None => self.current = None,
                }
            }
            let Some(path) = self.paths.next() else { return Ok(None) };
            let path = match path {
                Ok(path) => path,
                Err(e) => return Ok(Some(reject(e.path(), format!("cannot be read: {}", e.error())))),
            };
            let known = Input::of_file(&path).is_some();
            if path.is_dir() || !(known || folder::is_unreadable_image(&path)) {
                self.passed += 1;
                continue;
            }
            if path.to_str().is_none() {
                return Ok(Some(reject(&path, "the name is not valid Unicode".to_owned())));
            }
            if !known {
                return Ok(Some(reject(&path, folder::unreadable_image())));
            }
            let input = Input::of(&path, self.options.modality)?;
            self.current = Some(open::named(&path, &input, &self.options, &self.extent)?);
        }
    }
}

impl Iterator for Matches {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        self.entry().transpose()
    }
}

fn reject(path: &Path, reason: String) -> Entry {
    let id = folder::printable(path.as_os_str().as_encoded_bytes());
    Entry::Reject(Reject { id, stage: Stage::Read, reason })
}
