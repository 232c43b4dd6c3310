//! Backbones: what they are, where they come from, how they run.

mod anatomy;
mod assignment;
mod cuda;
mod engines;
mod evaluate;
mod failure;
#[cfg(feature = "full")]
pub mod fetch;
pub mod folder;
mod gpu;
mod home;
#[cfg(feature = "full")]
pub mod hub;
#[cfg(feature = "full")]
pub mod import;
mod manifest;
mod options;
mod pooling;
mod probe;
mod provider;
#[cfg(feature = "full")]
pub mod registry;
mod runtime;
mod sample;
mod select;
mod session;
#[cfg(feature = "full")]
mod setup;
mod staging;
pub mod variants;
mod weights;

pub use anatomy::{Anatomy, Cut, Described, OperatorCount, OperatorSet, TensorSize, anatomy};
pub use assignment::Assignment;
pub use evaluate::{Evaluator, Outline, fold};
pub use folder::{Overrides, Resize};
pub use gpu::{Gpu, gpus};
pub use home::Home;
pub use manifest::{Import, Layers, Manifest, Output, Package, PackageFile, PackageManager, Reference};
pub use options::{Proof, RunPrecision, SessionOptions, ShapeRange};
pub use pooling::{Pooling, normalize_rows};
pub use probe::probe;
pub use provider::{Device, Provider, ProviderStatus};
pub use runtime::{Place, Runtime};
pub use sample::OpenSizes;
pub use session::{Computed, Element, Input, Session, Tensor};
#[cfg(feature = "full")]
pub use setup::{Flavour, Installed, setup, setup_cuda};
pub use weights::Weights;

use std::path::PathBuf;

use crate::preprocess::Preprocessing;

/// What a graph is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Feed {
    /// What the preprocessing makes of inputs.
    #[default]
    Prepared,
    /// Decoded images, which it preprocesses itself: bytes `[n, height, width, 3]`, RGB, of one size a batch.
    Decoded,
}

/// A backbone that is ready to be opened: its files are here and everything about it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Backbone {
    /// A name in `models/`, `hf:owner/name`, or the path that was given.
    pub name: String,
    /// The local ONNX file.
    pub model: PathBuf,
    /// The local `tokenizer.json`, for text.
    pub tokenizer: Option<PathBuf>,
    /// How inputs are prepared.
    pub preprocessing: Preprocessing,
    /// How much of that is done before the graph.
    pub feed: Feed,
    /// Which tensor is the embedding, and how it is pooled.
    pub output: Output,
    /// SPDX expression or the publisher's words, if known.
    pub licence: Option<String>,
}
