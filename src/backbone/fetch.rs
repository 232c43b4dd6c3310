//! Packages of the public registries, fetched with the user's own clients and verified.
//!
//! No registry address stands in this code: `pip` and `npm` know theirs, mirrors and proxies included.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::manifest::{Package, PackageManager};
use crate::error::{Error, Result};
use crate::file;
use crate::progress::Progress;

/// Greatest size of one file taken out of an archive: what a few bytes inflate to must not fill the memory.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Puts the files of `package` into `folder` under their `keep` names. Files that are there with the right digest are
/// left; only if one is missing is anything downloaded.
///
/// # Errors
/// When the client is missing or fails, a file is not in the package, or a digest differs.
pub fn fetch_package(package: &Package, folder: &Path, progress: &dyn Progress) -> Result<()> {
    let mut missing = Vec::new();
    for wanted in &package.files {
        let path = folder.join(&wanted.keep);
        if !path.is_file() || file::sha256_file(&path)? != wanted.sha256 {
            missing.push(wanted);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (_temp, archive) = download(package.manager, &package.name, &package.version, &[], progress)?;
    for wanted in missing {
        let bytes = read_member(&archive, &wanted.path)?;
        let got = file::sha256_hex(&bytes);
        if got != wanted.sha256 {
            let what = format!("{} of {} {}", wanted.path, package.name, package.version);
            return Err(Error::Checksum { what, expected: wanted.sha256.clone(), got });
        }
        file::write_atomic(&folder.join(&wanted.keep), &bytes)?;
    }
    Ok(())
}

/// Downloads one package into a temporary folder, which lives as long as the first value returned.
///
/// # Errors
/// When the client is missing or fails.
pub fn download(
    manager: PackageManager,
    name: &str,
    version: &str,
    options: &[&str],
    progress: &dyn Progress,
) -> Result<(tempfile::TempDir, PathBuf)> {
    let what = format!("{name} {version}");
    let temp = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
    let mut command = match manager {
        PackageManager::Pip => {
            let mut pip = pip(&what, temp.path())?;
            pip.args(["download", "--no-deps", "--quiet", "--disable-pip-version-check", "--dest"]).arg(temp.path());
            pip.args(options).arg(format!("{name}=={version}"));
            pip
        }
        PackageManager::Npm => {
            let mut npm = Command::new("npm");
            npm.current_dir(temp.path());
            npm.args(["pack", "--loglevel=error", "--pack-destination"]).arg(temp.path());
            npm.args(options).arg(format!("{name}@{version}"));
            npm
        }
    };
    progress.begin(&format!("downloading {what}"), None);
    let outcome = run(&mut command, &what, progress);
    progress.end();
    outcome?;
    let mut files = std::fs::read_dir(temp.path()).map_err(Error::io("read", temp.path()))?.flatten();
    match files.next() {
        Some(archive) => Ok((temp, archive.path())),
        None => Err(Error::fetch(what, "the package client reported success but left no file")),
    }
}

/// The user's pip: `python3 -m pip`, `pip3` or `pip`, to be run in `folder`. In the user's own folder Python would load
/// what lies there under the names of its modules.
fn pip(what: &str, folder: &Path) -> Result<Command> {
    for words in [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]] {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder);
        let mut probe = Command::new(words[0]);
        probe
            .args(&words[1..])
            .current_dir(folder)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if probe.status().is_ok_and(|s| s.success()) {
            return Ok(command);
        }
    }
    Err(Error::fetch(what, "pip was not found; install it (on Debian: apt-get install python3-pip) and try again"))
}

/// Runs a package client to its end, or kills it when the user interrupts.
fn run(command: &mut Command, what: &str, progress: &dyn Progress) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log = tempfile::NamedTempFile::new().map_err(Error::io("create", std::env::temp_dir()))?;
    let stderr = log.reopen().map_err(Error::io("create", log.path()))?;
    let stdout = stderr.try_clone().map_err(Error::io("create", log.path()))?;
    let spawned = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    let mut child =
        spawned.map_err(|e| Error::fetch(what, format!("{program} did not start ({e}); install it and try again")))?;
    loop {
        match child.try_wait().map_err(|e| Error::fetch(what, e))? {
            Some(status) if status.success() => return Ok(()),
            Some(_) if progress.interrupted() => return Err(Error::Interrupted),
            Some(status) => {
                let text = file::read_text(log.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
                let tail = lines[lines.len().saturating_sub(6)..].join("\n  ");
                return Err(Error::fetch(what, format!("{program} ended with {status}:\n  {tail}")));
            }
            None if progress.interrupted() => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Interrupted);
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Reads one file of an archive; `outer.zip!inner` reaches into an archive inside it. A source distribution's or npm
/// package's own top folder is not part of the path.
///
/// # Errors
/// When the archive cannot be read or holds no such file.
pub fn read_member(archive: &Path, path: &str) -> Result<Vec<u8>> {
    let (outer, inner) = match path.split_once('!') {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (path, None),
    };
    let mut found = None;
    visit(archive, &mut |name, reader| {
        let exact = name == outer;
        let below = || name.split_once('/').is_some_and(|(_, rest)| rest == outer);
        if exact || found.is_none() && below() {
            let mut bytes = Vec::new();
            if reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_FILE_BYTES {
                return Err(std::io::Error::other(format!("{name} is larger than {} GiB", MAX_FILE_BYTES >> 30)));
            }
            found = Some(bytes);
        }
        Ok(())
    })?;
    let bytes = found.ok_or_else(|| Error::malformed(archive, format!("there is no file {outer} in it")))?;
    let Some(inner) = inner else { return Ok(bytes) };
    let temp = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
    let nested = temp.path().join(outer.rsplit('/').next().unwrap_or(outer));
    file::write_atomic(&nested, &bytes)?;
    read_member(&nested, inner)
}

/// What [`visit`] calls with each file's name and content.
type Visitor<'a> = dyn FnMut(&str, &mut dyn Read) -> std::io::Result<()> + 'a;

/// Calls `visitor` for each regular file of a wheel, zip or gzipped tar. Nothing is unpacked to disk, so names in the
/// archive can do no harm.
///
/// # Errors
/// When the archive is damaged, or the visitor's.
pub fn visit(archive: &Path, visitor: &mut Visitor) -> Result<()> {
    let file = File::open(archive).map_err(Error::io("read", archive))?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.ends_with(".whl") || name.ends_with(".zip") {
        visit_zip(file, archive, visitor)
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        visit_tar(file, visitor).map_err(|e| Error::malformed(archive, e))
    } else {
        Err(Error::malformed(archive, "not a .whl, .zip, .tar.gz or .tgz"))
    }
}

fn visit_zip(file: impl Read + Seek, archive: &Path, visitor: &mut Visitor) -> Result<()> {
    let mut zip = zip::ZipArchive::new(file).map_err(|e| Error::malformed(archive, e))?;
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(|e| Error::malformed(archive, e))?;
        if entry.is_file() {
            let name = entry.name().map_err(|e| Error::malformed(archive, e))?.into_owned();
            visitor(&name, &mut entry).map_err(|e| Error::malformed(archive, e))?;
        }
    }
    Ok(())
}

fn visit_tar(file: impl Read, visitor: &mut Visitor) -> std::io::Result<()> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = entry.path()?.to_string_lossy().into_owned();
            visitor(&name, &mut entry)?;
        }
    }
    Ok(())
}
