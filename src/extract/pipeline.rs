//! The overlapped pipeline: a reader, workers that prepare and run, a writer; every queue bounded, every row in order.
//!
//! The reader cuts the input list into units. A worker takes what is ready to run before it prepares more, so on the CPU,
//! where each worker prepares and runs, the cores go to whichever of the two is behind and nothing waits; on an accelerator
//! few workers run and the others prepare.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, never, select_biased, unbounded};

use super::meter::{Lane, Limit, Meter};
use super::share::Active;
use super::sizes::Sizes;
use super::work::{Piece, Prepared, Work};
use super::writer::{Head, Message, Writer};
use crate::error::{Error, Result};
use crate::source::{List, Listed};

/// How many rejects of the source a unit gathers before it sets out without samples.
const MOST_REJECTS: usize = 1024;

/// How many bytes of texts and images a unit gathers before it sets out with fewer samples.
const MOST_BYTES: usize = 32 << 20;
/// How often a worker that has nothing to do looks whether it may run.
const LOOK: Duration = Duration::from_millis(100);

/// The threads of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threads {
    /// They run; where there are no others, they prepare too.
    pub(super) runners: usize,
    /// They only prepare.
    pub(super) preparers: usize,
    /// Whether fewer runners are tried.
    pub(super) runners_are: Number,
}

/// Whether a number was given or may be changed by what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Fixed,
    AtMost,
}

/// A stretch of the input list on its way to a worker.
struct Unit {
    index: usize,
    head: Head,
}

/// A piece on its way to a runner.
struct Job<D> {
    unit: usize,
    piece: Piece<D>,
}

/// The ends of the channels that every worker holds.
struct Queues<D> {
    units: Receiver<Unit>,
    jobs: Receiver<Job<D>>,
    to_runners: Sender<Job<D>>,
    to_writer: Sender<Message>,
    over: Receiver<()>,
}

impl<D> Clone for Queues<D> {
    fn clone(&self) -> Self {
        Self {
            units: self.units.clone(),
            jobs: self.jobs.clone(),
            to_runners: self.to_runners.clone(),
            to_writer: self.to_writer.clone(),
            over: self.over.clone(),
        }
    }
}

/// Sends every entry of the list through the workers to the writer. A unit takes as many samples as `unit` says when it is
/// begun. Returns how many runners there were in the end.
///
/// # Errors
/// The source's, the sink's, those of opening a runner, [`Error::Interrupted`], or [`Error::Model`] when a worker panicked.
pub(super) fn run<W: Work>(
    work: &W,
    threads: Threads,
    unit: &Arc<Sizes>,
    list: List,
    writer: &mut Writer,
    meter: &Arc<Meter>,
) -> Result<usize> {
    let workers = threads.runners + threads.preparers;
    // A unit needs a ticket to set out and hands it back when it is written: however slow one is, no more than these wait for
    // it. So the other channels need no bound of their own.
    let window = 2 * workers + 2;
    let (ticket_back, tickets) = bounded::<()>(window);
    for _ in 0..window {
        let _ = ticket_back.send(());
    }
    let (to_workers, units) = unbounded::<Unit>();
    let (to_runners, jobs) = unbounded::<Job<W::Data>>();
    let (to_writer, finished) = unbounded::<Message>();
    // Nothing is ever sent: dropping one end tells the holders of the other that the run is over.
    let (running, over) = bounded::<()>(0);
    let active = Active::new(threads.runners);
    let queues = Queues { units, jobs, to_runners, to_writer, over };
    let reader = {
        let (to_writer, over) = (queues.to_writer.clone(), queues.over.clone());
        let reader = Reader { size: unit.clone(), tickets, to_workers, to_writer, over, meter: meter.clone() };
        std::thread::spawn(move || reader.read(list))
    };
    std::thread::scope(|scope| {
        for index in 0..workers {
            let role = match (index < threads.runners, threads.preparers) {
                (true, 0) => Role::Both,
                (true, _) => Role::Run,
                (false, _) => Role::Prepare,
            };
            let worker = Worker { work, lane: Lane::Worker(index), queues: queues.clone(), meter };
            let active = &active;
            scope.spawn(move || worker.work(role, || index < active.get()));
        }
        drop(queues);
        let outcome = writer.receive(&finished, &ticket_back, meter, &active);
        // Whoever waits to receive or for a ticket wakes up and ends.
        drop((running, finished, ticket_back));
        outcome
    })?;
    // After an error nobody waits for the reader: it may itself wait, for standard input, without end.
    reader.join().map_err(|_| Error::Data("the source of the inputs failed by a panic".to_owned()))?;
    Ok(active.get())
}

/// Cuts the list into units.
struct Reader {
    size: Arc<Sizes>,
    tickets: Receiver<()>,
    to_workers: Sender<Unit>,
    to_writer: Sender<Message>,
    over: Receiver<()>,
    meter: Arc<Meter>,
}

impl Reader {
    fn read(self, mut list: List) {
        let mut index = 0;
        let mut pending: Option<Listed> = None;
        loop {
            let started = Instant::now();
            // A panicking source would otherwise be waited for.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.gather(&mut list, &mut pending)))
                .unwrap_or_else(|_| Err(Error::Data("the source of the inputs failed by a panic".to_owned())));
            self.meter.add(Limit::Read, started.elapsed());
            let head = match outcome {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(e) => {
                    let _ = self.to_writer.send(Message::Failed(e));
                    return;
                }
            };
            self.meter.span(Lane::Reader, "list", started, head.samples.len());
            if self.tickets.recv().is_err() || self.to_workers.send(Unit { index, head }).is_err() {
                return;
            }
            index += 1;
        }
        let _ = self.to_writer.send(Message::End { units: index });
    }

    /// The next unit: adjacent entries. An entry that is not adjacent waits in `pending`.
    fn gather(&self, list: &mut List, pending: &mut Option<Listed>) -> Result<Option<Head>> {
        let size = self.size.next();
        let mut head: Option<Head> = None;
        let mut bytes = 0;
        loop {
            let listed = match pending.take().map(Ok).or_else(|| list.next()) {
                None => return Ok(head),
                Some(listed) => listed?,
            };
            // The run is over, and the list may be endless.
            if self.over.try_recv() == Err(TryRecvError::Disconnected) {
                return Ok(None);
            }
            let mut unit = head.take().unwrap_or_else(|| Head::new(&listed));
            if !unit.takes(&listed) {
                // What was done before lies between, or one of the two is done again.
                *pending = Some(listed);
                return Ok(Some(unit));
            }
            bytes += listed.entry.bytes();
            unit.push(listed);
            if unit.samples.len() >= size || unit.rejects.len() >= MOST_REJECTS || bytes >= MOST_BYTES {
                return Ok(Some(unit));
            }
            head = Some(unit);
        }
    }
}

/// What a worker takes from the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Both,
    Run,
    Prepare,
}

struct Worker<'a, W: Work> {
    work: &'a W,
    lane: Lane,
    queues: Queues<W::Data>,
    meter: &'a Meter,
}

impl<W: Work> Worker<'_, W> {
    /// Works until the run is over; runs only while `may_run`.
    fn work(self, role: Role, may_run: impl Fn() -> bool) {
        let mut scratch = self.work.scratch();
        let mut runner = None;
        let all_jobs = if role == Role::Prepare { never() } else { self.queues.jobs.clone() };
        let nothing = never();
        let mut units = if role == Role::Run { never() } else { self.queues.units.clone() };
        loop {
            let jobs = if may_run() { &all_jobs } else { &nothing };
            let outcome = select_biased! {
                recv(self.queues.over) -> _ => return,
                recv(jobs) -> job => match job {
                    Ok(job) => self.guarded(job.unit, || self.run(&mut runner, job)),
                    Err(_) => return,
                },
                recv(units) -> unit => match unit {
                    Ok(unit) => self.guarded(unit.index, || self.prepare(&mut scratch, unit)),
                    Err(_) => {
                        // All is listed: what is left is to run.
                        units = never();
                        continue;
                    }
                },
                // Whether it may run can have changed.
                default(LOOK) => continue,
            };
            if let Err(e) = outcome {
                let _ = self.queues.to_writer.send(Message::Failed(e));
                return;
            }
        }
    }

    /// A panic is an error: a unit that got lost would be waited for without end.
    fn guarded(&self, unit: usize, action: impl FnOnce() -> Result<()>) -> Result<()> {
        catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|_| {
            Err(Error::model("backbone", format!("a worker panicked on batch {unit}; this is a fault of engraft's")))
        })
    }

    fn prepare(&self, scratch: &mut W::Scratch, unit: Unit) -> Result<()> {
        let Unit { index, head } = unit;
        let started = Instant::now();
        let Prepared { checked, pieces } = self.work.prepare(self.lane, scratch, &head.samples);
        self.meter.span(self.lane, "prepare", started, head.samples.len());
        let _ = self.queues.to_writer.send(Message::Prepared { unit: index, head, checked, pieces: pieces.len() });
        for piece in pieces {
            let _ = self.queues.to_runners.send(Job { unit: index, piece });
        }
        Ok(())
    }

    /// Runs a job, with others that are ready where they fit into one batch.
    fn run(&self, runner: &mut Option<W::Runner>, first: Job<W::Data>) -> Result<()> {
        let runner = match runner {
            Some(runner) => runner,
            None => runner.insert(self.work.runner()?),
        };
        let most = self.work.join_up_to();
        let mut rows = first.piece.slots.len();
        let (goal, mut places, mut data) =
            (first.piece.goal, vec![(first.unit, first.piece.slots)], vec![first.piece.data]);
        while rows < most {
            let Ok(Job { unit, piece }) = self.queues.jobs.try_recv() else { break };
            rows += piece.slots.len();
            places.push((unit, piece.slots));
            data.push(piece.data);
        }
        let goal = if places.len() > 1 { rows } else { goal };
        let data = self.work.join(data);
        let started = Instant::now();
        let mut outcomes = Vec::with_capacity(rows);
        self.run_rows(runner, &data, 0..rows, &mut outcomes);
        self.meter.span(self.lane, "run", started, rows);
        self.meter.add_rows(rows);
        if let Some(note) = self.work.record(goal, &data, started.elapsed()) {
            let _ = self.queues.to_writer.send(Message::Note(note));
        }
        self.work.recycle(data);
        let mut outcomes = outcomes.into_iter();
        for (unit, slots) in places {
            let rows = slots.into_iter().zip(outcomes.by_ref()).collect();
            let _ = self.queues.to_writer.send(Message::Ran { unit, rows });
        }
        Ok(())
    }

    /// Runs rows together if that works. What is too much for the memory is halved, and what fails otherwise is run row by row,
    /// so that only the guilty row is lost.
    fn run_rows(
        &self,
        runner: &mut W::Runner,
        data: &W::Data,
        rows: Range<usize>,
        outcomes: &mut Vec<Result<Vec<f32>, String>>,
    ) {
        let expected = rows.len();
        let failure = match self.work.run(runner, data, rows.clone()) {
            Ok(matrix) if matrix.nrows() == expected => {
                return outcomes.extend(matrix.outer_iter().map(|row| usable(row.to_vec())));
            }
            Ok(matrix) => Error::model("backbone", format!("it gave {} rows for {expected} inputs", matrix.nrows())),
            Err(e) => e,
        };
        match failure {
            _ if expected <= 1 => outcomes.push(Err(failure.to_string())),
            Error::OutOfMemory { .. } => {
                let _ = self.queues.to_writer.send(Message::Note(self.work.halve(data, expected)));
                let middle = rows.start + expected / 2;
                self.run_rows(runner, data, rows.start..middle, outcomes);
                self.run_rows(runner, data, middle..rows.end, outcomes);
            }
            _ => rows.for_each(|row| self.run_rows(runner, data, row..row + 1, outcomes)),
        }
    }
}

/// An embedding that a classifier could not use is a reject, never a row.
fn usable(vector: Vec<f32>) -> Result<Vec<f32>, String> {
    if vector.iter().any(|v| !v.is_finite()) {
        return Err("the embedding has a NaN or infinite value".to_owned());
    }
    if vector.iter().all(|&v| v == 0.0) {
        return Err("the embedding is zero everywhere".to_owned());
    }
    Ok(vector)
}

#[cfg(test)]
mod tests;
