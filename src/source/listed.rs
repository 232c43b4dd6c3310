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
    let full: [u8; 32] = hasher.finalize().into();
    full.as_chunks().0.iter().fold(0, |sum, half| sum ^ u128::from_le_bytes(*half))
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
}
