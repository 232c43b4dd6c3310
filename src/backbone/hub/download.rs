//! One file: what the hub says of it, and its bytes, resumed where they broke off.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use ureq::http::{Method, StatusCode};

use super::cache::RepoCache;
use super::client::{Client, Failure, Reply, percent};
use super::reference::HubRef;
use crate::error::{Error, Result};
use crate::file::sha256_file;
use crate::progress::Progress;

const CHUNK: usize = 1 << 17;

/// What the hub says of a file.
struct Description {
    /// Names the content: the SHA-256 of a large file, the git hash of a small one.
    etag: String,
    /// In bytes.
    size: u64,
}

/// A file of a repository at a commit.
pub(super) struct RemoteFile<'a> {
    pub(super) reference: &'a HubRef,
    pub(super) commit: &'a str,
    pub(super) file: &'a str,
}

impl RemoteFile<'_> {
    /// Brings the file into the cache, whole and verified, unless its content is there already.
    pub(super) fn fetch(&self, client: &Client, cache: &RepoCache, progress: &dyn Progress) -> Result<()> {
        let description = client.persist(progress, || 0, || self.describe(client))?;
        let _lock = cache.lock(&description.etag, progress)?;
        let blob = cache.blob(&description.etag);
        if !std::fs::metadata(&blob).is_ok_and(|m| m.len() == description.size) {
            if let Some(folder) = blob.parent() {
                std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
            let incomplete = cache.blob(&format!("{}.incomplete", description.etag));
            self.download(client, &description, &incomplete, progress)?;
            self.verify(&description, &incomplete)?;
            std::fs::rename(&incomplete, &blob).map_err(Error::io("rename", &blob))?;
        }
        cache.link(self.commit, self.file, &description.etag)
    }

    fn path(&self) -> String {
        let file = self.file.split('/').map(percent).collect::<Vec<_>>().join("/");
        format!("/{}/resolve/{}/{file}", self.reference.repository(), self.commit)
    }

    fn error(&self, reason: impl std::fmt::Display) -> Error {
        Error::fetch(format!("{}, file {}", self.reference, self.file), reason)
    }

    fn describe(&self, client: &Client) -> Result<Description, Failure> {
        let reply = client.send(Method::HEAD, &self.path(), None)?;
        if !reply.status.is_success() && !reply.status.is_redirection() {
            return Err(Failure::Final(client.refusal(self.reference, Some(self.file), &reply)));
        }
        if reply.header("x-repo-commit").is_some_and(|commit| commit != self.commit) {
            return Err(Failure::Final(self.error("the server answered for another commit")));
        }
        let etag = reply.header("x-linked-etag").or_else(|| reply.last_header("etag")).map(plain_etag);
        let size = reply.header("x-linked-size").or_else(|| reply.last_header("content-length"));
        match (etag, size.and_then(|s| s.parse().ok())) {
            (Some(etag), Some(size)) if is_file_name(etag) => Ok(Description { etag: etag.to_owned(), size }),
            (Some(etag), Some(_)) => {
                Err(Failure::Final(self.error(format!("the server sent the unusable etag {etag:?}"))))
            }
            _ => Err(Failure::Final(self.error("the server does not say its etag and size; is HF_ENDPOINT a hub?"))),
        }
    }

    fn download(
        &self,
        client: &Client,
        description: &Description,
        incomplete: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let size = description.size;
        let here = || std::fs::metadata(incomplete).map_or(0, |m| m.len());
        progress.begin(&format!("{} {}", self.reference.repository(), self.file), Some(size));
        progress.advance(here().min(size));
        let mut restart = here() > size;
        let done = client.persist(progress, here, || {
            let from = if restart { 0 } else { here() };
            if from == size && incomplete.exists() {
                return Ok(());
            }
            let reply = client.send(Method::GET, &self.path(), (from > 0).then_some(from))?;
            let from = match reply.status {
                StatusCode::PARTIAL_CONTENT if range_start(&reply) == Some(from) => from,
                // The server does not do ranges, and sends everything.
                StatusCode::OK => 0,
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                    restart = true;
                    let reason = format!("the server cannot go on at byte {from} of {size}; run the command again");
                    return Err(Failure::Passing(self.error(reason)));
                }
                _ => return Err(Failure::Final(client.refusal(self.reference, Some(self.file), &reply))),
            };
            restart = false;
            let file =
                OpenOptions::new().create(true).write(true).truncate(from == 0).append(from > 0).open(incomplete);
            let mut file = file.map_err(Error::io("write", incomplete))?;
            self.append(reply, &mut file, incomplete, size - from, progress)?;
            match here() {
                now if now == size => Ok(file.sync_all().map_err(Error::io("write", incomplete))?),
                now => Err(Failure::Passing(self.error(format!(
                    "{now} of {size} bytes came before the connection ended; run the command again to go on from there"
                )))),
            }
        });
        progress.end();
        done
    }

    /// Writes what comes, up to one byte more than is `wanted`.
    fn append(
        &self,
        mut reply: Reply,
        file: &mut File,
        path: &Path,
        wanted: u64,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut left = wanted;
        let mut buffer = vec![0; CHUNK];
        let mut body = reply.body.as_reader();
        loop {
            if progress.interrupted() {
                return Err(Failure::Final(Error::Interrupted));
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) => {
                    let reason = format!("the connection broke off ({e}); run the command again to go on from there");
                    return Err(Failure::Passing(self.error(reason)));
                }
            };
            if count as u64 > left {
                return Err(Failure::Final(
                    self.error("the server sent more bytes than it had announced; run the command again"),
                ));
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            file.write_all(bytes).map_err(Error::io("write", path))?;
            left -= count as u64;
            progress.advance(count as u64);
        }
    }

    /// A large file's etag is the SHA-256 of its content; of a small one the hub tells no such digest.
    fn verify(&self, description: &Description, incomplete: &Path) -> Result<()> {
        let etag = &description.etag;
        if etag.len() != 64 || !etag.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        let got = sha256_file(incomplete)?;
        if got.eq_ignore_ascii_case(etag) {
            return Ok(());
        }
        std::fs::remove_file(incomplete).map_err(Error::io("remove", incomplete))?;
        Err(Error::Checksum { what: format!("{}, file {}", self.reference, self.file), expected: etag.clone(), got })
    }
}

/// An etag without the weakness mark and quotes.
fn plain_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

/// The etag becomes a file's name.
fn is_file_name(etag: &str) -> bool {
    let letters = etag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    letters && !etag.is_empty() && etag.len() <= 128 && !etag.starts_with('.')
}

/// Of `content-range: bytes 100-999/1000`, the 100.
fn range_start(reply: &Reply) -> Option<u64> {
    reply.last_header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_become_file_names_or_are_refused() {
        assert_eq!(plain_etag("W/\"abc\""), "abc");
        assert_eq!(plain_etag("\"abc\""), "abc");
        assert!(is_file_name("0a1b2c-gzip_1.x"));
        for bad in ["", "../x", "a/b", ".x", "a\\b", "a b"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
