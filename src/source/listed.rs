//! The input list: every entry with its place in it.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Content, Entries, Entry, Extent, Reject, Sample};
use crate::error::Result;

/// An entry and its place in the input list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The place, from 0.
    pub position: u64,
    /// A digest of the place and the entry. The wrapping sum over a stretch tells whether a later run lists the same
    /// there: the same ids and, where they come with the list, the same texts.
    pub digest: u128,
    /// The first entry of the stretch that it is embedded again with; such a stretch shares no part of the features with
    /// others. `None` for what was not embedded before.
    pub within: Option<u64>,
    /// The entry.
    pub entry: Entry,
}

/// A stream of entries with their places.
pub type List = Box<dyn Iterator<Item = Result<Listed>> + Send>;

/// The entries of all inputs, and how far they have been read.
pub struct Source {
    /// The stream.
    pub list: List,
    /// How far it has come.
    pub extent: Arc<Extent>,
}

impl Source {
    /// These entries, in their order.
    pub fn of(entries: Vec<Entry>) -> Self {
        Self::new(Box::new(entries.into_iter().map(Ok)), Arc::default())
    }

    pub(super) fn new(entries: Entries, extent: Arc<Extent>) -> Self {
        let list = (0..).zip(entries).map(|(position, entry)| {
            let entry = entry?;
            Ok(Listed { position, digest: digest(position, &entry), within: None, entry })
        });
        Self { list: Box::new(list), extent }
    }

    /// The same, with digests that tell an image from another one of the same name too: a file by its size and when it was last
    /// written, an image that comes with the list by its bytes. That takes a look at every file.
    pub fn telling_images_apart(self) -> Self {
        let list = self.list.map(|listed| listed.map(|listed| Listed { digest: of_image(&listed), ..listed }));
        Self { list: Box::new(list), extent: self.extent }
    }
}

/// The digest of an entry with what tells of its image.
fn of_image(listed: &Listed) -> u128 {
    let Entry::Sample(Sample { content, .. }) = &listed.entry else { return listed.digest };
    let mut hasher = Sha256::new();
    hasher.update(listed.digest.to_le_bytes());
    match content {
        Content::Text(_) => return listed.digest,
        Content::Bytes(bytes) => hasher.update(bytes),
        Content::File(path) => {
            // A file that cannot be looked at is rejected when it is read.
            let found = std::fs::metadata(path).ok();
            let written = found.as_ref().and_then(|found| found.modified().ok());
            let since = written.and_then(|written| written.duration_since(std::time::UNIX_EPOCH).ok());
            hasher.update(found.map_or(0, |found| found.len()).to_le_bytes());
            hasher.update(since.map_or(0, |since| since.as_nanos()).to_le_bytes());
        }
    }
    folded(hasher)
}

/// Both halves of a hash in one.
fn folded(hasher: Sha256) -> u128 {
    let full: [u8; 32] = hasher.finalize().into();
    full.as_chunks().0.iter().fold(0, |sum, half| sum ^ u128::from_le_bytes(*half))
}

/// Everything but the bytes of images: of those that come with the list their number counts, of files their name.
fn digest(position: u64, entry: &Entry) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update(position.to_le_bytes());
    // Each text with its length before it, so that no two lists of texts look alike.
    let mut update = |text: Option<&str>| {
        hasher.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hasher.update(text.unwrap_or_default());
    };
    match entry {
        Entry::Sample(Sample { id, content, label, kept }) => {
            update(Some(id));
            update(label.as_deref());
            match content {
                Content::Text(text) => update(Some(text)),
                Content::Bytes(bytes) => update(Some(&bytes.len().to_string())),
                // The id of a table's row need not tell which image is meant; where the folder lies does not matter.
                Content::File(path) => update(path.file_name().map(|name| name.to_string_lossy()).as_deref()),
            }
            kept.iter().for_each(|value| update(value.as_deref()));
        }
        Entry::Reject(Reject { id, .. }) => update(Some(id)),
    }
    folded(hasher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Stage;

    #[test]
    fn everything_that_makes_an_entry_another_one_counts() {
        let sample = |id: &str, text: &str| {
            let content = Content::Text(text.to_owned());
            Entry::Sample(Sample { id: id.to_owned(), content, label: None, kept: Vec::new() })
        };
        let with = |label: Option<&str>, kept: &[Option<&str>]| {
            let owned = |text: &Option<&str>| text.map(str::to_owned);
            let (id, content) = ("a".to_owned(), Content::Text("b".to_owned()));
            Entry::Sample(Sample { id, content, label: owned(&label), kept: kept.iter().map(owned).collect() })
        };
        let bytes = |length| {
            let content = Content::Bytes(vec![7; length]);
            Entry::Sample(Sample { id: "a".to_owned(), content, label: None, kept: Vec::new() })
        };
        let reject = Entry::Reject(Reject { id: "a".to_owned(), stage: Stage::Read, reason: String::new() });
        let all = [
            digest(0, &sample("a", "b")),
            digest(1, &sample("a", "b")),
            digest(0, &sample("ab", "")),
            digest(0, &sample("a", "c")),
            digest(0, &with(Some("x"), &[])),
            digest(0, &with(None, &[Some("x")])),
            digest(0, &with(None, &[None])),
            digest(0, &with(None, &[None, Some("x")])),
            digest(0, &bytes(9)),
            digest(0, &bytes(10)),
            digest(0, &reject),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one));
        }
        assert_eq!(all[0], digest(0, &sample("a", "b")));
    }

    #[test]
    fn an_image_of_the_same_name_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let digests = |content: &Content| {
            let sample = Sample { id: "a".to_owned(), content: content.clone(), label: None, kept: Vec::new() };
            let list = || Source::new(Box::new(std::iter::once(Ok(Entry::Sample(sample.clone())))), Arc::default());
            let digest = |source: Source| source.list.map(|listed| listed.unwrap().digest).next().unwrap();
            (digest(list()), digest(list().telling_images_apart()))
        };
        let file = Content::File(path.clone());
        std::fs::write(&path, "first").unwrap();
        let first = digests(&file);
        assert_eq!(first, digests(&file));
        std::fs::write(&path, "longer").unwrap();
        let longer = digests(&file);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
        let touched = digests(&file);
        assert!(first.0 == longer.0 && longer.0 == touched.0);
        assert!(first.1 != longer.1 && longer.1 != touched.1);
        let (one, other) = (digests(&Content::Bytes(vec![1; 9])), digests(&Content::Bytes(vec![2; 9])));
        assert!(one.0 == other.0 && one.1 != other.1);
        let (plain, told) = digests(&Content::Text("a".to_owned()));
        assert_eq!(plain, told);
    }
}
