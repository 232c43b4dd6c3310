//! How an extraction runs.

use std::path::PathBuf;
use std::sync::Arc;

use super::pipeline::{Number, Threads};
use super::sizes::Sizes;
use crate::backbone::{Device, Provider, RunPrecision};
use crate::features::Precision;
use crate::preprocess::Preprocessing;

/// What the sessions of one run may hold in weights together: each has its own.
const WEIGHTS_LIMIT: u64 = 4 << 30;
/// Texts that are tokenised by one thread, and put into batches by their length.
const TEXT_UNIT: usize = 2048;
/// Images that are decoded by one thread for an accelerator; those that are ready are joined.
const IMAGE_UNIT: usize = 16;
/// Images in a batch on an accelerator, where nothing else is asked for.
const JOINED: usize = 128;

/// How an extraction runs. `Default` suits the machine: what is not given is measured on the first batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the backbone runs.
    pub device: Device,
    /// Cores to use; by default those that the process may use (affinity and cgroup limits are heeded).
    pub threads: usize,
    /// Sessions that run side by side. By default one a core on the CPU, or three quarters or half as many if that turns
    /// out faster; fewer with more threads each where the weights of so many would fill the memory (4 GiB). Two on an
    /// accelerator, so that one copies while the other computes.
    pub workers: Option<usize>,
    /// Samples in a batch. By default images come in batches of 4, 8 or 16 on the CPU, whichever turns out fastest, and on an
    /// accelerator as they are ready, up to 128; texts are counted by their tokens.
    pub batch_size: Option<usize>,
    /// Tokens in a batch of texts, padding included, where `batch_size` is not given. By default 256, 512 or 1,024 on the
    /// CPU and 8,192 to 32,768 on an accelerator, whichever turns out fastest.
    pub batch_tokens: Option<usize>,
    /// Of the backbone's arithmetic.
    pub run_precision: RunPrecision,
    /// Of the stored vectors: a row that it cannot hold is a reject.
    pub stored: Precision,
    /// A file for what each thread did when, in the Trace Event Format.
    pub trace: Option<PathBuf>,
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

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            device: Device::Auto,
            threads,
            workers: None,
            batch_size: None,
            batch_tokens: None,
            run_precision: RunPrecision::F32,
            stored: Precision::F32,
            trace: None,
        }
    }
}

impl Options {
    /// Sessions on the CPU for a model with so many bytes of weights, and the threads of each.
    pub(super) fn sessions(&self, weights: u64) -> (usize, usize) {
        let cores = self.threads.max(1);
        let affordable = usize::try_from(WEIGHTS_LIMIT / weights.max(1)).unwrap_or(usize::MAX).max(1);
        let sessions = self.workers.unwrap_or(cores.min(affordable)).max(1);
        (sessions, (cores / sessions).max(1))
    }

    /// Who runs and who prepares on this provider.
    pub(super) fn shares(&self, provider: Provider, weights: u64) -> Threads {
        match provider {
            Provider::Cpu => Threads {
                runners: self.sessions(weights).0,
                preparers: 0,
                runners_are: if self.workers.is_some() { Number::Fixed } else { Number::AtMost },
            },
            _ => Threads {
                runners: self.workers.unwrap_or(2).max(1),
                preparers: self.threads.max(1),
                runners_are: Number::Fixed,
            },
        }
    }

    /// Rows in the largest batch on an accelerator, and tokens in each.
    pub(super) fn greatest_batch(&self, preprocessing: &Preprocessing) -> (usize, usize) {
        match preprocessing {
            Preprocessing::Image(_) => (self.batch_size.unwrap_or(JOINED).max(1), 1),
            Preprocessing::Text(spec) => (self.batch_size.unwrap_or(TEXT_UNIT), spec.max_length),
        }
    }

    /// How batches are made on this provider.
    pub(super) fn batching(&self, provider: Provider, preprocessing: &Preprocessing) -> Batching {
        let on_cpu = provider == Provider::Cpu;
        let sizes = |unit, sizes: &[usize]| Arc::new(Sizes::new(unit, sizes));
        match (preprocessing, self.batch_size) {
            (Preprocessing::Image(_), size) if on_cpu => {
                let sizes = match size {
                    None => sizes("image", &[4, 8, 16]),
                    Some(size) => sizes("image", &[size]),
                };
                Batching { unit: sizes.clone(), sizes, most_texts: 0, join_up_to: 1 }
            }
            (Preprocessing::Image(_), size) => {
                let size = size.unwrap_or(JOINED).max(1);
                // Whole units, so that no batch is larger than it should be.
                let unit = size / size.div_ceil(IMAGE_UNIT);
                let units = sizes("image", &[unit]);
                Batching { unit: units.clone(), sizes: units, most_texts: 0, join_up_to: size - size % unit }
            }
            (Preprocessing::Text(_), size) => {
                let tokens: &[usize] = match (self.batch_tokens, size) {
                    (None, Some(_)) => &[usize::MAX],
                    (Some(tokens), _) => &[tokens],
                    (None, None) if on_cpu => &[256, 512, 1024],
                    (None, None) => &[8192, 16_384, 32_768],
                };
                Batching {
                    unit: sizes("text", &[TEXT_UNIT]),
                    sizes: sizes("token", tokens),
                    most_texts: size.unwrap_or(TEXT_UNIT),
                    join_up_to: 1,
                }
            }
        }
    }
}
