//! Where the time of an extraction goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pipeline::Threads;
use super::trace::Trace;
use crate::error::Result;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Listing the inputs and reading files.
    Read,
    /// Decoding and preprocessing, or tokenising.
    Decode,
    /// The backbone.
    Run,
    /// Writing the features.
    Write,
}

impl Limit {
    pub(super) const ALL: [Limit; 4] = [Limit::Read, Limit::Decode, Limit::Run, Limit::Write];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Read => "read",
            Limit::Decode => "decode",
            Limit::Run => "run",
            Limit::Write => "write",
        }
    }
}

/// What one stage did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageRate {
    /// Seconds it was busy, summed over the threads that did it.
    pub busy_seconds: f64,
    /// Rows in each of these seconds: what one thread would reach that did nothing else.
    pub rows_per_busy_second: f64,
}

/// Busy time by stage, added up by all threads, and the trace if one is wanted.
#[derive(Debug)]
pub(super) struct Meter {
    nanoseconds: [AtomicU64; 4],
    /// Rows that the backbone has run.
    rows: AtomicU64,
    trace: Option<Trace>,
}

/// Which thread a span belongs to: workers count from 0.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    Reader,
    Writer,
    Worker(usize),
}

impl Meter {
    pub(super) fn new(trace: Option<Trace>) -> Self {
        Self { nanoseconds: Default::default(), rows: AtomicU64::new(0), trace }
    }

    pub(super) fn add(&self, stage: Limit, busy: Duration) {
        let nanoseconds = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Shows what a thread did from `started` until now in the trace.
    pub(super) fn span(&self, lane: Lane, name: &str, started: Instant, rows: usize) {
        if let Some(trace) = &self.trace {
            trace.span(lane, name, started, rows);
        }
    }

    pub(super) fn busy(&self, stage: Limit) -> f64 {
        self.nanoseconds[stage as usize].load(Ordering::Relaxed) as f64 * 1e-9
    }

    pub(super) fn rate(&self, stage: Limit, rows: usize) -> StageRate {
        let busy_seconds = self.busy(stage);
        StageRate { busy_seconds, rows_per_busy_second: rows as f64 / busy_seconds.max(1e-9) }
    }

    /// The stage whose threads are the busiest.
    pub(super) fn limit(&self, threads: Threads) -> Limit {
        let Threads { runners, preparers, .. } = threads;
        // Where nobody only prepares, those who run do it.
        let preparers = if preparers == 0 { runners } else { preparers };
        let load = |stage: Limit| {
            let threads = match stage {
                Limit::Read | Limit::Decode => preparers,
                Limit::Run => runners,
                Limit::Write => 1,
            };
            self.busy(stage) / threads.max(1) as f64
        };
        Limit::ALL.into_iter().max_by(|a, b| load(*a).total_cmp(&load(*b))).unwrap_or(Limit::Run)
    }

    /// Completes the trace file.
    ///
    /// # Errors
    /// The first that writing it met.
    pub(super) fn finish(&self) -> Result<()> {
        self.trace.as_ref().map_or(Ok(()), Trace::finish)
    }
}
