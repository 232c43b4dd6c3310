//! What the user names.

use std::fs;
use std::path::{Path, PathBuf};

use super::table::Table;
use super::{Modality, braces, folder, matches, web_dataset};
use crate::error::{Error, Result};

/// The name of standard input.
const STDIN: &str = "-";

/// What an input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Stdin,
    Folder,
    Image,
    Table(Table),
    /// One, or those that braces or a pattern stand for.
    Archives(Vec<PathBuf>),
    /// Files by a pattern, not all of them archives.
    Glob(String),
}

impl Input {
    /// What the path names: something that is there, else archives by `{000..099}`, else files by `*`, `?` and `[...]`.
    ///
    /// # Errors
    /// When it is not there, is of no known kind, or is not what the backbone reads.
    pub(super) fn of(path: &Path, modality: Modality) -> Result<Self> {
        if path == Path::new(STDIN) {
            return Ok(Self::Stdin);
        }
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(absent) => {
                let pattern = path.to_str().unwrap_or_default();
                return if pattern.contains('{') && web_dataset::is_archive(path) {
                    Ok(Self::Archives(braced(pattern)?))
                } else if pattern.contains(['*', '?', '[']) {
                    Ok(match matches::only_archives(pattern)? {
                        Some(archives) => Self::Archives(archives),
                        None => Self::Glob(pattern.to_owned()),
                    })
                } else {
                    Err(cannot_read(path, absent))
                };
            }
        };
        let input = if found.is_dir() {
            Self::Folder
        } else if !found.is_file() {
            // Some are opened twice, and a pipe could be waited for without end.
            return Err(Error::Usage(format!("{} is not a regular file; to read a stream, give -", path.display())));
        } else {
            Self::of_file(path).ok_or_else(|| {
                let (path, images) = (path.display(), folder::extensions());
                Error::Usage(format!(
                    "{path} is no known input: give a folder of images, an image ({images}), a table (csv, tsv, jsonl, \
                     ndjson, parquet), an archive (tar, tar.gz, tgz), or - for lines on standard input"
                ))
            })?
        };
        let what = match (&input, modality) {
            (Self::Folder, Modality::Text) => "a folder",
            (Self::Image, Modality::Text) => "an image",
            _ => return Ok(input),
        };
        Err(Error::Usage(format!(
            "{} is {what}, but the backbone reads texts: give a table (csv, tsv, jsonl, ndjson, parquet), an archive of \
             .txt members, or - for lines on standard input",
            path.display()
        )))
    }

    /// Whether samples can come with columns beside what is embedded.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(super) fn has_columns(&self, path: &Path) -> Result<bool> {
        match self {
            Self::Stdin | Self::Image => Ok(false),
            Self::Folder => folder::has_metadata(path),
            Self::Table(_) | Self::Archives(_) | Self::Glob(_) => Ok(true),
        }
    }

    /// By the file's name.
    pub(super) fn of_file(path: &Path) -> Option<Self> {
        if folder::is_image(path) {
            Some(Self::Image)
        } else if web_dataset::is_archive(path) {
            Some(Self::Archives(vec![path.to_path_buf()]))
        } else {
            Table::from_path(path).map(Self::Table)
        }
    }
}

/// The archives of a pattern. Each must be there, so that a missing one is known before anything is embedded.
fn braced(pattern: &str) -> Result<Vec<PathBuf>> {
    let files = braces::expand(pattern)?.into_iter().map(|file| {
        let path = PathBuf::from(file);
        fs::metadata(&path).map_err(|e| cannot_read(&path, e))?;
        Ok(path)
    });
    files.collect()
}

/// What is named and not there is a wrong use.
fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::Usage(format!("there is no input {}", path.display())),
        _ => Error::io("read", path)(error),
    }
}

/// Fails on an input that is not there. What a pattern matches is seen when it is opened.
///
/// # Errors
/// [`Error::Usage`] when it is not there; when the system cannot tell.
pub fn exist(inputs: &[PathBuf]) -> Result<()> {
    inputs
        .iter()
        .filter(|path| *path != Path::new(STDIN) && !path.to_string_lossy().contains(['*', '?', '[', '{']))
        .try_for_each(|path| fs::metadata(path).map(|_| ()).map_err(|e| cannot_read(path, e)))
}

/// The path as it was given, as the beginning of ids.
///
/// # Errors
/// When it is not Unicode.
pub(super) fn name(input: &Path) -> Result<String> {
    let name = input.to_str().ok_or_else(|| Error::Usage(format!("{} is not valid Unicode", input.display())))?;
    Ok(name.trim_end_matches('/').to_owned())
}
