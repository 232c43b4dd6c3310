//! Files written whole or not at all, and their digests.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A file that appears under its name only when [`AtomicFile::commit`] succeeds; dropped before, it leaves nothing. What a
/// killed process left over is removed when the same file is created again.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    // The plain file: `NamedTempFile` hides the operating system's error code and names the hidden sibling instead.
    writer: BufWriter<File>,
    // After the writer: a file is removed once it is closed.
    temp: tempfile::TempPath,
    place: Place,
}

/// What may be under the name of a file when it is renamed into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Any,
    Free,
}

impl AtomicFile {
    /// As [`create`](Self::create), but a file that has come to be there when it is committed stays, and the commit fails.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create_new(path: &Path) -> Result<Self> {
        Ok(Self { place: Place::Free, ..Self::create(path)? })
    }

    /// Creates a hidden sibling of `path` to write to. Makes the parent folders.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let prefix = prefix_of(path);
        remove_abandoned(folder, &prefix);
        let (file, temp) = loop {
            let temp = hidden(&prefix, 0o666).tempfile_in(folder).map_err(Error::io("create", path))?;
            // The lock says that somebody lives who writes it. Where there are no locks nobody else gets one either.
            let _ = temp.as_file().lock();
            // Another process may have taken it for abandoned before it was locked.
            if temp.path().exists() {
                break temp.into_parts();
            }
        };
        Ok(Self { path: path.to_path_buf(), writer: BufWriter::with_capacity(1 << 18, file), temp, place: Place::Any })
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
    /// When the disk is full or the rename fails; the old file, if any, is then untouched. [`Error::Exists`] when the place
    /// was to be free and is not.
    pub fn commit(mut self) -> Result<()> {
        self.sync()?;
        let Self { path, writer, temp, place } = self;
        let renamed = match place {
            Place::Any => temp.persist(&path),
            Place::Free => temp.persist_noclobber(&path),
        };
        // Closed only now: its lock lasts until it has its name.
        drop(writer);
        renamed.map_err(|e| match e.error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists(path),
            _ => Error::io("rename", &path)(e.error),
        })
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

/// A folder that appears under its name, with everything in it, only when [`AtomicFolder::commit`] succeeds. What a killed process
/// left over is removed as that of an [`AtomicFile`].
#[derive(Debug)]
pub struct AtomicFolder {
    path: PathBuf,
    staging: tempfile::TempDir,
    /// Whoever has it lives. There is none where folders cannot be opened; what is left over stays there.
    _lock: Option<File>,
}

impl AtomicFolder {
    /// Creates a hidden sibling of `path` to fill. Makes the parent folders.
    ///
    /// # Errors
    /// When the parent cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let parent = folder_of(path);
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let prefix = prefix_of(path);
        remove_abandoned(parent, &prefix);
        let (staging, lock) = loop {
            let staging = hidden(&prefix, 0o777).tempdir_in(parent).map_err(Error::io("create", path))?;
            let lock = File::open(staging.path()).ok().filter(|folder| folder.lock().is_ok());
            // As of files.
            if staging.path().exists() {
                break (staging, lock);
            }
        };
        Ok(Self { path: path.to_path_buf(), staging, _lock: lock })
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

/// The folder that a path is in; of a name alone the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How the names of what becomes this file begin while it is not finished. The name itself may be as long as names can be.
fn prefix_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    format!("{HIDDEN}{}-", &sha256_hex(name)[..16])
}

/// Removes files and folders of this prefix that nobody has a lock on: who wrote them was killed. What cannot be removed is no harm.
pub fn remove_abandoned(folder: &Path, prefix: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if !name.starts_with(prefix) || !name.ends_with(PARTIAL) {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let Ok(open) = File::options().read(is_folder).write(!is_folder).open(&path)
            && open.try_lock().is_ok()
        {
            // While it is locked: whoever made it just now waits for the lock, and then makes another.
            let _ = if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    }
}

/// How the names of what is not finished begin.
pub const HIDDEN: &str = ".engraft-";

/// How they end.
const PARTIAL: &str = ".partial";

/// Names for what is not finished. The mode is the ordinary one, less what the user's umask takes away.
#[cfg(unix)]
fn hidden(prefix: &str, mode: u32) -> tempfile::Builder<'_, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(PARTIAL).permissions(std::fs::Permissions::from_mode(mode));
    builder
}

#[cfg(not(unix))]
fn hidden(prefix: &str, _: u32) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(PARTIAL);
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

/// Hands the names of a folder's files to the disk, where the system can: a file that was renamed keeps its name then.
pub fn sync_names(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
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

/// The first `limit` bytes of a file, or all that there are; none where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn beginning(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(limit).read_to_end(&mut start).map_err(Error::io("read", path))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(start),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    Ok(start)
}

/// The first line of a file with its end, at most `limit` bytes of it; empty where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn first_line(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    match File::open(path) {
        Ok(file) => {
            BufReader::new(file).take(limit).read_until(b'\n', &mut line).map_err(Error::io("read", path))?;
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("read", path)(e)),
    }
    Ok(line)
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
    fn what_killed_processes_left_of_this_file_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.parquet");
        let names = |abandoned: &str| folder.path().join(format!("{}{abandoned}.partial", prefix_of(&path)));
        let other = folder.path().join(format!("{}abcdef.partial", prefix_of(Path::new("other.parquet"))));
        for abandoned in [&names("a"), &names("b"), &other] {
            std::fs::write(abandoned, "torn").unwrap();
        }
        let living = AtomicFile::create(&path).unwrap();
        assert!(!names("a").exists() && !names("b").exists() && other.exists());
        let mut second = AtomicFile::create(&path).unwrap();
        assert!(living.temp.exists());
        second.write_all(b"second").unwrap();
        second.commit().unwrap();
        assert!(living.temp.exists());
        living.commit().unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        assert_eq!(left, [other, path]);
    }

    #[cfg(unix)]
    #[test]
    fn what_killed_processes_left_of_this_folder_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models");
        let abandoned = folder.path().join(format!("{}a.partial", prefix_of(&path)));
        let other = folder.path().join(format!("{}a.partial", prefix_of(Path::new("others"))));
        for left in [&abandoned, &other] {
            std::fs::create_dir(left).unwrap();
            std::fs::write(left.join("torn"), "torn").unwrap();
        }
        let living = AtomicFolder::create(&path).unwrap();
        assert!(!abandoned.exists() && other.join("torn").exists());
        let second = AtomicFolder::create(&path).unwrap();
        assert!(living.staging().is_dir());
        second.commit().unwrap();
        assert!(path.is_dir() && living.staging().is_dir());
        drop(living);
        let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        assert_eq!(left, [other, path]);
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
