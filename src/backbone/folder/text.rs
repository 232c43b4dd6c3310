//! Tokenizer and greatest length of a text encoder.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::companions::Companions;
use super::overrides::Overrides;
use crate::error::{Error, Result};
use crate::file;
use crate::preprocess::{MAX_TOKENIZER_BYTES, TextSpec};

/// Beyond it a `model_max_length` means "no limit": transformers writes 1e30.
const LARGEST_LENGTH: f64 = 1e6;

/// sentence-transformers names its file after the encoder; the first found counts, as there.
pub(in crate::backbone) const SENTENCE_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Encoders with a learnt vector for each position, which fail beyond the last, and how many of these they never use:
/// where positions start after the padding index, two.
const LEARNT_POSITIONS: [(&str, i64); 8] = [
    ("bert", 0),
    ("distilbert", 0),
    ("electra", 0),
    ("albert", 0),
    ("roberta", 2),
    ("xlm-roberta", 2),
    ("camembert", 2),
    ("mpnet", 2),
];

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
    let positions = Positions::find(companions)?;
    let max_length = match overrides.max_length {
        Some(length) => Some(length),
        None => match stated_length(companions)? {
            Some(length) => Some(length),
            None => least_bearable(companions, tokenizer, positions.as_ref())?,
        },
    };
    let fail = |reason: &str| Err(Error::model(onnx.display(), reason));
    match (max_length, positions) {
        (None, _) => fail("no file says how many tokens it takes; give --max-length"),
        (Some(0), _) => fail("a greatest length of 0 tokens; give another with --max-length"),
        (Some(length), Some(Positions { count, limit: Limit::Hard })) if length > count => fail(&format!(
            "a greatest length of {length} tokens, and it has only {count} positions; give a --max-length within"
        )),
        (Some(max_length), _) => Ok(TextSpec { max_length }),
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

/// The positions of an encoder that can be used.
struct Positions {
    count: usize,
    limit: Limit,
}

enum Limit {
    /// There is nothing beyond.
    Hard,
    /// It may go on where positions are computed.
    Soft,
}

impl Positions {
    fn find(companions: &Companions) -> Result<Option<Self>> {
        let Some((_, config)) = companions.json::<EncoderConfig>("config.json")? else { return Ok(None) };
        let learnt = LEARNT_POSITIONS.iter().find(|(kind, _)| *kind == config.model_type);
        let limit = if learnt.is_some() { Limit::Hard } else { Limit::Soft };
        let unused = learnt.map_or(0, |(_, unused)| *unused);
        let count = config.max_position_embeddings.and_then(|n| usize::try_from(n.saturating_sub(unused)).ok());
        Ok(count.filter(|n| *n > 0).map(|count| Self { count, limit }))
    }
}

fn least_bearable(companions: &Companions, tokenizer: &Path, positions: Option<&Positions>) -> Result<Option<usize>> {
    let config = companions.json::<TokenizerConfig>("tokenizer_config.json")?;
    let model = config.and_then(|(_, c)| c.model_max_length).filter(|n| (1.0..=LARGEST_LENGTH).contains(n));
    let truncation = serde_json::from_slice::<Tokenizer>(&file::read_at_most(tokenizer, MAX_TOKENIZER_BYTES)?)
        .map_err(|e| Error::malformed(tokenizer, format!("not a tokenizer ({e})")))?
        .truncation
        .map(|t| t.max_length);
    Ok([model.map(|n| n as usize), positions.map(|p| p.count), truncation].into_iter().flatten().min())
}
