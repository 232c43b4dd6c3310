//! What made a feature set.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Precision;
use super::differences::{Difference, as_read, differences};
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

    /// Adds what made more rows. Of stored precisions that differ, the wider one is kept: it holds the values of both.
    ///
    /// # Errors
    /// As [`Self::same`].
    pub(super) fn join(all: &mut Option<Self>, more: &Option<Self>, of: impl FnOnce() -> String) -> Result<()> {
        Self::same(all.as_ref(), more.as_ref(), of)?;
        if let (Some(all), Some(more)) = (all, more)
            && all.precision != more.precision
        {
            all.precision = Precision::F32.name().to_owned();
        }
        Ok(())
    }

    /// Fails unless two feature sets were made alike, or nothing is known of either; `of` says whose they are.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with each thing that differs, by name: backbone, tokenizer, preprocessing, output, pooling or the
    /// precision of the arithmetic.
    pub fn same(first: Option<&Self>, second: Option<&Self>, of: impl FnOnce() -> String) -> Result<()> {
        if first.map(Self::fingerprint) == second.map(Self::fingerprint) {
            return Ok(());
        }
        let (Some(known), Some(other)) = (first, second) else {
            let told = |p: Option<&Self>| p.map_or("unknown".to_owned(), |p| format!("{:?}", p.backbone));
            let what = format!("the backbones of {}", of());
            return Err(Error::Mismatch { what, expected: told(first), got: told(second) });
        };
        let unwritten = |e| Error::Data(format!("the provenance: {e}"));
        let found = differences(&known.making().map_err(unwritten)?, &other.making().map_err(unwritten)?);
        let told = |value: fn(&Difference) -> &Value| {
            found.iter().map(|d| format!("{} {}", d.name, value(d))).collect::<Vec<_>>().join("; ")
        };
        let (expected, got) = (told(|d| &d.first), told(|d| &d.second));
        Err(Error::Mismatch { what: of(), expected, got })
    }

    /// All that decides the values, with the backbone's name.
    fn making(&self) -> serde_json::Result<Value> {
        as_read(&json!({
            "backbone": self.backbone,
            "backbone_sha256": self.backbone_sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
            "preprocessing": self.preprocessing,
            "output": self.output,
            "run_precision": self.run_precision.name(),
        }))
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
