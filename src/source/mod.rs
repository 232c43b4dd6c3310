//! What to embed: image folders, tables and lines become a stream of samples.

mod delimited;
mod extent;
mod folder;
mod json_lines;
mod lines;
mod listed;
mod open;
mod split;
mod table;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use extent::Extent;
pub use lines::lines;
pub use listed::{List, Listed, Source};
pub use open::{SourceOptions, open, open_all};
pub use split::{Split, shared_content, stratified_split};
pub use table::TableOptions;

use crate::error::Result;

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

/// A stream of entries in a stable order. An `Err` ends the run; a bad row is an [`Entry::Reject`].
pub type Entries = Box<dyn Iterator<Item = Result<Entry>> + Send>;
