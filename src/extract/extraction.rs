//! A backbone opened on every core, and what it did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use serde::Serialize;

use super::backend::Backend;
use super::meter::{Limit, Meter, StageRate};
use super::options::Options;
use super::pipeline;
use super::trace::{self, Trace};
use super::writer::{Counts, Sink, Writer};
use crate::backbone::{Backbone, Feed, Home, Runtime, Weights};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::features::Provenance;
use crate::file;
use crate::progress::Progress;
use crate::source::{List, Source};

/// What an extraction did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Rows embedded.
    pub rows: usize,
    /// Inputs rejected.
    pub rejects: usize,
    /// Texts that were longer than the backbone takes, and cut.
    pub truncated: usize,
    /// Images that were left out, for the table of their folder does not name them.
    pub left_out: u64,
    /// Length of the embeddings; 0 when there are none.
    pub dimension: usize,
    /// Wall-clock seconds from the first input to the last row, the opening of the sessions included.
    pub seconds: f64,
    /// `rows / seconds`; `None` when there was nothing to run.
    pub rows_per_second: Option<f64>,
    /// The execution provider; `None` when there was nothing to run.
    pub provider: Option<String>,
    /// The stage whose threads were the busiest; `None` when there was nothing to run.
    pub limited_by: Option<Limit>,
    /// Sessions that ran side by side.
    pub sessions: usize,
    /// Images in a batch, or tokens where no number of texts was given: as given or as measured; `None` where the run was too short to tell.
    pub batch_size: Option<usize>,
    /// What each stage did; `None` when there was nothing to run.
    pub stages: Option<Stages>,
}

/// What each stage did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stages {
    /// Listing the inputs and reading files.
    pub read: StageRate,
    /// Decoding and preprocessing, or tokenising.
    pub decode: StageRate,
    /// The backbone.
    pub run: StageRate,
    /// Writing the features.
    pub write: StageRate,
}

/// A backbone and how it is to run.
#[derive(Debug)]
pub struct Extraction<'a> {
    runtime: &'a Runtime,
    backbone: &'a Backbone,
    home: &'a Home,
    options: Options,
    /// Bytes of the weights.
    weights: u64,
    provenance: Provenance,
}

impl<'a> Extraction<'a> {
    /// Looks at the backbone's files; sessions are opened when the first input is there. Forms of the backbone for accelerators are kept in
    /// `home`.
    ///
    /// # Errors
    /// When the files cannot be read; [`Error::Usage`] when the trace would replace a file that is no trace.
    pub fn new(runtime: &'a Runtime, home: &'a Home, backbone: &'a Backbone, options: Options) -> Result<Self> {
        options.trace.as_deref().map_or(Ok(()), trace::replaceable)?;
        // Decoded images are of many sizes, and large.
        let single = backbone.feed == Feed::Decoded;
        let options = Options { batch_size: if single { Some(1) } else { options.batch_size }, ..options };
        let weights = Weights::of(&backbone.model)?;
        let provenance = Provenance {
            backbone: backbone.name.clone(),
            backbone_sha256: weights.sha256,
            tokenizer_sha256: backbone.tokenizer.as_deref().map(file::sha256_file).transpose()?,
            preprocessing: backbone.preprocessing.clone(),
            output: backbone.output.clone(),
            dimension: 0,
            provider: String::new(),
            precision: "f32".to_owned(),
            run_precision: options.run_precision,
            engraft_version: env!("CARGO_PKG_VERSION").to_owned(),
            onnxruntime_version: runtime.version.clone(),
        };
        Ok(Self { runtime, home, backbone, options, weights: weights.bytes, provenance })
    }

    /// What the features will be made by. The dimension is 0 and the provider empty until it runs.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Embeds every entry. Each sample reaches the sink exactly once, as a row or as a reject. Without an entry no session
    /// is opened.
    ///
    /// # Errors
    /// The source's, the sink's, those of [opening the backbone](crate::backbone::Session::open), or
    /// [`Error::Interrupted`]; bad inputs are rejects, not errors.
    pub fn run(self, source: Source, sink: &mut dyn Sink, progress: &dyn Progress) -> Result<Summary> {
        let Self { runtime, home, backbone, options, weights, mut provenance } = self;
        let started = Instant::now();
        let Some(list) = begun(source.list, progress)? else {
            // An earlier trace is worth more than one of nothing.
            let summary = Summary::unmeasured(started.elapsed().as_secs_f64());
            return Ok(Summary { left_out: source.extent.left_out(), ..summary });
        };
        let meter = Arc::new(Meter::new(options.trace.as_deref().map(Trace::create).transpose()?));
        let (backend, note) =
            Backend::open(runtime, Some(home), backbone, (&options, weights), meter.clone(), progress)?;
        if let Some(note) = note {
            progress.note(&note);
        }
        provenance.provider = backend.provider().name().to_owned();
        let threads = options.shares(backend.provider(), weights);
        progress.begin(&format!("embedding with {} on {}", backbone.name, provenance.provider), None);
        let mut writer = Writer::new(sink, provenance, (threads, options.stored), source.extent.clone(), progress);
        let outcome = pipeline::run(&backend, threads, backend.unit(), list, &mut writer, &meter);
        progress.end();
        if let Err(e) = meter.finish() {
            // The features are worth more than the trace.
            progress.note(&format!("the trace is not complete: {e}"));
        }
        let sessions = outcome?;
        let left_out = source.extent.left_out();
        if left_out > 0 {
            let images = counted(left_out, "image");
            progress.note(&format!("warning: left out: {images} that no usable row of their folder's metadata names"));
        }
        let Counts { rows, rejects, truncated } = writer.counts;
        let seconds = started.elapsed().as_secs_f64();
        let stage = |stage| meter.rate(stage, rows);
        Ok(Summary {
            rows,
            rejects,
            truncated,
            left_out,
            dimension: writer.provenance.dimension,
            seconds,
            rows_per_second: Some(rows as f64 / seconds.max(f64::MIN_POSITIVE)),
            provider: Some(writer.provenance.provider.clone()),
            limited_by: Some(meter.limit(threads)),
            sessions,
            batch_size: options.batch_size.or(backend.batch_size()),
            stages: Some(Stages {
                read: stage(Limit::Read),
                decode: stage(Limit::Decode),
                run: stage(Limit::Run),
                write: stage(Limit::Write),
            }),
        })
    }
}

impl Summary {
    /// Of an extraction that ran nothing, or was not measured to its end.
    pub fn unmeasured(seconds: f64) -> Self {
        Self {
            rows: 0,
            rejects: 0,
            truncated: 0,
            left_out: 0,
            dimension: 0,
            seconds,
            rows_per_second: None,
            provider: None,
            limited_by: None,
            sessions: 0,
            batch_size: None,
            stages: None,
        }
    }
}

/// The list, once its first entry is there; `None` when it is empty. Whoever waits for standard input can be interrupted.
fn begun(mut list: List, progress: &dyn Progress) -> Result<Option<List>> {
    let (sender, receiver) = bounded(1);
    std::thread::spawn(move || {
        let first = list.next();
        let _ = sender.send(first.map(|first| -> List { Box::new(std::iter::once(first).chain(list)) }));
    });
    loop {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(list) => return Ok(list),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Data("the source of the inputs failed by a panic".to_owned()));
            }
        }
    }
}
