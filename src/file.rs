//! Files written whole or not at all, and their digests.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A file that appears under its name only when [`AtomicFile::commit`] succeeds; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    // The plain file: `NamedTempFile` hides the operating system's error code and names the hidden sibling instead.
    writer: BufWriter<File>,
    // After the writer: a file is removed once it is closed.
    temp: tempfile::TempPath,
}

impl AtomicFile {
    /// Creates a hidden sibling of `path` to write to. Makes the parent folders.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let temp = hidden(0o666).tempfile_in(folder).map_err(Error::io("create", path))?;
        let (file, temp) = temp.into_parts();
        Ok(Self { path: path.to_path_buf(), writer: BufWriter::with_capacity(1 << 18, file), temp })
    }

    /// The final path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands everything to the disk, so that nothing but the rename is left to [`commit`](Self::commit).
    ///
    /// # Errors
    /// When the disk is full.
    pub fn sync(&mut self) -> Result<()> {
        let synced = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        synced.map_err(Error::io("write", &self.path))
    }

    /// Flushes, syncs and renames into place.
    ///
    /// # Errors
    /// When the disk is full or the rename fails; the old file, if any, is then untouched.
    pub fn commit(self) -> Result<()> {
        let path = self.path;
        let file = self.writer.into_inner().map_err(|e| Error::io("write", &path)(e.into_error()))?;
        file.sync_all().map_err(Error::io("write", &path))?;
        drop(file);
        self.temp.persist(&path).map_err(|e| Error::io("rename", &path)(e.error))?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

impl std::io::Seek for AtomicFile {
    fn seek(&mut self, position: std::io::SeekFrom) -> std::io::Result<u64> {
        self.writer.seek(position)
    }
}

/// A folder that appears under its name, with everything in it, only when [`AtomicFolder::commit`] succeeds.
#[derive(Debug)]
pub struct AtomicFolder {
    path: PathBuf,
    staging: tempfile::TempDir,
}

impl AtomicFolder {
    /// Creates a hidden sibling of `path` to fill. Makes the parent folders.
    ///
    /// # Errors
    /// When the parent cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let parent = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let staging = hidden(0o777).tempdir_in(parent);
        Ok(Self { path: path.to_path_buf(), staging: staging.map_err(Error::io("create", path))? })
    }

    /// Where to put the content.
    pub fn staging(&self) -> &Path {
        self.staging.path()
    }

    /// Renames into place. If another process was faster, its folder is kept and ours dropped.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn commit(self) -> Result<()> {
        match std::fs::rename(self.staging.path(), &self.path) {
            Ok(()) => {
                let _ = self.staging.keep();
                Ok(())
            }
            Err(_) if self.path.is_dir() => Ok(()),
            Err(e) => Err(Error::io("rename", &self.path)(e)),
        }
    }
}

/// A folder that did not exist before; dropped while it is empty, it goes again.
#[derive(Debug)]
pub struct NewFolder(PathBuf);

impl NewFolder {
    /// Makes `path` and its parents; none if it was there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Option<Self>> {
        let there = path.try_exists().map_err(Error::io("read", path))?;
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        Ok((!there).then(|| Self(path.to_path_buf())))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // It fails where the folder is not empty, which is meant.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Names for what is not finished. The mode is the ordinary one, less what the user's umask takes away.
#[cfg(unix)]
fn hidden(mode: u32) -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".engraft-").suffix(".partial").permissions(std::fs::Permissions::from_mode(mode));
    builder
}

#[cfg(not(unix))]
fn hidden(_: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".engraft-").suffix(".partial");
    builder
}

/// Whether a `/`-separated path stays inside the folder it is joined to. Servers, archives and model files name such
/// paths.
pub fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(plain)
        && !path.contains(|c: char| c == '\\' || c.is_control())
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// Removes a file if it is there. `action` says in an error what that was for.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_if_there(action: &'static str, path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(action, path)(e)),
        _ => Ok(()),
    }
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// As [`AtomicFile::create`] and [`AtomicFile::commit`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// Reads a whole file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io("read", path))
}

/// Reads a whole file of at most `limit` bytes; of one that is longer, or has no end, no more is read than that.
///
/// # Errors
/// When it cannot be read, is longer, or does not fit in memory.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let too_long = || Error::malformed(path, format!("it is larger than {} MiB, which no such file is", limit >> 20));
    if length > limit {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // `length` fits: it is below a limit that memory is expected to hold.
    bytes.try_reserve_exact(length as usize).map_err(|e| Error::malformed(path, e))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit { Err(too_long()) } else { Ok(bytes) }
}

/// Reads a whole UTF-8 file.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::io("read", path))
}

/// The SHA-256 of bytes, in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The digest by which equal contents of inputs are known: the first half of their SHA-256, in lower-case hexadecimal.
/// 128 bits are plenty to tell inputs apart.
pub fn content_digest(bytes: &[u8]) -> String {
    let mut text = sha256_hex(bytes);
    text.truncate(32);
    text
}

/// The SHA-256 of a file, in lower-case hexadecimal, read in pieces.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read_at_most(&path, 4).unwrap(), b"1234");
        assert!(matches!(read_at_most(&path, 3), Err(Error::Malformed { .. })));
        assert!(matches!(read_at_most(&folder.path().join("absent"), 3), Err(Error::Io { .. })));
        #[cfg(unix)]
        assert!(matches!(read_at_most(Path::new("/dev/zero"), 1 << 20), Err(Error::Malformed { .. })));
    }

    #[test]
    fn paths_that_leave_their_folder_are_told() {
        for inside in ["a", "a/b.c", "...", "a b/ü"] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/..", "../a", "a\\b", "a\0b", "a\nb"] {
            assert!(!is_inside(outside), "{outside:?}");
        }
    }
}
