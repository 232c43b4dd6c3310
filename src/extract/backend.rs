//! A backbone at work: from samples to tensors, and from tensors to embeddings.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::buckets::buckets;
use super::meter::{Lane, Limit, Meter};
use super::options::Options;
use super::sizes::Sizes;
use super::work::{Checked, Piece, Prepared, Work};
use crate::backbone::{Backbone, Device, Output, Provider, Runtime, Session, SessionOptions, Tensor, normalize_rows};
use crate::error::{Error, Result};
use crate::file;
use crate::guard;
use crate::preprocess::{Encoded, ImagePreprocessor, Preprocessing, Scratch, TextPreprocessor};
use crate::source::{Content, MAX_IMAGE_BYTES, Reject, Sample, Stage};

/// Prepared inputs.
#[derive(Debug)]
pub(super) enum Data {
    /// rows×3×height×width normalised values.
    Pixels { rows: usize, values: Vec<f32> },
    /// Texts.
    Tokens(Vec<Encoded>),
}

/// A backbone with all that its sessions share.
pub(super) struct Backend<'a> {
    runtime: &'a Runtime,
    backbone: &'a Backbone,
    provider: Provider,
    how: SessionOptions,
    /// The session that told what the inputs are, until a thread takes it.
    first: Mutex<Option<Session>>,
    preprocessor: Preprocessor,
    batching: Batching,
    /// Buffers of pixels to use again: allocating one costs as much as a good part of the decoding.
    spare: Mutex<Vec<Vec<f32>>>,
    meter: Arc<Meter>,
}

enum Preprocessor {
    Image {
        processor: ImagePreprocessor,
        input: String,
    },
    Text {
        processor: Box<TextPreprocessor>,
        input_ids: String,
        attention_mask: Option<String>,
        token_type_ids: Option<String>,
    },
}

/// How batches are made.
#[derive(Debug, Clone)]
pub(super) struct Batching {
    /// Samples that one thread prepares at a time.
    pub(super) unit: Arc<Sizes>,
    /// Images in a batch, or tokens.
    pub(super) sizes: Arc<Sizes>,
    /// Texts in a batch at most.
    pub(super) most_texts: usize,
    /// Pieces that are ready are joined up to this many rows.
    pub(super) join_up_to: usize,
}

impl<'a> Backend<'a> {
    /// Opens the first session. The second value says what `auto` chose, and why.
    ///
    /// # Errors
    /// When the model or the tokenizer cannot be loaded, the device cannot run, or the graph's inputs are not those of
    /// the modality.
    pub(super) fn open(
        runtime: &'a Runtime,
        backbone: &'a Backbone,
        options: &Options,
        weights: u64,
        meter: Arc<Meter>,
    ) -> Result<(Self, Option<String>)> {
        let how = SessionOptions::new(options.device, options.sessions(weights).1);
        let (session, note) = Session::open(runtime, &backbone.model, &backbone.output.tensor, &how)?;
        let preprocessor = Preprocessor::open(backbone, &session)?;
        let provider = session.provider();
        let batching = options.batching(provider, &backbone.preprocessing);
        let (first, spare) = (Mutex::new(Some(session)), Mutex::new(Vec::new()));
        let mut backend = Self { runtime, backbone, provider, how, first, preprocessor, batching, spare, meter };
        backend.prove()?;
        // What `auto` chose is certain by now: a second choice could differ.
        backend.how.device = Device::Only(backend.provider);
        Ok((backend, note))
    }

    /// Runs one blank input where it is in doubt which provider really runs the nodes: then the session knows.
    fn prove(&mut self) -> Result<()> {
        if self.provider == Provider::Cpu {
            return Ok(());
        }
        let mut session = self.runner()?;
        match &self.preprocessor {
            Preprocessor::Image { processor, .. } => {
                let [height, width] = processor.output_size();
                self.run_pixels(&mut session, 1, &vec![0.0; 3 * height * width])?;
            }
            Preprocessor::Text { processor, .. } => {
                let encoded = processor.encode("a").map_err(|reason| Error::model(&self.backbone.name, reason))?;
                self.run_tokens(&mut session, &[encoded])?;
            }
        }
        self.provider = session.provider();
        self.first = Mutex::new(Some(session));
        Ok(())
    }

    /// How many samples a thread prepares at a time.
    pub(super) fn unit(&self) -> &Arc<Sizes> {
        &self.batching.unit
    }

    /// The size of batches, once it is settled: images or tokens.
    pub(super) fn batch_size(&self) -> Option<usize> {
        self.batching.sizes.settled().filter(|&size| size != usize::MAX)
    }

    /// The provider that runs.
    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    fn run_pixels(&self, session: &mut Session, rows: usize, values: &[f32]) -> Result<Array2<f32>> {
        let Preprocessor::Image { processor, input } = &self.preprocessor else {
            return Err(Error::model(&self.backbone.name, "it takes texts, not images"));
        };
        let [height, width] = processor.output_size();
        let shape = [rows, 3, height, width];
        let output = &self.backbone.output;
        session.run_with(&[(input, Tensor::F32(&shape, values))], |shape, values| finish(output, shape, values, None))
    }

    fn run_tokens(&self, session: &mut Session, encoded: &[Encoded]) -> Result<Array2<f32>> {
        let Preprocessor::Text { processor, input_ids, attention_mask, token_type_ids } = &self.preprocessor else {
            return Err(Error::model(&self.backbone.name, "it takes images, not texts"));
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
        let (output, mask) = (&self.backbone.output, Some(&batch.attention_mask[..]));
        session.run_with(&inputs, |shape, values| finish(output, shape, values, mask))
    }

    /// Decodes images one after the other into one piece.
    fn prepare_images(
        &self,
        lane: Lane,
        processor: &ImagePreprocessor,
        scratch: &mut Scratch,
        samples: &[Sample],
    ) -> Prepared<Data> {
        let [height, width] = processor.output_size();
        let each = 3 * height * width;
        let mut values = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        values.resize(samples.len() * each, 0.0);
        let mut slots = Vec::with_capacity(samples.len());
        let mut checked = Vec::with_capacity(samples.len());
        for (slot, sample) in samples.iter().enumerate() {
            // A sample that fails leaves its place to the next.
            let place = slots.len() * each;
            let outcome = self.decode(lane, processor, scratch, sample, &mut values[place..place + each]);
            if outcome.is_ok() {
                slots.push(slot);
            }
            checked.push(outcome);
        }
        values.truncate(slots.len() * each);
        let pieces = match slots.len() {
            0 => Vec::new(),
            rows => vec![Piece { slots, goal: samples.len(), data: Data::Pixels { rows, values } }],
        };
        Prepared { checked, pieces }
    }

    fn decode(
        &self,
        lane: Lane,
        processor: &ImagePreprocessor,
        scratch: &mut Scratch,
        sample: &Sample,
        pixels: &mut [f32],
    ) -> Result<Checked, Reject> {
        let started = Instant::now();
        let bytes = match &sample.content {
            Content::File(path) => Cow::Owned(
                read(path).map_err(|e| reject(sample, Stage::Read, format!("cannot read {}: {e}", path.display())))?,
            ),
            Content::Bytes(bytes) => Cow::Borrowed(bytes.as_slice()),
            Content::Text(_) => {
                return Err(reject(sample, Stage::Read, "this is a text, and the backbone takes images"));
            }
        };
        self.meter.add(Limit::Read, started.elapsed());
        self.meter.span(lane, "read", started, 1);
        let started = Instant::now();
        // A decoder that panics on a hostile file costs that file only.
        let outcome = guard::catch(|| processor.process(&bytes, scratch, pixels))
            .unwrap_or_else(|panic| Err(format!("the image decoder failed on this file: {panic}")));
        let outcome = outcome
            .map(|()| Checked { content: digest(&bytes), truncated: false })
            .map_err(|reason| reject(sample, Stage::Decode, reason));
        self.meter.add(Limit::Decode, started.elapsed());
        self.meter.span(lane, "decode", started, 1);
        outcome
    }

    /// Tokenises texts and puts those of like length together.
    fn prepare_texts(&self, processor: &TextPreprocessor, samples: &[Sample]) -> Prepared<Data> {
        let started = Instant::now();
        let mut encoded = Vec::with_capacity(samples.len());
        let mut checked = Vec::with_capacity(samples.len());
        for (slot, sample) in samples.iter().enumerate() {
            checked.push(tokenize(processor, sample).map(|(tokens, checked)| {
                encoded.push((slot, tokens));
                checked
            }));
        }
        let lengths: Vec<usize> = encoded.iter().map(|(_, tokens)| tokens.ids.len()).collect();
        let mut encoded: Vec<Option<(usize, Encoded)>> = encoded.into_iter().map(Some).collect();
        let pieces = buckets(&lengths, self.batching.most_texts, || self.batching.sizes.next()).into_iter().map(
            |(goal, texts)| {
                let (slots, tokens) = texts.into_iter().filter_map(|text| encoded.get_mut(text)?.take()).unzip();
                Piece { slots, goal, data: Data::Tokens(tokens) }
            },
        );
        let pieces = pieces.collect();
        self.meter.add(Limit::Decode, started.elapsed());
        Prepared { checked, pieces }
    }
}

impl Work for Backend<'_> {
    type Scratch = Box<Scratch>;
    type Data = Data;
    type Runner = Session;

    fn scratch(&self) -> Box<Scratch> {
        Box::default()
    }

    fn prepare(&self, lane: Lane, scratch: &mut Box<Scratch>, samples: &[Sample]) -> Prepared<Data> {
        match &self.preprocessor {
            Preprocessor::Image { processor, .. } => self.prepare_images(lane, processor, scratch, samples),
            Preprocessor::Text { processor, .. } => self.prepare_texts(processor, samples),
        }
    }

    fn runner(&self) -> Result<Session> {
        if let Some(first) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(first);
        }
        Ok(Session::open(self.runtime, &self.backbone.model, &self.backbone.output.tensor, &self.how)?.0)
    }

    fn join_up_to(&self) -> usize {
        self.batching.join_up_to
    }

    fn join(&self, pieces: Vec<Data>) -> Data {
        let mut pieces = pieces.into_iter();
        let mut all = pieces.next().unwrap_or(Data::Tokens(Vec::new()));
        for piece in pieces {
            match (&mut all, piece) {
                (Data::Pixels { rows, values }, Data::Pixels { rows: more, values: others }) => {
                    *rows += more;
                    values.extend_from_slice(&others);
                    self.recycle(Data::Pixels { rows: more, values: others });
                }
                (Data::Tokens(texts), Data::Tokens(others)) => texts.extend(others),
                // A backbone takes one of the two.
                (Data::Pixels { .. }, Data::Tokens(_)) | (Data::Tokens(_), Data::Pixels { .. }) => {}
            }
        }
        all
    }

    fn run(&self, session: &mut Session, data: &Data, rows: Range<usize>) -> Result<Array2<f32>> {
        let started = Instant::now();
        let outcome = match data {
            Data::Pixels { rows: all, values } => {
                let each = values.len() / (*all).max(1);
                self.run_pixels(session, rows.len(), &values[rows.start * each..rows.end * each])
            }
            Data::Tokens(texts) => self.run_tokens(session, &texts[rows]),
        };
        self.meter.add(Limit::Run, started.elapsed());
        outcome
    }

    fn recycle(&self, data: Data) {
        if let Data::Pixels { values, .. } = data {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(values);
        }
    }

    fn record(&self, goal: usize, data: &Data, elapsed: Duration) -> Option<String> {
        let units = match data {
            Data::Pixels { rows, .. } => *rows,
            Data::Tokens(texts) => texts.len() * texts.iter().map(|text| text.ids.len()).max().unwrap_or(0),
        };
        self.batching.sizes.record(goal, units, elapsed)
    }

    fn halve(&self, data: &Data, rows: usize) -> String {
        let size = match data {
            Data::Pixels { .. } => rows,
            Data::Tokens(texts) => rows * texts.iter().map(|text| text.ids.len()).max().unwrap_or(1),
        };
        self.batching.sizes.halve(size)
    }
}

fn finish(output: &Output, shape: &[usize], values: &[f32], mask: Option<&[i64]>) -> Result<Array2<f32>> {
    let mut matrix = output.pooling.pool(values, shape, mask)?;
    if output.normalize {
        normalize_rows(&mut matrix);
    }
    Ok(matrix)
}

fn reject(sample: &Sample, stage: Stage, reason: impl Into<String>) -> Reject {
    Reject { id: sample.id.clone(), stage, reason: reason.into() }
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

fn tokenize(processor: &TextPreprocessor, sample: &Sample) -> Result<(Encoded, Checked), Reject> {
    let Content::Text(text) = &sample.content else {
        return Err(reject(sample, Stage::Read, "this is an image, and the backbone takes texts"));
    };
    let encoded = guard::catch(|| processor.encode(text))
        .unwrap_or_else(|panic| Err(format!("the tokenizer failed on this text: {panic}")))
        .map_err(|reason| reject(sample, Stage::Tokenize, reason))?;
    let checked = Checked { content: digest(text.as_bytes()), truncated: encoded.truncated };
    Ok((encoded, checked))
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
                [input] => {
                    Ok(Self::Image { processor: ImagePreprocessor::new(spec.clone())?, input: input.to_owned() })
                }
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
