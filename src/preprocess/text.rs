//! From texts to the token tensors that a backbone takes.

use std::path::Path;

use tokenizers::{
    EncodeInput, PaddingParams, PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
};

use super::TextSpec;
use crate::error::{Error, Result};
use crate::guard;

/// What pads, by name, where a `tokenizer.json` has no padding section.
const PADS: [&str; 4] = ["[PAD]", "<pad>", "<|pad|>", "<|padding|>"];

/// The largest `tokenizer.json` that is read. Vocabularies of a quarter of a million tokens take some 35 MB.
pub(crate) const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

/// A tokenizer with its truncation and padding resolved: the length comes from the [`TextSpec`], whatever
/// `tokenizer.json` says, and padding is left to [`TextPreprocessor::batch`]. Shared by all threads; each encodes its
/// own texts, so the tokenizer's own thread pool is never used.
#[derive(Debug, Clone)]
pub struct TextPreprocessor {
    tokenizer: Tokenizer,
    pad_id: u32,
    pad_type_id: u32,
}

/// The tokens of one text, special tokens included, not padded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids; at least one, at most `max_length`.
    pub ids: Vec<u32>,
    /// One segment id a token.
    pub type_ids: Vec<u32>,
    /// Whether tokens were cut off to keep to `max_length`.
    pub truncated: bool,
}

/// Texts of one batch, padded on the right to the longest: `rows` × `columns` values each, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenBatch {
    /// Token ids; the pad token's where a text has ended.
    pub input_ids: Vec<i64>,
    /// 1 for a token, 0 for padding.
    pub attention_mask: Vec<i64>,
    /// Segment ids.
    pub token_type_ids: Vec<i64>,
    /// Number of texts.
    pub rows: usize,
    /// Tokens of the longest text.
    pub columns: usize,
}

impl TextPreprocessor {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the file is no tokenizer or knows no token to pad with, [`Error::Usage`] when
    /// `max_length` leaves no room beside the special tokens.
    pub fn from_file(path: &Path, spec: &TextSpec) -> Result<Self> {
        let bytes = crate::file::read_at_most(path, MAX_TOKENIZER_BYTES)?;
        let read = guard::catch(|| Tokenizer::from_bytes(bytes).map_err(|e| e.to_string())).flatten();
        let mut tokenizer = read.map_err(|reason| Error::malformed(path, reason))?;
        let (pad_id, pad_type_id) = pad(&tokenizer).ok_or_else(|| {
            Error::malformed(path, format!("no padding section and none of the tokens {}", PADS.join(", ")))
        })?;
        let special = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if spec.max_length <= special {
            return Err(Error::Usage(format!(
                "a max_length of {} leaves no room for text beside {special} special tokens",
                spec.max_length
            )));
        }
        let direction = tokenizer.get_truncation().map_or(TruncationDirection::Right, |t| t.direction);
        let truncation = TruncationParams {
            direction,
            max_length: spec.max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| Error::malformed(path, e))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, pad_id, pad_type_id })
    }

    /// The tokens of one text. Time grows with the text's length, also where most of it is cut off: what a normaliser
    /// or a merge does at the start may depend on what follows, so the text is never cut before it is tokenised.
    ///
    /// # Errors
    /// The reason, when the tokenizer fails or finds no token.
    pub fn encode(&self, text: &str) -> Result<Encoded, String> {
        let encode = || self.tokenizer.encode_fast(EncodeInput::from(text), true).map_err(|e| e.to_string());
        let encoding = guard::catch(encode).map_err(|panic| format!("the tokenizer failed: {panic}"))??;
        if encoding.is_empty() {
            return Err("the text has no tokens".to_owned());
        }
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }

    /// Pads texts to the longest of them.
    pub fn batch(&self, texts: &[Encoded]) -> TokenBatch {
        self.padded(texts, 0)
    }

    /// Pads texts to `columns` tokens, or to the longest of them where it has more.
    pub fn padded(&self, texts: &[Encoded], columns: usize) -> TokenBatch {
        let (rows, columns) = (texts.len(), texts.iter().map(|t| t.ids.len()).fold(columns, usize::max));
        let padded = |values: fn(&Encoded) -> &[u32], pad: u32| {
            let rows = texts.iter().map(values);
            rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat(pad)).take(columns).map(i64::from))
                .collect()
        };
        TokenBatch {
            input_ids: padded(|t| &t.ids, self.pad_id),
            attention_mask: texts.iter().flat_map(|t| (0..columns).map(|i| i64::from(i < t.ids.len()))).collect(),
            token_type_ids: padded(|t| &t.type_ids, self.pad_type_id),
            rows,
            columns,
        }
    }
}

/// The ids of the pad token and of its segment.
fn pad(tokenizer: &Tokenizer) -> Option<(u32, u32)> {
    if let Some(PaddingParams { pad_id, pad_type_id, .. }) = tokenizer.get_padding() {
        return Some((*pad_id, *pad_type_id));
    }
    PADS.iter().find_map(|name| tokenizer.token_to_id(name)).map(|id| (id, 0))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text").join(name)
    }

    fn tiny(max_length: usize) -> Result<TextPreprocessor> {
        TextPreprocessor::from_file(&file("tiny_tokenizer.json"), &TextSpec { max_length })
    }

    /// The file truncates to 4 and pads to 16; neither may show.
    #[test]
    fn the_length_of_the_spec_overrides_the_file() {
        let encoded = tiny(8).unwrap().encode("the cat sat on the mat").unwrap();
        assert_eq!(encoded.ids, [2, 5, 6, 7, 8, 5, 9, 3]);
        assert!(!encoded.truncated);
        let encoded = tiny(7).unwrap().encode("the cat sat on the mat").unwrap();
        assert_eq!(encoded.ids, [2, 5, 6, 7, 8, 5, 3], "special tokens stay");
        assert!(encoded.truncated);
        assert_eq!(tiny(3).unwrap().encode("the cat").unwrap().ids, [2, 5, 3]);
    }

    #[test]
    fn no_room_for_text_is_an_error() {
        assert!(matches!(tiny(2), Err(Error::Usage(reason)) if reason.contains("2 special tokens")));
    }

    /// Python's tokenizers wrote the expected ids.
    #[test]
    fn tokens_equal_the_reference() {
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(file("tiny.json")).unwrap()).unwrap();
        let max_length = usize::try_from(golden["max_length"].as_u64().unwrap()).unwrap();
        let tokenizer = tiny(max_length).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() > 50);
        for case in cases {
            let encoded = tokenizer.encode(case["text"].as_str().unwrap()).unwrap();
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(encoded.ids, ids, "{}", case["text"]);
            assert_eq!(encoded.truncated, case["truncated"].as_bool().unwrap(), "{}", case["text"]);
            assert_eq!(encoded.type_ids, vec![0; ids.len()]);
        }
    }

    #[test]
    fn a_batch_is_padded_to_its_longest_text() {
        let tokenizer = tiny(8).unwrap();
        let texts = ["cat", "", "the cat"].map(|t| tokenizer.encode(t).unwrap());
        let batch = tokenizer.batch(&texts);
        assert_eq!((batch.rows, batch.columns), (3, 4));
        assert_eq!(batch.input_ids, [2, 6, 3, 0, 2, 3, 0, 0, 2, 5, 6, 3]);
        assert_eq!(batch.attention_mask, [1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1]);
        assert_eq!(batch.token_type_ids, [0; 12]);
        assert_eq!(tokenizer.batch(&[]), TokenBatch::default());
    }

    #[test]
    fn a_tokenizer_without_padding_names_what_was_looked_for() {
        let text = std::fs::read_to_string(file("tiny_tokenizer.json")).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["padding"] = serde_json::Value::Null;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, json.to_string()).unwrap();
        let padded = TextPreprocessor::from_file(&path, &TextSpec { max_length: 8 }).unwrap();
        assert_eq!(padded.pad_id, 0, "found by its name");
        std::fs::write(&path, json.to_string().replace("[PAD]", "[NIL]")).unwrap();
        let error = TextPreprocessor::from_file(&path, &TextSpec { max_length: 8 }).unwrap_err().to_string();
        assert!(error.contains("[PAD], <pad>"), "{error}");
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(
            TextPreprocessor::from_file(&path, &TextSpec { max_length: 8 }),
            Err(Error::Malformed { .. })
        ));
    }
}
