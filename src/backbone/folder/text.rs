//! Tokenizer and greatest length of a text encoder.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::companions::Companions;
use super::overrides::Overrides;
use crate::error::{Error, Result};
use crate::file;
use crate::preprocess::TextSpec;

/// Beyond it a `model_max_length` means "no limit": transformers writes 1e30.
const LARGEST_LENGTH: f64 = 1e6;

/// sentence-transformers names its file after the encoder; the first found counts, as there.
const SENTENCE_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Encoders whose positions start after the padding index, so that two of them are never used.
const OFFSET_POSITIONS: [&str; 4] = ["roberta", "xlm-roberta", "camembert", "mpnet"];

#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
struct EncoderConfig {
    #[serde(default)]
    model_type: String,
    max_position_embeddings: Option<i64>,
}

#[derive(Deserialize)]
struct Tokenizer {
    truncation: Option<Truncation>,
}

#[derive(Deserialize)]
struct Truncation {
    max_length: usize,
}

/// The path of the tokenizer.
pub(super) fn tokenizer(companions: &Companions, overrides: &Overrides, onnx: &Path) -> Result<PathBuf> {
    match &overrides.tokenizer {
        Some(path) if path.is_file() => Ok(path.clone()),
        Some(path) => Err(Error::malformed(path, "no such file; --tokenizer takes the path of a tokenizer.json")),
        None => companions
            .path("tokenizer.json")
            .ok_or_else(|| Error::model(onnx.display(), "no tokenizer.json beside it; give its path with --tokenizer")),
    }
}

/// How texts are cut. What sentence-transformers states is what its encoder was trained and measured with, and goes before
/// what the encoder could bear.
pub(super) fn spec(companions: &Companions, tokenizer: &Path, overrides: &Overrides, onnx: &Path) -> Result<TextSpec> {
    let max_length = match overrides.max_length {
        Some(length) => Some(length),
        None => match stated_length(companions)? {
            Some(length) => Some(length),
            None => least_bearable(companions, tokenizer)?,
        },
    };
    match max_length {
        Some(max_length) if max_length > 0 => Ok(TextSpec { max_length }),
        Some(_) => Err(Error::model(onnx.display(), "a greatest length of 0 tokens; give another with --max-length")),
        None => Err(Error::model(onnx.display(), "no file says how many tokens it takes; give --max-length")),
    }
}

fn stated_length(companions: &Companions) -> Result<Option<usize>> {
    for name in SENTENCE_CONFIGS {
        if let Some((_, config)) = companions.json::<SentenceConfig>(name)? {
            return Ok(config.max_seq_length);
        }
    }
    Ok(None)
}

fn least_bearable(companions: &Companions, tokenizer: &Path) -> Result<Option<usize>> {
    let config = companions.json::<TokenizerConfig>("tokenizer_config.json")?;
    let model = config.and_then(|(_, c)| c.model_max_length).filter(|n| (1.0..=LARGEST_LENGTH).contains(n));
    let encoder = companions.json::<EncoderConfig>("config.json")?.and_then(|(_, config)| {
        let unused = if OFFSET_POSITIONS.contains(&config.model_type.as_str()) { 2 } else { 0 };
        config.max_position_embeddings.and_then(|n| usize::try_from(n.saturating_sub(unused)).ok()).filter(|n| *n > 0)
    });
    let truncation = serde_json::from_slice::<Tokenizer>(&file::read(tokenizer)?)
        .map_err(|e| Error::malformed(tokenizer, format!("not a tokenizer ({e})")))?
        .truncation
        .map(|t| t.max_length);
    Ok([model.map(|n| n as usize), encoder, truncation].into_iter().flatten().min())
}
