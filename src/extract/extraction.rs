//! A backbone opened on every core, and what it did.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::embedder::{Embedder, Spent};
use super::pipeline::{self, Sink, Writer};
use crate::backbone::{Backbone, Device, Provider, Runtime};
use crate::error::{Error, Result};
use crate::features::Provenance;
use crate::file;
use crate::onnx;
use crate::progress::Progress;
use crate::source::Source;

/// What the sessions of one run may hold in weights together: each has its own.
const WEIGHTS_LIMIT: u64 = 4 << 30;

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

impl Limit {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Decode => "decode",
            Limit::Run => "run",
            Limit::Write => "write",
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // Small batches stay in the cache, and on the CPU larger ones gain nothing.
        Self { device: Device::Auto, threads, batch_size: 8 }
    }
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
    provider: Provider,
    provenance: Provenance,
    batch_size: usize,
}

impl Extraction {
    /// Opens the backbone: a single-threaded session for each core on the CPU, fewer with more threads each where the
    /// weights of so many would fill the memory (4 GiB); two sessions on an accelerator, so that one decodes while the
    /// other runs.
    ///
    /// # Errors
    /// As [`Embedder::open`]; [`Error::Interrupted`].
    pub fn open(runtime: &Runtime, backbone: &Backbone, options: &Options, progress: &dyn Progress) -> Result<Self> {
        let weights = Weights::of(&backbone.model)?;
        let cores = options.threads.max(1);
        let affordable = usize::try_from(WEIGHTS_LIMIT / weights.bytes.max(1)).unwrap_or(usize::MAX).max(1);
        let on_cpu = cores.min(affordable);
        let threads = cores / on_cpu;
        let (first, note) = Embedder::open(runtime, backbone, options.device, threads)?;
        if let Some(note) = note {
            progress.note(&note);
        }
        let provider = first.provider();
        let workers = match provider {
            Provider::Cpu => on_cpu,
            _ => 2,
        };
        let mut embedders = vec![first];
        for _ in 1..workers {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            // What `auto` chose is now certain: a second choice could differ.
            embedders.push(Embedder::open(runtime, backbone, Device::Only(provider), threads)?.0);
        }
        let provenance = Provenance {
            backbone: backbone.name.clone(),
            backbone_sha256: weights.sha256,
            tokenizer_sha256: backbone.tokenizer.as_deref().map(file::sha256_file).transpose()?,
            preprocessing: backbone.preprocessing.clone(),
            output: backbone.output.clone(),
            dimension: 0,
            provider: provider.name().to_owned(),
            precision: "f32".to_owned(),
            engraft_version: env!("CARGO_PKG_VERSION").to_owned(),
            onnxruntime_version: runtime.version.clone(),
        };
        Ok(Self { embedders, provider, provenance, batch_size: options.batch_size.max(1) })
    }

    /// The provider that runs.
    pub fn provider(&self) -> &'static str {
        self.provider.name()
    }

    /// What makes the features; the dimension is 0 until there is a row.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Embeds every entry. Each sample reaches the sink exactly once, as a row or as a reject.
    ///
    /// # Errors
    /// The source's, the sink's, or [`Error::Interrupted`]; bad inputs are rejects, not errors.
    pub fn run(mut self, source: Source, sink: &mut dyn Sink, progress: &dyn Progress) -> Result<Summary> {
        let started = Instant::now();
        let mut writer = Writer::new(sink, self.provenance, progress);
        pipeline::run(&mut self.embedders, self.batch_size, source.list, &mut writer)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut spent = Spent::default();
        for embedder in &self.embedders {
            spent.decode += embedder.spent.decode;
            spent.run += embedder.spent.run;
        }
        // The workers share their time between decoding and running; the writer has a thread of its own.
        let share = |d: Duration| d.as_secs_f64() / self.embedders.len() as f64;
        let stages = [
            (Limit::Decode, share(spent.decode)),
            (Limit::Run, share(spent.run)),
            (Limit::Write, writer.busy.as_secs_f64()),
        ];
        let limited_by = stages.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Limit::Run, |s| s.0);
        Ok(Summary {
            rows: writer.rows,
            rejects: writer.rejects,
            truncated: writer.truncated,
            dimension: writer.provenance.dimension,
            seconds,
            rows_per_second: writer.rows as f64 / seconds.max(f64::MIN_POSITIVE),
            provider: self.provider.name(),
            limited_by,
        })
    }
}

/// What the weights of a model are, wherever they lie.
struct Weights {
    /// Of the ONNX file; where it keeps weights in other files, of the list of all their digests.
    sha256: String,
    bytes: u64,
}

impl Weights {
    fn of(model: &Path) -> Result<Self> {
        let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io("read", path));
        let mut digests = vec![file::sha256_file(model)?];
        let mut bytes = size(model)?;
        for name in onnx::external_files(&onnx::read_model(model)?) {
            let path = model.with_file_name(name);
            digests.push(file::sha256_file(&path)?);
            bytes = bytes.saturating_add(size(&path)?);
        }
        let sha256 = match &digests[..] {
            [alone] => alone.clone(),
            all => file::sha256_hex(all.join(" ").as_bytes()),
        };
        Ok(Self { sha256, bytes })
    }
}
