//! A backbone at work: from samples to tensors, and from tensors to embeddings.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::buckets::buckets;
use super::form::{Form, Images};
use super::inputs::{Decoded, Inputs, Pixels};
use super::meter::{Lane, Limit, Meter};
use super::options::{Batching, Options};
use super::sizes::Sizes;
use super::work::{Checked, Piece, Prepared, Work};
use crate::backbone::{Backbone, Device, Feed, Home, Provider, Runtime, Session, SessionOptions};
use crate::error::{Error, Result};
use crate::file::content_digest;
use crate::guard;
use crate::preprocess::{Encoded, ImagePreprocessor, Scratch, TextPreprocessor};
use crate::progress::Progress;
use crate::source::{Content, MAX_IMAGE_BYTES, Reject, Sample, Stage};

/// Prepared inputs.
#[derive(Debug)]
pub(super) enum Data {
    /// So many images.
    Images(usize, Pixels),
    /// One image, for a graph that preprocesses it itself.
    Decoded(Decoded),
    /// Texts.
    Texts(Vec<Encoded>),
}

/// A backbone with all that its sessions share.
pub(super) struct Backend<'a> {
    runtime: &'a Runtime,
    backbone: &'a Backbone,
    provider: Provider,
    form: Form,
    /// The session that told what the inputs are, until a thread takes it.
    first: Mutex<Option<Session>>,
    inputs: Inputs,
    batching: Batching,
    /// Buffers of pixels to use again: allocating one costs as much as a good part of the decoding.
    spare: Mutex<Vec<Pixels>>,
    meter: Arc<Meter>,
}

impl<'a> Backend<'a> {
    /// Opens the first session. Forms of the backbone for accelerators are kept in `home`; without one it runs as it is. The
    /// second value says what `auto` chose, and why.
    ///
    /// # Errors
    /// When the model or the tokenizer cannot be loaded, the device cannot run, or the graph's inputs are not those of
    /// the modality.
    pub(super) fn open(
        runtime: &'a Runtime,
        home: Option<&Home>,
        backbone: &'a Backbone,
        (options, weights): (&Options, u64),
        meter: Arc<Meter>,
        progress: &dyn Progress,
    ) -> Result<(Self, Option<String>)> {
        let tensor = &backbone.output.tensor;
        let mut how = SessionOptions::new(options.device, options.sessions(weights).1);
        let (opened, provider, note) = match options.device {
            Device::Only(provider) => (None, provider, None),
            Device::Auto => {
                let (session, note) = Session::open(runtime, &backbone.model, tensor, &how)?;
                let provider = session.provider();
                // What `auto` chose is certain now: a second choice could differ.
                how.device = Device::Only(provider);
                (Some(session), provider, note)
            }
        };
        let form = match home {
            Some(home) => Form::of(runtime, home, backbone, (options, provider), how, progress)?,
            None => Form { model: backbone.model.clone(), images: Images::Floats, how },
        };
        let session = match opened {
            Some(session) if form.model == backbone.model => session,
            _ => Session::open(runtime, &form.model, tensor, &form.how)?.0,
        };
        let inputs = Inputs::of(backbone, &session)?;
        let batching = options.batching(provider, &backbone.preprocessing);
        let (first, spare) = (Mutex::new(Some(session)), Mutex::new(Vec::new()));
        let mut backend = Self { runtime, backbone, provider, form, first, inputs, batching, spare, meter };
        backend.prove()?;
        Ok((backend, note))
    }

    /// Runs one blank input where it is in doubt which provider really runs the nodes: then the session knows.
    fn prove(&mut self) -> Result<()> {
        if self.provider == Provider::Cpu {
            return Ok(());
        }
        let mut session = self.runner()?;
        let data = match &self.inputs {
            Inputs::Image { feed: Feed::Decoded, .. } => {
                Data::Decoded(Decoded { size: [8, 8], rgb: vec![0; 3 * 8 * 8] })
            }
            Inputs::Image { processor, .. } => {
                let [height, width] = processor.output_size();
                Data::Images(1, self.blank(3 * height * width))
            }
            Inputs::Text { processor, .. } => {
                let encoded = processor.encode("a").map_err(|reason| Error::model(&self.backbone.name, reason))?;
                Data::Texts(vec![encoded])
            }
        };
        self.run(&mut session, &data, 0..1)?;
        self.provider = session.provider();
        self.first = Mutex::new(Some(session));
        Ok(())
    }

    fn blank(&self, length: usize) -> Pixels {
        match self.form.images {
            Images::Floats => Pixels::Floats(vec![0.0; length]),
            Images::Bytes => Pixels::Bytes(vec![0; length]),
        }
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
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decode = |sample: &Sample, place: Place| self.decode(lane, processor, scratch, sample, place);
        let (checked, slots, pixels) = match spare.unwrap_or_else(|| self.blank(0)) {
            Pixels::Floats(values) => {
                let (checked, slots, values) = fill(samples, each, values, |s, place| decode(s, Place::Floats(place)));
                (checked, slots, Pixels::Floats(values))
            }
            Pixels::Bytes(values) => {
                let (checked, slots, values) = fill(samples, each, values, |s, place| decode(s, Place::Bytes(place)));
                (checked, slots, Pixels::Bytes(values))
            }
        };
        let pieces = match slots.len() {
            0 => Vec::new(),
            rows => vec![Piece { slots, goal: samples.len(), data: Data::Images(rows, pixels) }],
        };
        Prepared { checked, pieces }
    }

    /// Decodes images, each a piece of its own: their sizes differ.
    fn decode_images(
        &self,
        lane: Lane,
        processor: &ImagePreprocessor,
        scratch: &mut Scratch,
        samples: &[Sample],
    ) -> Prepared<Data> {
        let (mut checked, mut pieces) = (Vec::with_capacity(samples.len()), Vec::with_capacity(samples.len()));
        for (slot, sample) in samples.iter().enumerate() {
            let mut image = Decoded::default();
            checked.push(self.decode(lane, processor, scratch, sample, Place::Decoded(&mut image)));
            if !image.rgb.is_empty() {
                pieces.push(Piece { slots: vec![slot], goal: 1, data: Data::Decoded(image) });
            }
        }
        Prepared { checked, pieces }
    }

    fn decode(
        &self,
        lane: Lane,
        processor: &ImagePreprocessor,
        scratch: &mut Scratch,
        sample: &Sample,
        place: Place,
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
        let outcome = guard::catch(|| match place {
            Place::Floats(values) => processor.process(&bytes, scratch, values),
            Place::Bytes(values) => processor.process_u8(&bytes, scratch, values),
            Place::Decoded(image) => processor.decode(&bytes, scratch).map(|(size, rgb)| {
                *image = Decoded { size, rgb: rgb.to_vec() };
            }),
        });
        let outcome = outcome
            .unwrap_or_else(|panic| Err(format!("the image decoder failed on this file: {panic}")))
            .map(|()| Checked { content: content_digest(&bytes), truncated: false })
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
                Piece { slots, goal, data: Data::Texts(tokens) }
            },
        );
        let pieces = pieces.collect();
        self.meter.add(Limit::Decode, started.elapsed());
        Prepared { checked, pieces }
    }
}

/// Where the pixels of one image go.
enum Place<'a> {
    Floats(&'a mut [f32]),
    Bytes(&'a mut [u8]),
    Decoded(&'a mut Decoded),
}

/// Fills `values` with what `decode` makes of the samples, `each` values an image. Returns the outcomes, and the places of
/// the samples that are in it.
fn fill<T: Copy + Default>(
    samples: &[Sample],
    each: usize,
    mut values: Vec<T>,
    mut decode: impl FnMut(&Sample, &mut [T]) -> Result<Checked, Reject>,
) -> (Vec<Result<Checked, Reject>>, Vec<usize>, Vec<T>) {
    values.resize(samples.len() * each, T::default());
    let mut slots = Vec::with_capacity(samples.len());
    let mut checked = Vec::with_capacity(samples.len());
    for (slot, sample) in samples.iter().enumerate() {
        // A sample that fails leaves its place to the next.
        let place = slots.len() * each;
        let outcome = decode(sample, &mut values[place..place + each]);
        if outcome.is_ok() {
            slots.push(slot);
        }
        checked.push(outcome);
    }
    values.truncate(slots.len() * each);
    (checked, slots, values)
}

impl Work for Backend<'_> {
    type Scratch = Box<Scratch>;
    type Data = Data;
    type Runner = Session;

    fn scratch(&self) -> Box<Scratch> {
        Box::default()
    }

    fn prepare(&self, lane: Lane, scratch: &mut Box<Scratch>, samples: &[Sample]) -> Prepared<Data> {
        match &self.inputs {
            Inputs::Image { processor, feed: Feed::Decoded, .. } => {
                self.decode_images(lane, processor, scratch, samples)
            }
            Inputs::Image { processor, .. } => self.prepare_images(lane, processor, scratch, samples),
            Inputs::Text { processor, .. } => self.prepare_texts(processor, samples),
        }
    }

    fn runner(&self) -> Result<Session> {
        if let Some(first) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(first);
        }
        Ok(Session::open(self.runtime, &self.form.model, &self.backbone.output.tensor, &self.form.how)?.0)
    }

    fn join_up_to(&self) -> usize {
        self.batching.join_up_to.min(self.batching.sizes.most())
    }

    fn join(&self, pieces: Vec<Data>) -> Data {
        let mut pieces = pieces.into_iter();
        let mut all = pieces.next().unwrap_or(Data::Texts(Vec::new()));
        for piece in pieces {
            match (&mut all, &piece) {
                (Data::Images(rows, Pixels::Floats(values)), Data::Images(more, Pixels::Floats(others))) => {
                    *rows += more;
                    values.extend_from_slice(others);
                }
                (Data::Images(rows, Pixels::Bytes(values)), Data::Images(more, Pixels::Bytes(others))) => {
                    *rows += more;
                    values.extend_from_slice(others);
                }
                (Data::Texts(texts), Data::Texts(others)) => texts.extend_from_slice(others),
                // A backbone takes one kind, and decoded images are not joined.
                (Data::Images(..) | Data::Decoded(_) | Data::Texts(_), _) => {}
            }
            self.recycle(piece);
        }
        all
    }

    fn run(&self, session: &mut Session, data: &Data, rows: Range<usize>) -> Result<Array2<f32>> {
        let started = Instant::now();
        let output = &self.backbone.output;
        let outcome = match data {
            Data::Images(_, pixels) => self.inputs.run_pixels(output, session, pixels, rows),
            Data::Decoded(image) => self.inputs.run_decoded(output, session, image),
            Data::Texts(texts) => self.inputs.run_tokens(output, session, &texts[rows]),
        };
        self.meter.add(Limit::Run, started.elapsed());
        outcome
    }

    fn recycle(&self, data: Data) {
        if let Data::Images(_, pixels) = data {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(pixels);
        }
    }

    fn record(&self, goal: usize, data: &Data, elapsed: Duration) -> Option<String> {
        let units = match data {
            Data::Images(rows, _) => *rows,
            Data::Decoded(_) => 1,
            Data::Texts(texts) => texts.len() * longest(texts),
        };
        self.batching.sizes.record(goal, units, elapsed)
    }

    fn halve(&self, data: &Data, rows: usize) -> String {
        let size = match data {
            Data::Images(..) | Data::Decoded(_) => rows,
            Data::Texts(texts) => rows * longest(texts),
        };
        self.batching.sizes.halve(size)
    }
}

fn longest(texts: &[Encoded]) -> usize {
    texts.iter().map(|text| text.ids.len()).max().unwrap_or(0)
}

fn reject(sample: &Sample, stage: Stage, reason: impl Into<String>) -> Reject {
    Reject { id: sample.id.clone(), stage, reason: reason.into() }
}

/// The whole of an ordinary file: a pipe or a device in its place could be read without end.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
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
    let encoded = processor.encode(text).map_err(|reason| reject(sample, Stage::Tokenize, reason))?;
    let checked = Checked { content: content_digest(text.as_bytes()), truncated: encoded.truncated };
    Ok((encoded, checked))
}
