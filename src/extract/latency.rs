//! How long a model takes, apart from reading and preparing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::backend::Backend;
use super::meter::{Lane, Meter};
use super::options::Options;
use super::work::Work;
use crate::backbone::{Backbone, Device, Feed, Home, Runtime};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::source::Sample;

/// Runs before the clock starts.
const WARM_UP: usize = 5;

/// How long a model takes for prepared samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Samples in a batch.
    pub batch: usize,
    /// Batches that were timed.
    pub runs: usize,
    /// Median of a batch, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 of 100 batches do not exceed, in milliseconds; of fewer than 100 runs the longest.
    pub p99_ms: f64,
}

impl Latency {
    /// Samples a second at the median.
    pub fn rows_per_second(&self) -> f64 {
        1e3 * self.batch as f64 / self.p50_ms.max(f64::MIN_POSITIVE)
    }
}

/// Times `backbone` in one session of `threads` threads: batches of `batch` of the `samples` that are usable (of all, where those are
/// fewer; of one, where the backbone takes decoded images, whose sizes differ), in turn, for about `time`, after a few that are not
/// counted. What a call of the runtime takes is measured, and the pooling where it is not in the graph.
///
/// # Errors
/// As the extraction; when no sample is usable; [`Error::Interrupted`].
pub fn latency(
    (runtime, home): (&Runtime, &Home),
    backbone: &Backbone,
    samples: &[Sample],
    (device, threads, most): (Device, usize, usize),
    time: Duration,
    progress: &dyn Progress,
) -> Result<Latency> {
    // One session, and texts in batches of so many whatever their length.
    let options = Options { device, threads, workers: Some(1), batch_size: Some(most), ..Options::default() };
    let meter = Arc::new(Meter::new(None));
    let (backend, _) = Backend::open(runtime, Some(home), backbone, (&options, 0), meter, progress)?;
    let mut scratch = backend.scratch();
    let mut prepared = |samples: &[Sample]| backend.prepare(Lane::Worker(0), &mut scratch, samples).pieces;
    // One that is not would make its batch smaller.
    let usable: Vec<Sample> =
        samples.iter().filter(|sample| !prepared(std::slice::from_ref(*sample)).is_empty()).cloned().collect();
    let batch = match backbone.feed {
        Feed::Decoded => 1,
        Feed::Prepared => most.min(usable.len()),
    };
    let mut pieces = Vec::new();
    for unit in usable.chunks_exact(batch.max(1)) {
        pieces.extend(prepared(unit).into_iter().filter(|piece| piece.slots.len() == batch));
    }
    if pieces.is_empty() {
        let n = counted(samples.len(), "sample");
        return Err(Error::Data(format!("{} cannot be timed: of {n} none is usable", backbone.name)));
    }
    let mut session = backend.runner()?;
    let mut seconds = Vec::new();
    let mut started = Instant::now();
    for (run, piece) in pieces.iter().cycle().enumerate() {
        if run == WARM_UP {
            started = Instant::now();
        }
        if run > WARM_UP && started.elapsed() > time {
            break;
        }
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let begun = Instant::now();
        backend.run(&mut session, &piece.data, 0..batch)?;
        if run >= WARM_UP {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| 1e3 * seconds[((share * seconds.len() as f64).ceil() as usize).clamp(1, seconds.len()) - 1];
    Ok(Latency { batch, runs: seconds.len(), p50_ms: at(0.5), p99_ms: at(0.99) })
}
