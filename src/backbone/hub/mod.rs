//! Models from the hub, in the hub's own cache.
//!
//! A small client of our own on `ureq`: the official crate brings an asynchronous runtime and a second HTTP stack, for
//! three routes. What it writes and what Python's `huggingface_hub` writes are one cache; see `cache.rs` for the layout.

mod cache;
mod client;
mod config;
mod download;
mod model;
mod reference;

pub use config::{HubConfig, Network, Token};
pub use model::{HubModel, fetch_model};
pub use reference::HubRef;

use std::path::PathBuf;

use serde::Deserialize;
use ureq::http::Method;

use self::cache::RepoCache;
use self::client::{Client, Failure, percent};
use self::download::RemoteFile;
use self::reference::is_commit;
use crate::error::{Error, Result};
use crate::file::is_inside;
use crate::progress::Progress;

/// Bounds the list of files a server may send.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// Fetches files of model repositories into the hub's cache.
pub struct Hub {
    config: HubConfig,
    client: Client,
}

/// The files of a repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The full commit.
    pub commit: String,
    /// Paths relative to the repository's root, with `/`, none of which leaves it.
    pub files: Vec<String>,
    source: Source,
}

/// Who told the list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// The hub: the list is complete.
    Hub,
    /// The cache, and why: the list may lack files that were never fetched.
    Cache(String),
}

/// The part of the hub's answer that is read.
#[derive(Deserialize)]
struct Revision {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// A hub that is reached as `config` says. Makes no request yet.
    ///
    /// # Errors
    /// When the endpoint is not an http or https address.
    pub fn new(config: HubConfig) -> Result<Self> {
        Ok(Self { client: Client::new(&config)?, config })
    }

    /// The files of a repository: one request. Offline, or when the hub cannot be reached after three repetitions, those
    /// in the cache of the commit that the revision last stood for.
    ///
    /// # Errors
    /// When there is no such repository or revision, it is gated or private, the server names a file that would leave
    /// the cache, or the hub cannot be asked and the cache has nothing.
    pub fn list(&self, reference: &HubRef, progress: &dyn Progress) -> Result<Listing> {
        if self.config.network == Network::Offline {
            return self.list_cache(reference, "HF_HUB_OFFLINE is set".into());
        }
        match self.client.persist(progress, || 0, || self.list_hub(reference)) {
            Err(Failure::Passing(error)) => {
                let listing = self.list_cache(reference, error.to_string())?;
                progress.note(&format!("{error}: going on with {} of the cache, commit {}", reference, listing.commit));
                Ok(listing)
            }
            done => Ok(done?),
        }
    }

    fn list_hub(&self, reference: &HubRef) -> Result<Listing, Failure> {
        let path = format!("/api/models/{}/revision/{}", reference.repository(), percent(&reference.revision));
        let mut reply = self.client.send(Method::GET, &path, None)?;
        if !reply.status.is_success() {
            return Err(Failure::Final(self.client.refusal(reference, None, &reply)));
        }
        let broken = |reason: String| Failure::Final(Error::fetch(reference, reason));
        let body = reply.body.with_config().limit(MAX_LISTING_BYTES).read_to_vec();
        let body = body.map_err(|e| Failure::Passing(Error::fetch(reference, e)))?;
        let revision: Revision = serde_json::from_slice(&body)
            .map_err(|e| broken(format!("the server's list of files is not one ({e}); is HF_ENDPOINT a hub?")))?;
        if !is_commit(&revision.sha) {
            return Err(broken(format!("the server names the commit {:?}, which is not one", revision.sha)));
        }
        let files: Vec<String> = revision.siblings.into_iter().map(|s| s.rfilename).collect();
        match files.iter().find(|file| !is_inside(file)) {
            Some(bad) => Err(broken(format!("the server lists {bad:?}, a name that would leave the cache"))),
            None => Ok(Listing { commit: revision.sha, files, source: Source::Hub }),
        }
    }

    fn list_cache(&self, reference: &HubRef, reason: String) -> Result<Listing> {
        let cache = self.cache(reference);
        let missing =
            || Error::fetch(reference, format!("it is not in the cache {}, and {reason}", self.config.cache.display()));
        let commit = cache.commit(reference).ok_or_else(missing)?;
        let files = cache.files(&commit);
        if files.is_empty() {
            return Err(missing());
        }
        Ok(Listing { commit, files, source: Source::Cache(reason) })
    }

    /// Brings `files` into the cache and gives the folder of the commit, where they lie under their own names. Files
    /// that are there are not asked for again, and if the revision is a full commit that has them all, nothing is asked.
    ///
    /// # Errors
    /// As [`Hub::list`]; when a file is not in the repository, does not come whole after three repetitions (what came
    /// is kept for the next run), has not the announced sha256, or the disk refuses.
    pub fn fetch(&self, reference: &HubRef, files: &[&str], progress: &dyn Progress) -> Result<PathBuf> {
        let cache = self.cache(reference);
        if reference.is_pinned() && files.iter().all(|file| cache.file(&reference.revision, file).is_some()) {
            return Ok(cache.snapshot(&reference.revision));
        }
        let listing = self.list(reference, progress)?;
        self.fetch_listed(reference, &listing, files, progress)?;
        self.finish(reference, &listing)
    }

    fn fetch_listed(
        &self,
        reference: &HubRef,
        listing: &Listing,
        files: &[&str],
        progress: &dyn Progress,
    ) -> Result<()> {
        let cache = self.cache(reference);
        for &file in files {
            if !listing.files.iter().any(|f| f == file) {
                let place = match &listing.source {
                    Source::Hub => format!("{} at {} has no such file", reference.repository(), reference.revision),
                    Source::Cache(reason) => format!("it is not in the cache, and {reason}"),
                };
                return Err(Error::fetch(format!("{reference}, file {file}"), place));
            }
            if cache.file(&listing.commit, file).is_none() {
                let remote = RemoteFile { reference, commit: &listing.commit, file };
                remote.fetch(&self.client, &cache, progress)?;
            }
        }
        Ok(())
    }

    /// The revision is noted only now: until all is there, an earlier snapshot stays the one that works offline.
    fn finish(&self, reference: &HubRef, listing: &Listing) -> Result<PathBuf> {
        let cache = self.cache(reference);
        cache.remember(reference, &listing.commit)?;
        Ok(cache.snapshot(&listing.commit))
    }

    fn cache(&self, reference: &HubRef) -> RepoCache {
        RepoCache::new(&self.config.cache, reference)
    }
}
