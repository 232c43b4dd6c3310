//! What made a feature set.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::backbone::{Output, RunPrecision};
use crate::error::{Error, Result};
use crate::file::sha256_hex;
use crate::preprocess::Preprocessing;

/// The metadata key of a provenance, as JSON.
pub const PROVENANCE_KEY: &str = "engraft.provenance";
/// The metadata key of a provenance's fingerprint, for readers that only compare.
pub const FINGERPRINT_KEY: &str = "engraft.fingerprint";

/// What made a feature set. Travels in every file of features and in every head trained on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The backbone's name, as `--model` takes it.
    pub backbone: String,
    /// SHA-256 of the backbone's ONNX file; where weights lie outside it, of the list of digests of all the files.
    pub backbone_sha256: String,
    /// SHA-256 of the `tokenizer.json`, for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
    /// How inputs were prepared.
    pub preprocessing: Preprocessing,
    /// Which tensor was taken, and how it was pooled.
    pub output: Output,
    /// Length of the embeddings.
    pub dimension: usize,
    /// The execution provider that ran ("cpu", "cuda", ...).
    pub provider: String,
    /// Of the stored vectors: "f32" or "f16".
    pub precision: String,
    /// Of the backbone's arithmetic.
    #[serde(default, skip_serializing_if = "RunPrecision::is_default")]
    pub run_precision: RunPrecision,
    /// Version of engraft.
    pub engraft_version: String,
    /// Version of ONNX Runtime.
    pub onnxruntime_version: String,
}

impl Provenance {
    /// Reads the JSON that `path` carries.
    pub(super) fn parse(json: &str, path: &Path) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| Error::malformed(path, format!("{PROVENANCE_KEY}: {e}")))
    }

    /// Fails unless two shards were made alike, or nothing is known of either. `path` is the shard of the second.
    pub(super) fn same(first: &Option<Self>, second: &Option<Self>, path: &Path) -> Result<()> {
        let fingerprint = |p: &Option<Self>| p.as_ref().map_or("none".to_owned(), Self::fingerprint);
        let (expected, got) = (fingerprint(first), fingerprint(second));
        match expected == got {
            true => Ok(()),
            false => {
                let what = format!("the fingerprints of the shards up to {}", path.display());
                Err(Error::Mismatch { what, expected, got })
            }
        }
    }

    /// A digest of all that decides the values: backbone, tokenizer, preprocessing, output and pooling. Equal fingerprints mean
    /// features that may be mixed; where and with which version they were computed does not enter.
    pub fn fingerprint(&self) -> String {
        let parts = (&self.backbone_sha256, &self.tokenizer_sha256, &self.preprocessing, &self.output);
        let mut text = serde_json::to_string(&parts).unwrap_or_default();
        if self.run_precision != RunPrecision::F32 {
            text += self.run_precision.name();
        }
        sha256_hex(text.as_bytes())
    }
}
