//! Puts what the workers made back in the order of the input list, and hands it to the sink.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use ndarray::Array2;

use super::meter::{Lane, Limit, Meter};
use super::pipeline::{Number, Threads};
use super::share::{Active, Search};
use super::work::Checked;
use crate::error::{Error, Result};
use crate::features::{Part, Precision, Provenance, Rows};
use crate::progress::Progress;
use crate::source::{Entry, Extent, Listed, Reject, Sample, Stage};

/// So many inputs in a row that all fail in the backbone mean that it is the backbone that failed, or its device.
const MOST_FAILURES: usize = 1000;
/// How often the state is told.
const TELL: Duration = Duration::from_millis(250);

/// Receives what an extraction makes.
pub trait Sink {
    /// The next stretch of the input list: never empty, and in the list's order. Stretches that were done before the run
    /// are left out. The provenance is the same at every call, but that its dimension is 0 until there is a row.
    ///
    /// # Errors
    /// Its own; they end the run.
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()>;
}

/// Adjacent entries of the input list.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) entries: Range<u64>,
    /// As [`Listed::within`].
    within: Option<u64>,
    pub(super) digest: u128,
    pub(super) samples: Vec<Sample>,
    pub(super) rejects: Vec<Reject>,
}

impl Head {
    pub(super) fn new(first: &Listed) -> Self {
        let Listed { position, within, .. } = *first;
        Self { entries: position..position, within, digest: 0, samples: Vec::new(), rejects: Vec::new() }
    }

    /// Whether this entry may be the next.
    pub(super) fn takes(&self, listed: &Listed) -> bool {
        (self.entries.end, self.within) == (listed.position, listed.within)
    }

    /// Takes the next entry, which must be one that it [takes](Self::takes).
    pub(super) fn push(&mut self, listed: Listed) {
        self.entries.end = listed.position + 1;
        self.digest = self.digest.wrapping_add(listed.digest);
        match listed.entry {
            Entry::Sample(sample) => self.samples.push(sample),
            Entry::Reject(reject) => self.rejects.push(reject),
        }
    }
}

/// What the other threads tell the writer. Units are numbered in the order of the list.
pub(super) enum Message {
    /// A unit is prepared; its pieces are on their way.
    Prepared { unit: usize, head: Head, checked: Vec<Result<Checked, Reject>>, pieces: usize },
    /// A piece of a unit has been run: places of samples in the unit and their embeddings, or why there are none.
    Ran { unit: usize, rows: Vec<(usize, Result<Vec<f32>, String>)> },
    /// A fact for the user.
    Note(String),
    /// The list has ended; there are this many units.
    End { units: usize },
    /// The run is over.
    Failed(Error),
}

/// A unit of which not all has arrived.
#[derive(Default)]
struct Pending {
    prepared: Option<(Head, Vec<Result<Checked, Reject>>)>,
    /// Pieces that ran, less those there are: 0 when the unit is complete.
    balance: isize,
    rows: Vec<(usize, Result<Vec<f32>, String>)>,
}

type Complete = (Head, Vec<Result<Checked, Reject>>, Vec<(usize, Result<Vec<f32>, String>)>);

/// Takes the unit out if all of it is there.
fn complete(waiting: &mut BTreeMap<usize, Pending>, unit: usize) -> Option<Complete> {
    let pending = waiting.remove(&unit)?;
    match pending {
        Pending { prepared: Some((head, checked)), balance: 0, rows } => Some((head, checked, rows)),
        incomplete => {
            waiting.insert(unit, incomplete);
            None
        }
    }
}

pub(super) struct Writer<'a> {
    pub(super) sink: &'a mut dyn Sink,
    pub(super) progress: &'a dyn Progress,
    pub(super) extent: Arc<Extent>,
    pub(super) threads: Threads,
    pub(super) stored: Precision,
    pub(super) provenance: Provenance,
    pub(super) counts: Counts,
    began: Instant,
    told: Instant,
    failures: usize,
    /// Stretches that wait for the end of a series of failures.
    held: Vec<Part>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) rows: usize,
    pub(super) rejects: usize,
    pub(super) truncated: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        sink: &'a mut dyn Sink,
        provenance: Provenance,
        (threads, stored): (Threads, Precision),
        extent: Arc<Extent>,
        progress: &'a dyn Progress,
    ) -> Self {
        let (began, counts) = (Instant::now(), Counts::default());
        Self {
            sink,
            progress,
            extent,
            threads,
            stored,
            provenance,
            counts,
            began,
            told: began,
            failures: 0,
            held: Vec::new(),
        }
    }

    /// Receives until all units are written.
    pub(super) fn receive(
        &mut self,
        messages: &Receiver<Message>,
        ticket_back: &Sender<()>,
        meter: &Meter,
        active: &Active,
    ) -> Result<()> {
        let mut search = match self.threads.runners_are {
            Number::Fixed => None,
            Number::AtMost => Search::new(self.threads.runners),
        };
        let mut waiting: BTreeMap<usize, Pending> = BTreeMap::new();
        let (mut next, mut units) = (0, usize::MAX);
        while next < units {
            if self.progress.interrupted() {
                return Err(Error::Interrupted);
            }
            match messages.recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Prepared { unit, head, checked, pieces }) => {
                    let pending = waiting.entry(unit).or_default();
                    pending.balance -= isize::try_from(pieces).unwrap_or(isize::MAX);
                    pending.prepared = Some((head, checked));
                }
                Ok(Message::Ran { unit, rows }) => {
                    let pending = waiting.entry(unit).or_default();
                    pending.balance += 1;
                    pending.rows.extend(rows);
                }
                Ok(Message::Note(note)) => self.progress.note(&note),
                Ok(Message::End { units: all }) => units = all,
                Ok(Message::Failed(e)) => return Err(e),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Data("the workers ended before the inputs did".to_owned()));
                }
            }
            while let Some((head, checked, rows)) = complete(&mut waiting, next) {
                let started = Instant::now();
                let samples = head.samples.len();
                self.write(head, checked, rows)?;
                meter.add(Limit::Write, started.elapsed());
                meter.span(Lane::Writer, "write", started, samples);
                next += 1;
                let _ = ticket_back.try_send(());
            }
            if let Some(note) = search.as_mut().and_then(|s| s.observe(active, meter.rows(), Instant::now())) {
                self.progress.note(&note);
                search = None;
            }
            self.tell(meter);
        }
        self.release()
    }

    fn write(
        &mut self,
        head: Head,
        checked: Vec<Result<Checked, Reject>>,
        rows: Vec<(usize, Result<Vec<f32>, String>)>,
    ) -> Result<()> {
        let Head { entries, digest, samples, mut rejects, .. } = head;
        let mut vectors: Vec<Option<Result<Vec<f32>, String>>> = Vec::new();
        vectors.resize_with(samples.len(), || None);
        for (slot, vector) in rows {
            if let Some(place) = vectors.get_mut(slot) {
                *place = Some(vector);
            }
        }
        let columns = samples.first().map_or(0, |sample| sample.kept.len());
        let mut rows = Rows {
            ids: Vec::with_capacity(samples.len()),
            labels: Vec::with_capacity(samples.len()),
            contents: Vec::with_capacity(samples.len()),
            kept: vec![Vec::with_capacity(samples.len()); columns],
            matrix: Array2::default((0, 0)),
        };
        let mut values = Vec::with_capacity(samples.len() * self.provenance.dimension);
        let mut truncated = 0;
        for ((sample, checked), vector) in samples.into_iter().zip(checked).zip(vectors) {
            let checked = match checked {
                Ok(checked) => checked,
                Err(reject) => {
                    rejects.push(reject);
                    continue;
                }
            };
            let vector = match vector.unwrap_or_else(|| Err("the backbone returned too few rows".to_owned())) {
                Ok(vector) => vector,
                Err(reason) => {
                    self.failures += 1;
                    if self.failures == MOST_FAILURES {
                        let reason =
                            format!("the last {MOST_FAILURES} inputs all failed in it, {}: {reason}", sample.id);
                        return Err(Error::model(&self.provenance.backbone, reason));
                    }
                    rejects.push(Reject { id: sample.id, stage: Stage::Run, reason });
                    continue;
                }
            };
            self.failures = 0;
            if self.provenance.dimension == 0 {
                self.provenance.dimension = vector.len();
            }
            if self.provenance.dimension != vector.len() {
                let (length, before) = (vector.len(), self.provenance.dimension);
                let reason = format!("the embedding of {} has length {length}, others {before}", sample.id);
                return Err(Error::model(&self.provenance.backbone, reason));
            }
            truncated += u64::from(checked.truncated);
            values.extend_from_slice(&vector);
            rows.ids.push(sample.id);
            rows.labels.push(sample.label);
            rows.contents.push(Some(checked.content));
            for (column, value) in rows.kept.iter_mut().zip(sample.kept) {
                column.push(value);
            }
        }
        rows.matrix = Array2::from_shape_vec((rows.ids.len(), self.provenance.dimension), values)
            .map_err(|e| Error::model(&self.provenance.backbone, e))?;
        let part = Part { entries, digest, rows, rejects, truncated };
        if part.rows.ids.is_empty() && self.failures > 0 && self.held.len() < MOST_FAILURES {
            // It may be the backbone that fails, and then these are no rejects.
            self.held.push(part);
            return Ok(());
        }
        self.release()?;
        self.pass(part)
    }

    /// Passes on what was held back.
    fn release(&mut self) -> Result<()> {
        std::mem::take(&mut self.held).into_iter().try_for_each(|part| self.pass(part))
    }

    fn pass(&mut self, part: Part) -> Result<()> {
        let part = part.stored_as(self.stored);
        self.counts.rows += part.rows.ids.len();
        self.counts.rejects += part.rejects.len();
        self.counts.truncated += usize::try_from(part.truncated).unwrap_or(usize::MAX);
        let advance = part.entries.end - part.entries.start;
        self.sink.part(part, &self.provenance)?;
        self.progress.advance(advance);
        Ok(())
    }

    /// Tells how fast it goes and what holds it up.
    fn tell(&mut self, meter: &Meter) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        let Counts { rows, rejects, .. } = self.counts;
        let rate = rows as f64 / self.began.elapsed().as_secs_f64();
        let limit = meter.limit(self.threads).name();
        let rejects = if rejects > 0 { format!(", {rejects} rejected") } else { String::new() };
        self.progress.state(&format!("{rate:.0}/s{rejects}, limited by {limit}"), self.extent.fraction());
    }
}
