//! The hub's cache layout, shared with Python's `huggingface_hub`:
//!
//! ```text
//! .locks/models--owner--name/<etag>.lock
//! models--owner--name/refs/<revision>            the commit a branch or tag stood for when last asked
//! models--owner--name/blobs/<etag>               the content
//! models--owner--name/blobs/<etag>.incomplete    the beginning of a content
//! models--owner--name/snapshots/<commit>/<file>  a relative link to the blob
//! ```

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reference::{HubRef, is_commit};
use crate::error::{Error, Result};
use crate::file::{AtomicFile, write_atomic};
use crate::progress::Progress;

/// How often a lock that another process holds is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The folder of one repository.
pub(super) struct RepoCache {
    root: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, reference: &HubRef) -> Self {
        let folder = format!("models--{}--{}", reference.owner, reference.name);
        Self { root: cache.join(&folder), locks: cache.join(".locks").join(&folder) }
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// Where a file of a commit lies, if it is there: a link to a blob that was deleted does not count.
    pub(super) fn file(&self, commit: &str, file: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(file)).filter(|path| path.is_file())
    }

    /// The commit that a revision stood for when the hub was last asked; a full commit stands for itself.
    pub(super) fn commit(&self, reference: &HubRef) -> Option<String> {
        if reference.is_pinned() {
            return self.snapshot(&reference.revision).is_dir().then(|| reference.revision.clone());
        }
        let text = std::fs::read_to_string(self.root.join("refs").join(&reference.revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers what a revision stands for.
    pub(super) fn remember(&self, reference: &HubRef, commit: &str) -> Result<()> {
        if reference.is_pinned() || self.commit(reference).as_deref() == Some(commit) {
            return Ok(());
        }
        write_atomic(&self.root.join("refs").join(&reference.revision), commit.as_bytes())
    }

    /// The files of a commit that are here, relative, with `/`, sorted.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let entries = walkdir::WalkDir::new(&root).into_iter().filter_map(std::result::Result::ok);
        let relative = entries.filter(|entry| entry.path().is_file()).filter_map(|entry| {
            let path = entry.path().strip_prefix(&root).ok()?;
            let parts = path.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>()?;
            Some(parts.join("/"))
        });
        let mut files: Vec<String> = relative.collect();
        files.sort_unstable();
        files
    }

    /// Makes a blob visible as a file of a commit.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let link = self.snapshot(commit).join(file);
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        // From snapshots/<commit>/a/b back to the repository's folder: one step for each part of the file's name, one more
        // for the commit and one for `snapshots`, less one because a link is read from the folder it lies in.
        let up = "../".repeat(file.split('/').count() + 1);
        if symlink(&PathBuf::from(format!("{up}blobs/{etag}")), &link).is_ok() {
            return Ok(());
        }
        // Where links are not allowed (Windows without developer mode, some network file systems) a copy does.
        let mut source = File::open(self.blob(etag)).map_err(Error::io("read", self.blob(etag)))?;
        let mut copy = AtomicFile::create(&link)?;
        std::io::copy(&mut source, &mut copy).map_err(Error::io("write", &link))?;
        copy.commit()
    }

    /// Waits until no other process fetches this blob. Where the file system has no locks there is nothing to wait for.
    /// The lock ends when the file is dropped.
    pub(super) fn lock(&self, etag: &str, progress: &dyn Progress) -> Result<File> {
        std::fs::create_dir_all(&self.locks).map_err(Error::io("create", &self.locks))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = options.map_err(Error::io("create", &path))?;
        let mut told = false;
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            if !std::mem::replace(&mut told, true) {
                progress.note(&format!("another process is fetching this file ({}): waiting", path.display()));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Ok(lock)
    }
}

/// Makes a link under a temporary name and renames it, so that a stale link is replaced and a reader never sees none.
#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    let folder = link.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".engraft-")
        .make_in(folder, |path| std::os::unix::fs::symlink(target, path))?
        .into_temp_path();
    std::fs::rename(&temporary, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_file(link);
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
