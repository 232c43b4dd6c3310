//! The overlapped pipeline: a reader, one worker a core, a writer; every queue bounded, every row in order.
//!
//! Each worker decodes a batch and runs it through a session of its own. On few cores this beats handing batches from
//! decoding threads to one session on all cores: nothing waits, and no thread pool has to be woken for each layer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select_biased};
use ndarray::Array2;

use super::embedder::Embedded;
use crate::error::{Error, Result};
use crate::features::{Part, Provenance, Rows};
use crate::progress::Progress;
use crate::source::{Entry, List, Listed, Reject, Sample};

/// What a worker does with a batch: one outcome for each sample, in order.
pub(super) trait Embed: Send {
    fn embed(&mut self, samples: &[Sample]) -> Vec<Result<Embedded, Reject>>;
}

/// Receives what an extraction makes.
pub trait Sink {
    /// The next stretch of the input list: never empty, and in the list's order. Stretches that were done before the run
    /// are left out. The provenance is the same at every call, but that its dimension is 0 until there is a row.
    ///
    /// # Errors
    /// Its own; they end the run.
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()>;
}

/// A batch on its way to a worker; rejects of the source keep their place in the order.
struct Batch {
    index: usize,
    entries: std::ops::Range<u64>,
    digest: u128,
    samples: Vec<Sample>,
    rejects: Vec<Reject>,
}

/// A batch on its way to the writer.
struct Done {
    index: usize,
    entries: std::ops::Range<u64>,
    digest: u128,
    samples: Vec<Sample>,
    rejects: Vec<Reject>,
    outcomes: Vec<Result<Embedded, Reject>>,
}

/// Sends every entry through one of the workers to the writer.
///
/// # Errors
/// The source's, the sink's, [`Error::Interrupted`], or [`Error::Model`] when a worker panicked.
pub(super) fn run<E: Embed>(workers: &mut [E], batch_size: usize, list: List, writer: &mut Writer) -> Result<()> {
    let window = 4 * workers.len();
    let (to_workers, batches) = bounded::<Batch>(workers.len());
    let (to_writer, finished) = bounded::<Result<Done>>(window);
    // A batch needs a ticket to set out and hands it back when it is written: however slow one batch is, no more
    // than `window` wait for it.
    let (ticket_back, tickets) = bounded::<()>(window);
    for _ in 0..window {
        let _ = ticket_back.send(());
    }
    // Nothing is ever sent: dropping one end tells the holders of the other that the run is over.
    let (running, over) = bounded::<()>(0);
    let reader = {
        let (failures, over) = (to_writer.clone(), over.clone());
        std::thread::spawn(move || read(list, batch_size, &tickets, &to_workers, &failures, &over))
    };
    std::thread::scope(|scope| {
        for worker in workers {
            let (batches, to_writer, over) = (batches.clone(), to_writer.clone(), over.clone());
            scope.spawn(move || work(worker, &batches, &to_writer, &over));
        }
        drop((batches, to_writer));
        let outcome = writer.receive(&finished, &ticket_back);
        // Whoever waits to send, to receive or for a ticket wakes up and ends.
        drop((running, finished, ticket_back));
        outcome
    })?;
    // After an error nobody waits for the reader: it may itself wait, for standard input, without end.
    reader.join().map_err(|_| Error::Data("the source of the inputs failed by a panic".to_owned()))
}

fn read(
    list: List,
    batch_size: usize,
    tickets: &Receiver<()>,
    to_workers: &Sender<Batch>,
    failures: &Sender<Result<Done>>,
    over: &Receiver<()>,
) {
    let empty = |index, at| Batch { index, entries: at..at, digest: 0, samples: Vec::new(), rejects: Vec::new() };
    let mut batch = empty(0, 0);
    let send = |batch: Batch| tickets.recv().is_ok() && to_workers.send(batch).is_ok();
    for listed in list {
        if over.try_recv() == Err(TryRecvError::Disconnected) {
            return;
        }
        let Listed { position, digest, entry } = match listed {
            Ok(listed) => listed,
            Err(e) => {
                let _ = failures.send(Err(e));
                return;
            }
        };
        if batch.entries.end != position {
            // What was done before lies between.
            if !batch.entries.is_empty() {
                let next = empty(batch.index + 1, position);
                if !send(std::mem::replace(&mut batch, next)) {
                    return;
                }
            }
            batch.entries = position..position;
        }
        batch.digest = batch.digest.wrapping_add(digest);
        batch.entries.end += 1;
        match entry {
            Entry::Sample(sample) => batch.samples.push(sample),
            Entry::Reject(reject) => batch.rejects.push(reject),
        }
        if batch.samples.len() == batch_size || batch.rejects.len() == 1024 {
            let next = empty(batch.index + 1, batch.entries.end);
            if !send(std::mem::replace(&mut batch, next)) {
                return;
            }
        }
    }
    if !(batch.samples.is_empty() && batch.rejects.is_empty()) {
        send(batch);
    }
}

fn work<E: Embed>(worker: &mut E, batches: &Receiver<Batch>, to_writer: &Sender<Result<Done>>, over: &Receiver<()>) {
    loop {
        let batch = select_biased! {
            recv(over) -> _ => return,
            recv(batches) -> batch => batch,
        };
        let Ok(Batch { index, entries, digest, samples, rejects }) = batch else { return };
        // A batch that got lost would be waited for without end.
        let done = match catch_unwind(AssertUnwindSafe(|| worker.embed(&samples))) {
            Ok(outcomes) => Ok(Done { index, entries, digest, samples, rejects, outcomes }),
            Err(_) => {
                let first = samples.first().map_or("nothing", |s| s.id.as_str());
                Err(Error::model("backbone", format!("a worker panicked on the batch that begins with {first}")))
            }
        };
        let failed = done.is_err();
        if to_writer.send(done).is_err() || failed {
            return;
        }
    }
}

/// Puts batches back in order and hands them to the sink.
pub(super) struct Writer<'a> {
    sink: &'a mut dyn Sink,
    progress: &'a dyn Progress,
    pub(super) provenance: Provenance,
    pub(super) rows: usize,
    pub(super) rejects: usize,
    pub(super) truncated: usize,
    /// Time spent in the sink.
    pub(super) busy: Duration,
}

impl<'a> Writer<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink, provenance: Provenance, progress: &'a dyn Progress) -> Self {
        Self { sink, progress, provenance, rows: 0, rejects: 0, truncated: 0, busy: Duration::ZERO }
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
        let inputs = done.entries.end - done.entries.start;
        let mut rejects = done.rejects;
        let mut rows = Rows {
            ids: Vec::new(),
            labels: Vec::new(),
            contents: Vec::new(),
            kept: Vec::new(),
            matrix: Array2::default((0, 0)),
        };
        let (mut values, mut truncated) = (Vec::new(), 0);
        for (sample, outcome) in done.samples.into_iter().zip(done.outcomes) {
            match outcome {
                Ok(embedded) => {
                    let length = embedded.vector.len();
                    if self.provenance.dimension == 0 {
                        self.provenance.dimension = length;
                    }
                    if self.provenance.dimension != length {
                        let before = self.provenance.dimension;
                        let reason = format!("the embedding of {} has length {length}, others {before}", sample.id);
                        return Err(Error::model(&self.provenance.backbone, reason));
                    }
                    truncated += u64::from(embedded.truncated);
                    values.extend_from_slice(&embedded.vector);
                    rows.ids.push(sample.id);
                    rows.labels.push(sample.label);
                    rows.contents.push(Some(embedded.content));
                }
                Err(reject) => rejects.push(reject),
            }
        }
        rows.matrix = Array2::from_shape_vec((rows.ids.len(), self.provenance.dimension), values)
            .map_err(|e| Error::model(&self.provenance.backbone, e))?;
        self.rows += rows.ids.len();
        self.rejects += rejects.len();
        self.truncated += truncated as usize;
        let part = Part { entries: done.entries, digest: done.digest, rows, rejects, truncated };
        self.sink.part(part, &self.provenance)?;
        self.progress.advance(inputs);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
