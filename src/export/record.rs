//! What an exported model says of itself besides what its head says.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::head::{EXPORT_KEY, HEAD_KEY};
use crate::onnx::{Model, metadata, set_metadata};

/// What an exported file takes, and what it was verified with: JSON under `engraft.export`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportRecord {
    /// What its input is.
    pub input: ExportInput,
    /// Of the tokenizer, for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerRecord>,
    /// SPDX expression of the backbone's weights, or the publisher's words, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Of the backbone's weights and arithmetic; the head's are f32.
    pub precision: ExportPrecision,
    /// Of int8: whether weights have seven bits, which is exact on every processor.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reduced_range: bool,
    /// Of int8: whether each run finds the ranges of its activations.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dynamic: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What the backbone of an exported file computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportPrecision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats where they are safe.
    F16,
    /// 8-bit integers where they are good enough.
    Int8,
}

impl ExportPrecision {
    /// `f32`, `f16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl ExportRecord {
    /// Of an exported model, or why there is none.
    pub(super) fn of(model: &Model) -> Result<Self, String> {
        let record = metadata(model, EXPORT_KEY).ok_or(match metadata(model, HEAD_KEY) {
            Some(_) => "it is a head: `engraft export` makes one file of it and its backbone",
            None => "it is not a model that engraft exported",
        })?;
        serde_json::from_str(record).map_err(|e| format!("its {EXPORT_KEY} cannot be read: {e}"))
    }

    /// The precision in words.
    pub(super) fn told(&self) -> String {
        let bits = match (self.precision, self.reduced_range) {
            (ExportPrecision::Int8, true) => ", weights of seven bits: exact on every processor",
            (ExportPrecision::Int8, false) => ", weights of eight bits: for x86 processors with VNNI, and ARM",
            _ => "",
        };
        let ranges = if self.dynamic { "; ranges of each batch, which what a row gets depends on" } else { "" };
        format!("{}{bits}{ranges}", self.precision.name())
    }

    /// Puts it into the model's metadata.
    pub(super) fn attach(&self, model: &mut Model) -> crate::Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::Data(format!("metadata of the model: {e}")))?;
        set_metadata(model, EXPORT_KEY, text);
        Ok(())
    }
}

/// What the file is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportInput {
    /// Images as the provenance's preprocessing makes them: f32 `[n, 3, height, width]`.
    Pixels,
    /// Images of any size, one size a batch: bytes `[n, height, width, 3]`, RGB. The preprocessing is in the graph.
    RawImages,
    /// Tokens of the tokenizer, as the backbone takes them.
    Tokens,
}

/// A tokenizer that lies beside the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRecord {
    /// The file's name in the model's folder.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
}
