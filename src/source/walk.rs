//! What lies below a folder, in a stable order and in bounded memory.

use std::ffi::{OsStr, OsString};
use std::fs::{FileType, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

/// Folders of at most this many entries are taken in the order of names; of greater ones the names are never all in memory.
pub(super) const MAX_SORTED: usize = 1 << 16;

/// How many folders deep a tree may be.
const MAX_DEPTH: usize = 256;

/// Something below the root.
#[derive(Debug)]
pub(super) enum Step {
    /// A folder, before what is in it.
    Folder(PathBuf),
    /// A file, or what a link to no folder leads to.
    File(PathBuf, Sort),
    /// What cannot be taken, and why.
    Problem(PathBuf, String),
}

/// Whether there is something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Regular,
    /// A pipe, a socket, a device.
    Special,
}

/// Walks a tree, following symbolic links. Hidden entries (`.name`) are passed over.
///
/// The entries of a folder come in the order of names, a sub-folder's at its place. Those of a folder with more than
/// `sorted` entries come as the file system lists them, which is the same order as long as the folder does not change. At
/// most 256 folders are open at a time, and only such great ones.
pub(super) struct Walk {
    stack: Vec<Folder>,
    sorted: usize,
}

struct Folder {
    path: PathBuf,
    /// Its path without links.
    real: PathBuf,
    entries: Entries,
}

type Entry = (OsString, io::Result<FileType>);

enum Entries {
    /// In reverse order.
    Sorted(Vec<Entry>),
    Listed(std::iter::Chain<std::vec::IntoIter<Entry>, Listing>),
}

/// The rest of a folder. Ends with the first error.
struct Listing {
    entries: ReadDir,
    failed: bool,
}

impl Walk {
    /// # Errors
    /// When the root cannot be read.
    pub(super) fn new(root: &Path, sorted: usize) -> io::Result<Self> {
        let folder = Folder::open(root.to_path_buf(), root.canonicalize()?, sorted)?;
        Ok(Self { stack: vec![folder], sorted })
    }

    /// Leaves out what is left of the folder that the last step named.
    pub(super) fn skip_folder(&mut self) {
        self.stack.pop();
    }

    /// How many folders lie between the root and what the last step named, that folder included.
    pub(super) fn depth(&self) -> usize {
        self.stack.len().saturating_sub(1)
    }

    fn step(&mut self, folder: &Path, name: &OsStr, kind: io::Result<FileType>) -> Step {
        let path = folder.join(name);
        let unreadable = |path, e: io::Error| Step::Problem(path, format!("cannot be read: {e}"));
        let (kind, link) = match kind {
            Ok(kind) if !kind.is_symlink() => (kind, false),
            Ok(_) => match std::fs::metadata(&path) {
                Ok(target) => (target.file_type(), true),
                // A broken link, or one of a ring.
                Err(e) => return unreadable(path, e),
            },
            Err(e) => return unreadable(path, e),
        };
        if !kind.is_dir() {
            return Step::File(path, if kind.is_file() { Sort::Regular } else { Sort::Special });
        }
        let parent = self.stack.last().map_or(Path::new(""), |folder| &folder.real);
        let real = match link {
            true => path.canonicalize(),
            false => Ok(parent.join(name)),
        };
        let opened = real.and_then(|real| match self.stack.iter().find(|above| above.real == real) {
            Some(above) => Ok(Err(format!("a symbolic link back to {}", above.path.display()))),
            None if self.stack.len() >= MAX_DEPTH => Ok(Err(format!("lies more than {MAX_DEPTH} folders deep"))),
            None => Folder::open(path.clone(), real, self.sorted).map(Ok),
        });
        match opened {
            Ok(Ok(folder)) => {
                self.stack.push(folder);
                Step::Folder(path)
            }
            Ok(Err(reason)) => Step::Problem(path, reason),
            Err(e) => unreadable(path, e),
        }
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let folder = self.stack.last_mut()?;
            match folder.entries.next() {
                None => drop(self.stack.pop()),
                Some((name, _)) if is_hidden(&name) => {}
                // An entry without a name is the folder's own failure.
                Some((name, Err(e))) if name.is_empty() => {
                    return Some(Step::Problem(folder.path.clone(), format!("cannot be read on: {e}")));
                }
                Some((name, kind)) => {
                    let path = folder.path.clone();
                    return Some(self.step(&path, &name, kind));
                }
            }
        }
    }
}

impl Folder {
    fn open(path: PathBuf, real: PathBuf, sorted: usize) -> io::Result<Self> {
        let mut listing = Listing { entries: path.read_dir()?, failed: false };
        let mut first: Vec<Entry> = listing.by_ref().take(sorted.saturating_add(1)).collect();
        let entries = if first.len() > sorted {
            Entries::Listed(first.into_iter().chain(listing))
        } else {
            first.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
            Entries::Sorted(first)
        };
        Ok(Self { path, real, entries })
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        match self {
            Self::Sorted(entries) => entries.pop(),
            Self::Listed(entries) => entries.next(),
        }
    }
}

impl Iterator for Listing {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.failed {
            return None;
        }
        Some(match self.entries.next()? {
            Ok(entry) => (entry.file_name(), entry.file_type()),
            Err(e) => {
                self.failed = true;
                (OsString::new(), Err(e))
            }
        })
    }
}

pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
