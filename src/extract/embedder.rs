//! One worker's tools: a preprocessor and a session, from a batch of samples to vectors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView1};

use super::pipeline::Embed;
use crate::backbone::{Backbone, Device, Output, Provider, Runtime, Session, SessionOptions, Tensor, normalize_rows};
use crate::error::{Error, Result};
use crate::file;
use crate::preprocess::{Encoded, ImagePreprocessor, Preprocessing, Scratch, TextPreprocessor};
use crate::source::{Content, Reject, Sample, Stage};

/// Greatest size of an image file; the decoder bounds the pixels.
const MAX_IMAGE_BYTES: u64 = 512 << 20;

/// One embedded sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The embedding.
    pub vector: Vec<f32>,
    /// A digest of the input's bytes: equal inputs have equal digests.
    pub content: String,
    /// Whether a text was longer than the backbone takes, and cut.
    pub truncated: bool,
}

/// Where an embedder's time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Reading, decoding, preprocessing, tokenising.
    pub decode: Duration,
    /// In the backbone.
    pub run: Duration,
}

/// Embeds batches of samples. One embedder serves one thread.
#[derive(Debug)]
pub struct Embedder {
    session: Session,
    preprocessor: Preprocessor,
    output: Output,
    /// Time used since it was opened.
    pub spent: Spent,
}

#[derive(Debug)]
enum Preprocessor {
    Image {
        processor: ImagePreprocessor,
        scratch: Box<Scratch>,
        input: String,
    },
    Text {
        processor: Box<TextPreprocessor>,
        input_ids: String,
        attention_mask: Option<String>,
        token_type_ids: Option<String>,
    },
}

/// A sample that is ready for the backbone.
struct Ready<T> {
    value: T,
    content: String,
    truncated: bool,
}

impl Embedder {
    /// Opens a backbone on a device with this many threads. The second value says what `auto` chose, and why.
    ///
    /// # Errors
    /// When the model or the tokenizer cannot be loaded, the device cannot run, or the graph's inputs are not those of
    /// the modality.
    pub fn open(
        runtime: &Runtime,
        backbone: &Backbone,
        device: Device,
        threads: usize,
    ) -> Result<(Self, Option<String>)> {
        let (session, note) = {
            let options = SessionOptions::new(device, threads);
            Session::open(runtime, &backbone.model, &backbone.output.tensor, &options)?
        };
        let preprocessor = Preprocessor::open(backbone, &session)?;
        let output = backbone.output.clone();
        Ok((Self { session, preprocessor, output, spent: Spent::default() }, note))
    }

    /// The provider that runs.
    pub fn provider(&self) -> Provider {
        self.session.provider()
    }

    /// Embeds images that are decoded already and of the backbone's own size: n×3×height×width normalised values.
    ///
    /// # Errors
    /// When this is no image backbone, or it fails.
    pub(super) fn embed_pixels(&mut self, images: &[&Vec<f32>]) -> Result<Array2<f32>> {
        run_checked(self, images, Self::run_images)
    }

    fn run_images(&mut self, pixels: &[&Vec<f32>]) -> Result<Array2<f32>> {
        let Preprocessor::Image { processor, input, .. } = &self.preprocessor else {
            return Ok(Array2::default((0, 0)));
        };
        let [height, width] = processor.output_size();
        let batch: Vec<f32> = pixels.iter().flat_map(|p| p.iter().copied()).collect();
        let shape = [pixels.len(), 3, height, width];
        let started = Instant::now();
        let result = self.session.run(&[(input, Tensor::F32(&shape, &batch))]);
        self.spent.run += started.elapsed();
        let (shape, values) = result?;
        finish(&self.output, &shape, &values, None)
    }

    fn run_texts(&mut self, encoded: &[&Encoded]) -> Result<Array2<f32>> {
        let Preprocessor::Text { processor, input_ids, attention_mask, token_type_ids } = &self.preprocessor else {
            return Ok(Array2::default((0, 0)));
        };
        let batch = processor.batch(encoded);
        let shape = [batch.rows, batch.columns];
        let mut inputs = vec![(input_ids.as_str(), Tensor::I64(&shape, &batch.input_ids))];
        if let Some(name) = attention_mask {
            inputs.push((name, Tensor::I64(&shape, &batch.attention_mask)));
        }
        if let Some(name) = token_type_ids {
            inputs.push((name, Tensor::I64(&shape, &batch.token_type_ids)));
        }
        let started = Instant::now();
        let result = self.session.run(&inputs);
        self.spent.run += started.elapsed();
        let (shape, values) = result?;
        finish(&self.output, &shape, &values, Some(&batch.attention_mask))
    }

    /// Runs what is ready, in one batch if that works, and puts the outcomes back in the order of the samples.
    fn run_ready<T>(
        &mut self,
        samples: &[Sample],
        ready: Vec<Result<Ready<T>, Reject>>,
        run: fn(&mut Self, &[&T]) -> Result<Array2<f32>>,
    ) -> Vec<Result<Embedded, Reject>> {
        let values: Vec<&T> = ready.iter().flatten().map(|r| &r.value).collect();
        let vectors: Vec<Result<Vec<f32>, String>> = match run_checked(self, &values, run) {
            Ok(matrix) => matrix.outer_iter().map(|row| Ok(row.to_vec())).collect(),
            Err(e) if values.len() == 1 => vec![Err(e.to_string())],
            Err(_) => values
                .iter()
                .map(|value| match run_checked(self, &[*value], run) {
                    Ok(matrix) => Ok(matrix.iter().copied().collect()),
                    Err(e) => Err(e.to_string()),
                })
                .collect(),
        };
        let mut vectors = vectors.into_iter();
        let mut outcomes = Vec::with_capacity(samples.len());
        for (sample, ready) in samples.iter().zip(ready) {
            outcomes.push(ready.and_then(|ready| {
                let vector = vectors.next().unwrap_or_else(|| Err("the backbone returned too few rows".to_owned()));
                let vector = vector.and_then(usable).map_err(|reason| reject(sample, Stage::Run, reason))?;
                Ok(Embedded { vector, content: ready.content, truncated: ready.truncated })
            }));
        }
        outcomes
    }
}

impl Embed for Embedder {
    /// A batch that fails in the backbone is run again row by row, so that only the guilty row is rejected.
    fn embed(&mut self, samples: &[Sample]) -> Vec<Result<Embedded, Reject>> {
        let started = Instant::now();
        let run_before = self.spent.run;
        let outcomes = match &mut self.preprocessor {
            Preprocessor::Image { processor, scratch, .. } => {
                let ready = samples.iter().map(|sample| decode(processor, scratch, sample)).collect();
                self.run_ready(samples, ready, Self::run_images)
            }
            Preprocessor::Text { processor, .. } => {
                let ready = samples.iter().map(|sample| tokenize(processor, sample)).collect();
                self.run_ready(samples, ready, Self::run_texts)
            }
        };
        self.spent.decode += started.elapsed().saturating_sub(self.spent.run - run_before);
        outcomes
    }
}

fn run_checked<T>(
    embedder: &mut Embedder,
    values: &[&T],
    run: fn(&mut Embedder, &[&T]) -> Result<Array2<f32>>,
) -> Result<Array2<f32>> {
    if values.is_empty() {
        return Ok(Array2::default((0, 0)));
    }
    let matrix = run(embedder, values)?;
    match matrix.nrows() == values.len() {
        true => Ok(matrix),
        false => {
            let reason =
                format!("output {:?} has {} rows for {} inputs", embedder.output.tensor, matrix.nrows(), values.len());
            Err(Error::model("backbone", reason))
        }
    }
}

fn finish(output: &Output, shape: &[usize], values: &[f32], mask: Option<&[i64]>) -> Result<Array2<f32>> {
    let mut matrix = output.pooling.pool(values, shape, mask)?;
    if output.normalize {
        normalize_rows(&mut matrix);
    }
    Ok(matrix)
}

/// An embedding that a classifier could not use is a reject, never a row.
fn usable(vector: Vec<f32>) -> Result<Vec<f32>, String> {
    let view = ArrayView1::from(&vector);
    if view.iter().any(|v| !v.is_finite()) {
        return Err("the embedding has a NaN or infinite value".to_owned());
    }
    if view.iter().all(|&v| v == 0.0) {
        return Err("the embedding is zero everywhere".to_owned());
    }
    Ok(vector)
}

fn reject(sample: &Sample, stage: Stage, reason: impl Into<String>) -> Reject {
    Reject { id: sample.id.clone(), stage, reason: reason.into() }
}

fn decode(processor: &ImagePreprocessor, scratch: &mut Scratch, sample: &Sample) -> Result<Ready<Vec<f32>>, Reject> {
    let Content::File(path) = &sample.content else {
        return Err(reject(sample, Stage::Read, "this is a text, and the backbone takes images"));
    };
    let bytes = read(path).map_err(|e| reject(sample, Stage::Read, format!("cannot read {}: {e}", path.display())))?;
    let [height, width] = processor.output_size();
    let mut pixels = vec![0.0; 3 * height * width];
    // A decoder that panics on a hostile file costs that file only.
    match catch_unwind(AssertUnwindSafe(|| processor.process(&bytes, scratch, &mut pixels))) {
        Ok(Ok(())) => Ok(Ready { value: pixels, content: digest(&bytes), truncated: false }),
        Ok(Err(reason)) => Err(reject(sample, Stage::Decode, reason)),
        Err(_) => Err(reject(sample, Stage::Decode, "the image decoder failed on this file")),
    }
}

/// The whole of an ordinary file: a pipe or a device in its place could be read without end.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    if found.len() > MAX_IMAGE_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {} MiB", MAX_IMAGE_BYTES >> 20)));
    }
    std::fs::read(path)
}

fn tokenize(processor: &TextPreprocessor, sample: &Sample) -> Result<Ready<Encoded>, Reject> {
    let Content::Text(text) = &sample.content else {
        return Err(reject(sample, Stage::Read, "this is a file, and the backbone takes texts"));
    };
    let encoded = catch_unwind(AssertUnwindSafe(|| processor.encode(text)))
        .unwrap_or_else(|_| Err("the tokenizer failed on this text".to_owned()))
        .map_err(|reason| reject(sample, Stage::Tokenize, reason))?;
    let truncated = encoded.truncated;
    Ok(Ready { value: encoded, content: digest(text.as_bytes()), truncated })
}

/// 128 bits are plenty to tell inputs apart.
fn digest(bytes: &[u8]) -> String {
    let mut text = file::sha256_hex(bytes);
    text.truncate(32);
    text
}

impl Preprocessor {
    fn open(backbone: &Backbone, session: &Session) -> Result<Self> {
        let names: Vec<&str> = session.inputs().iter().map(|i| i.name.as_str()).collect();
        let wrong = |needed: &str| {
            Error::model(&backbone.name, format!("it needs {needed}, and its inputs are {}", names.join(", ")))
        };
        match &backbone.preprocessing {
            Preprocessing::Image(spec) => match names[..] {
                [input] => Ok(Self::Image {
                    processor: ImagePreprocessor::new(spec.clone())?,
                    scratch: Box::default(),
                    input: input.to_owned(),
                }),
                _ => Err(wrong("exactly one image input")),
            },
            Preprocessing::Text(spec) => {
                let named = |name: &str| names.contains(&name).then(|| name.to_owned());
                let known = ["input_ids", "attention_mask", "token_type_ids"];
                if names.iter().any(|n| !known.contains(n)) {
                    return Err(wrong("no inputs but input_ids, attention_mask and token_type_ids"));
                }
                let tokenizer = backbone.tokenizer.as_deref().ok_or_else(|| {
                    Error::model(&backbone.name, "a text backbone needs a tokenizer.json: name it with --tokenizer")
                })?;
                Ok(Self::Text {
                    processor: Box::new(TextPreprocessor::from_file(tokenizer, spec)?),
                    input_ids: named("input_ids").ok_or_else(|| wrong("an input named input_ids"))?,
                    attention_mask: named("attention_mask"),
                    token_type_ids: named("token_type_ids"),
                })
            }
        }
    }
}
