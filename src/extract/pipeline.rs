//! The overlapped pipeline: a reader, one worker a core, a writer; every queue bounded, every row in order.
//!
//! Each worker decodes a batch and runs it through a session of its own. On few cores this beats handing batches from
//! decoding threads to one session on all cores: nothing waits, and no thread pool has to be woken for each layer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use ndarray::Array2;
use serde::Serialize;

use super::embedder::{Embedded, Embedder, Spent};
use crate::backbone::{Backbone, Device, Provider, Runtime};
use crate::error::{Error, Result};
use crate::features::{Provenance, Rows};
use crate::file;
use crate::progress::Progress;
use crate::source::{Entries, Entry, Reject, Sample};

/// How an extraction runs. `Default` suits the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Where the backbone runs.
    pub device: Device,
    /// Cores to use; by default those that the process may use (affinity and cgroup limits are heeded).
    pub threads: usize,
    /// Samples in a batch.
    pub batch_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // Small batches stay in the cache, and on the CPU larger ones gain nothing.
        Self { device: Device::Auto, threads, batch_size: 8 }
    }
}

/// Receives what an extraction makes, in the order of the inputs.
pub trait Sink {
    /// Embedded rows. The provenance is the same at every call.
    ///
    /// # Errors
    /// Its own; they end the run.
    fn rows(&mut self, rows: Rows, provenance: &Provenance) -> Result<()>;
    /// An input that could not be embedded.
    ///
    /// # Errors
    /// Its own; they end the run.
    fn reject(&mut self, reject: Reject) -> Result<()>;
}

/// What took the most time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Reading, decoding and preprocessing.
    Decode,
    /// The backbone.
    Run,
    /// Writing the features.
    Write,
}

/// What an extraction did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Rows embedded.
    pub rows: usize,
    /// Inputs rejected.
    pub rejects: usize,
    /// Texts that were longer than the backbone takes, and cut.
    pub truncated: usize,
    /// Length of the embeddings; 0 when there are none.
    pub dimension: usize,
    /// Wall-clock seconds from the first input to the last row.
    pub seconds: f64,
    /// `rows / seconds`.
    pub rows_per_second: f64,
    /// The execution provider.
    pub provider: &'static str,
    /// What took the most time.
    pub limited_by: Limit,
}

/// A backbone opened on every worker, ready to run.
#[derive(Debug)]
pub struct Extraction {
    embedders: Vec<Embedder>,
    provenance: Provenance,
    batch_size: usize,
}

/// A batch on its way to a worker; rejects of the source keep their place in the order.
struct Batch {
    index: usize,
    samples: Vec<Sample>,
    rejects: Vec<Reject>,
}

/// A batch on its way to the writer.
struct Done {
    index: usize,
    samples: Vec<Sample>,
    rejects: Vec<Reject>,
    outcomes: Vec<Result<Embedded, Reject>>,
}

impl Extraction {
    /// Opens the backbone: a single-threaded session for each core on the CPU, two sessions on an accelerator, so that
    /// one decodes while the other runs.
    ///
    /// # Errors
    /// As [`Embedder::open`].
    pub fn open(runtime: &Runtime, backbone: &Backbone, options: &Options, progress: &dyn Progress) -> Result<Self> {
        let (first, note) = Embedder::open(runtime, backbone, options.device, 1)?;
        if let Some(note) = note {
            progress.note(&note);
        }
        let provider = first.provider();
        let workers = match provider {
            Provider::Cpu => options.threads.max(1),
            _ => 2,
        };
        let mut embedders = vec![first];
        for _ in 1..workers {
            embedders.push(Embedder::open(runtime, backbone, Device::Only(provider), 1)?.0);
        }
        let provenance = Provenance {
            backbone: backbone.name.clone(),
            backbone_sha256: file::sha256_file(&backbone.model)?,
            preprocessing: backbone.preprocessing.clone(),
            output: backbone.output.clone(),
            dimension: 0,
            provider: provider.name().to_owned(),
            precision: "f32".to_owned(),
            engraft_version: env!("CARGO_PKG_VERSION").to_owned(),
            onnxruntime_version: runtime.version.clone(),
        };
        Ok(Self { embedders, provenance, batch_size: options.batch_size.max(1) })
    }

    /// The provider that runs.
    pub fn provider(&self) -> &str {
        &self.provenance.provider
    }

    /// Embeds every entry. Each sample reaches the sink exactly once, as a row or as a reject, in order.
    ///
    /// # Errors
    /// The source's, the sink's, or [`Error::Interrupted`]; bad inputs are rejects, not errors.
    pub fn run(mut self, entries: Entries, sink: &mut dyn Sink, progress: &dyn Progress) -> Result<Summary> {
        let started = Instant::now();
        let workers = self.embedders.len();
        let window = 4 * workers;
        let batch_size = self.batch_size;
        let (to_workers, batches) = bounded::<Batch>(workers);
        let (to_writer, finished) = bounded::<Result<Done>>(window);
        // A batch needs a ticket to set out and hands it back when it is written: however slow one batch is, no more
        // than `window` wait for it.
        let (ticket_back, tickets) = bounded::<()>(window);
        for _ in 0..window {
            let _ = ticket_back.send(());
        }
        let stop = AtomicBool::new(false);
        let mut writer = Writer::new(sink, self.provenance.clone(), progress);
        let mut spent = Spent::default();
        let outcome = std::thread::scope(|scope| {
            let (stop, failures) = (&stop, to_writer.clone());
            scope.spawn(move || read(entries, batch_size, &tickets, &to_workers, &failures, stop));
            let handles: Vec<_> = self
                .embedders
                .iter_mut()
                .map(|embedder| {
                    let (batches, to_writer) = (batches.clone(), to_writer.clone());
                    scope.spawn(move || work(embedder, &batches, &to_writer, stop))
                })
                .collect();
            drop((batches, to_writer));
            let outcome = writer.receive(&finished, &ticket_back);
            stop.store(true, Ordering::Relaxed);
            // Whoever waits to send or for a ticket wakes up and ends.
            drop((finished, ticket_back));
            for handle in handles {
                if handle.join().is_err() {
                    return Err(Error::model(&writer.provenance.backbone, "a worker thread failed"));
                }
            }
            outcome
        });
        outcome?;
        for embedder in &self.embedders {
            spent.decode += embedder.spent.decode;
            spent.run += embedder.spent.run;
        }
        Ok(writer.summary(started.elapsed(), spent, workers))
    }
}

fn read(
    entries: Entries,
    batch_size: usize,
    tickets: &Receiver<()>,
    to_workers: &Sender<Batch>,
    failures: &Sender<Result<Done>>,
    stop: &AtomicBool,
) {
    let empty = |index| Batch { index, samples: Vec::new(), rejects: Vec::new() };
    let mut batch = empty(0);
    let send = |batch: Batch| tickets.recv().is_ok() && to_workers.send(batch).is_ok();
    for entry in entries {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match entry {
            Ok(Entry::Sample(sample)) => batch.samples.push(sample),
            Ok(Entry::Reject(reject)) => batch.rejects.push(reject),
            Err(e) => {
                let _ = failures.send(Err(e));
                return;
            }
        }
        if batch.samples.len() == batch_size || batch.rejects.len() == 1024 {
            let next = empty(batch.index + 1);
            if !send(std::mem::replace(&mut batch, next)) {
                return;
            }
        }
    }
    if !(batch.samples.is_empty() && batch.rejects.is_empty()) {
        send(batch);
    }
}

fn work(embedder: &mut Embedder, batches: &Receiver<Batch>, to_writer: &Sender<Result<Done>>, stop: &AtomicBool) {
    for Batch { index, samples, rejects } in batches {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let outcomes = embedder.embed(&samples);
        if to_writer.send(Ok(Done { index, samples, rejects, outcomes })).is_err() {
            return;
        }
    }
}

/// Puts batches back in order and hands them to the sink.
struct Writer<'a> {
    sink: &'a mut dyn Sink,
    provenance: Provenance,
    progress: &'a dyn Progress,
    rows: usize,
    rejects: usize,
    truncated: usize,
    busy: Duration,
}

impl<'a> Writer<'a> {
    fn new(sink: &'a mut dyn Sink, provenance: Provenance, progress: &'a dyn Progress) -> Self {
        Self { sink, provenance, progress, rows: 0, rejects: 0, truncated: 0, busy: Duration::ZERO }
    }

    fn receive(&mut self, finished: &Receiver<Result<Done>>, ticket_back: &Sender<()>) -> Result<()> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        loop {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let done = match finished.recv_timeout(Duration::from_millis(100)) {
                Ok(done) => done?,
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => continue,
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return Ok(()),
            };
            waiting.insert(done.index, done);
            while let Some(done) = waiting.remove(&next) {
                let started = Instant::now();
                self.write(done)?;
                self.busy += started.elapsed();
                next += 1;
                let _ = ticket_back.try_send(());
            }
        }
    }

    fn write(&mut self, done: Done) -> Result<()> {
        let inputs = done.samples.len() + done.rejects.len();
        for reject in done.rejects {
            self.rejects += 1;
            self.sink.reject(reject)?;
        }
        let (mut ids, mut labels, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        let mut values = Vec::new();
        for (sample, outcome) in done.samples.into_iter().zip(done.outcomes) {
            match outcome {
                Ok(embedded) => {
                    if self.provenance.dimension == 0 {
                        self.provenance.dimension = embedded.vector.len();
                    }
                    self.truncated += usize::from(embedded.truncated);
                    values.extend_from_slice(&embedded.vector);
                    ids.push(sample.id);
                    labels.push(sample.label);
                    contents.push(Some(embedded.content));
                }
                Err(reject) => {
                    self.rejects += 1;
                    self.sink.reject(reject)?;
                }
            }
        }
        if !ids.is_empty() {
            self.rows += ids.len();
            let matrix = Array2::from_shape_vec((ids.len(), self.provenance.dimension), values)
                .map_err(|e| Error::model(&self.provenance.backbone, format!("embeddings differ in length ({e})")))?;
            self.sink.rows(Rows { ids, labels, contents, matrix }, &self.provenance)?;
        }
        self.progress.advance(inputs as u64);
        Ok(())
    }

    fn summary(self, elapsed: Duration, spent: Spent, workers: usize) -> Summary {
        let seconds = elapsed.as_secs_f64();
        // The workers share their time between decoding and running; the writer has a thread of its own.
        let share = |d: Duration| d.as_secs_f64() / workers as f64;
        let stages = [
            (Limit::Decode, share(spent.decode)),
            (Limit::Run, share(spent.run)),
            (Limit::Write, self.busy.as_secs_f64()),
        ];
        let limited_by = stages.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Limit::Run, |s| s.0);
        Summary {
            rows: self.rows,
            rejects: self.rejects,
            truncated: self.truncated,
            dimension: self.provenance.dimension,
            seconds,
            rows_per_second: self.rows as f64 / seconds.max(f64::MIN_POSITIVE),
            provider: provider_name(&self.provenance),
            limited_by,
        }
    }
}

fn provider_name(provenance: &Provenance) -> &'static str {
    Provider::ALL.iter().map(|p| p.name()).find(|n| *n == provenance.provider).unwrap_or("cpu")
}
