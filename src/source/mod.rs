//! What to embed: image folders, tables, archives and lines become a stream of samples.

mod archive_names;
#[cfg(feature = "full")]
mod arrow_cell;
mod braces;
mod columns;
mod delimited;
mod effect;
mod extent;
mod folder;
mod identity;
mod input;
mod json_lines;
mod lines;
mod listed;
mod matches;
mod measure;
mod members;
mod metadata;
mod open;
mod options;
#[cfg(feature = "full")]
mod parquet;
mod rows;
mod seen;
mod split;
mod table;
mod walk;
mod web_dataset;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use columns::TableOptions;
pub(crate) use columns::there as column;
pub use extent::Extent;
pub use identity::{Identity, InputIdentity, identity};
pub use input::exist;
use lines::lines;
pub use listed::{List, Listed, Source};
pub use open::open_all;
pub use options::{Separator, SourceOptions};
#[cfg(feature = "full")]
pub use parquet::holds_embeddings;
pub use split::{Split, grouped_split, shared_content, stratified_split};

use crate::error::Result;

/// The greatest size in bytes of an encoded image, in a file of its own or within another.
pub const MAX_IMAGE_BYTES: u64 = 512 << 20;

/// What a backbone reads, and so what its inputs must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Images.
    Image,
    /// Texts.
    Text,
}

/// What the backbone is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An image file, read and decoded by the pipeline.
    File(PathBuf),
    /// An encoded image that came with its row or archive, decoded by the pipeline.
    Bytes(Vec<u8>),
    /// A text.
    Text(String),
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Unique within a run: the path relative to the input folder, the row's id, or `<file>:<row>`.
    pub id: String,
    /// The image or text.
    pub content: Content,
    /// The class, if known.
    pub label: Option<String>,
    /// The values of the columns to keep, in the order of [`SourceOptions::keep`]; empty where none are kept.
    pub kept: Vec<Option<String>>,
}

/// Where an input failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Listing or reading the input.
    Read,
    /// Decoding or preprocessing an image.
    Decode,
    /// Tokenising a text.
    Tokenize,
    /// Running the backbone, or checking its output.
    Run,
}

/// An input that could not be embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The sample's id.
    pub id: String,
    /// Where it failed.
    pub stage: Stage,
    /// Why, for a person.
    pub reason: String,
}

/// One step of a source's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A sample to embed.
    Sample(Sample),
    /// An input that is known to be unusable already.
    Reject(Reject),
}

impl Entry {
    fn id(&self) -> &str {
        let (Self::Sample(Sample { id, .. }) | Self::Reject(Reject { id, .. })) = self;
        id
    }

    fn with_id(mut self, change: impl FnOnce(&str) -> String) -> Self {
        let (Self::Sample(Sample { id, .. }) | Self::Reject(Reject { id, .. })) = &mut self;
        *id = change(id);
        self
    }

    /// The same with `folder/` before its id.
    fn within(self, folder: &str) -> Self {
        self.with_id(|id| format!("{folder}/{id}"))
    }
}

impl Entry {
    /// The bytes of a text, or of an image that came with the list.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Sample(Sample { content: Content::Text(text), .. }) => text.len(),
            Self::Sample(Sample { content: Content::Bytes(bytes), .. }) => bytes.len(),
            Self::Sample(_) | Self::Reject(_) => 0,
        }
    }
}

/// A stream of entries in a stable order. An `Err` ends the run; a bad row is an [`Entry::Reject`].
pub type Entries = Box<dyn Iterator<Item = Result<Entry>> + Send>;
