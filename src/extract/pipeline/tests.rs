//! Order, and every way in which a run can end early. Each of these once was, or easily becomes, a wait without end.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use ndarray::Array2;

use super::*;
use crate::backbone::{Output, Pooling, RunPrecision};
use crate::extract::Sink;
use crate::extract::work::Checked;
use crate::extract::writer::Counts;
use crate::features::{Part, Precision, Provenance};
use crate::preprocess::{Preprocessing, TextSpec};
use crate::progress::Progress;
use crate::source::{Content, Entry, Extent, Reject, Sample, Stage};

/// Embeds sample `n` as `[n]`, later samples faster, in pieces of one remainder modulo 3; every tenth is rejected.
#[derive(Default)]
struct Numbers {
    panics_on: Option<usize>,
    /// The backbone fails on a batch with this sample.
    fails_on: Option<usize>,
    /// The backbone fails on everything.
    broken: bool,
    /// The memory holds no more.
    most: Option<usize>,
    join_up_to: usize,
    sizes: Mutex<Vec<usize>>,
}

impl Work for Numbers {
    type Scratch = ();
    type Data = Vec<usize>;
    type Runner = ();

    fn scratch(&self) {}

    fn prepare(&self, _: Lane, (): &mut (), samples: &[Sample]) -> Prepared<Vec<usize>> {
        let numbers: Vec<usize> = samples.iter().map(|sample| sample.id.parse().unwrap()).collect();
        let check = |&n: &usize| match n % 10 {
            9 => Err(Reject { id: n.to_string(), stage: Stage::Decode, reason: "a nine".into() }),
            _ => Ok(Checked { content: String::new(), truncated: n % 10 == 1 }),
        };
        let checked: Vec<_> = numbers.iter().map(check).collect();
        let pieces = (0..3).filter_map(|remainder| {
            let slots: Vec<usize> =
                (0..numbers.len()).filter(|&i| checked[i].is_ok() && numbers[i] % 3 == remainder).collect();
            let data = slots.iter().map(|&slot| numbers[slot]).collect();
            (!slots.is_empty()).then_some(Piece { slots, goal: 1, data })
        });
        let pieces = pieces.collect();
        Prepared { checked, pieces }
    }

    fn runner(&self) -> Result<()> {
        Ok(())
    }

    fn join_up_to(&self) -> usize {
        self.join_up_to
    }

    fn join(&self, pieces: Vec<Vec<usize>>) -> Vec<usize> {
        pieces.concat()
    }

    fn run(&self, (): &mut (), data: &Vec<usize>, rows: Range<usize>) -> Result<Array2<f32>> {
        let rows = &data[rows];
        self.sizes.lock().unwrap().push(rows.len());
        assert!(!self.panics_on.is_some_and(|n| rows.contains(&n)), "as the test wants it");
        std::thread::sleep(Duration::from_micros(300 * (7 - rows[0] as u64 % 7)));
        if self.broken || self.fails_on.is_some_and(|n| rows.contains(&n)) {
            return Err(Error::model("numbers", "as the test wants it"));
        }
        if self.most.is_some_and(|most| rows.len() > most) {
            return Err(Error::OutOfMemory { model: "numbers".into(), reason: "as the test wants it".into() });
        }
        Ok(Array2::from_shape_fn((rows.len(), 1), |(i, _)| rows[i] as f32 + 1.0))
    }

    fn recycle(&self, _: Vec<usize>) {}

    fn record(&self, _: usize, _: &Vec<usize>, _: Duration) -> Option<String> {
        None
    }

    fn halve(&self, _: &Vec<usize>, rows: usize) -> String {
        format!("too much: {rows}")
    }
}

#[derive(Default)]
struct Collected {
    ids: Vec<usize>,
    values: Vec<f32>,
    rejects: Vec<usize>,
    entries: Vec<Range<u64>>,
    digest: u128,
    fails_after: Option<usize>,
}

impl Sink for Collected {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        assert!(part.rows.ids.is_empty() || provenance.dimension == 1);
        assert_eq!(part.entries.end - part.entries.start, (part.rows.ids.len() + part.rejects.len()) as u64);
        self.rejects.extend(part.rejects.iter().map(|reject| reject.id.parse::<usize>().unwrap()));
        self.ids.extend(part.rows.ids.iter().map(|id| id.parse::<usize>().unwrap()));
        self.values.extend(part.rows.matrix);
        self.entries.push(part.entries);
        self.digest += part.digest;
        match self.fails_after {
            Some(n) if self.ids.len() >= n => Err(Error::Data("the disk is full".into())),
            _ => Ok(()),
        }
    }
}

struct Interrupted;

impl Progress for Interrupted {
    fn interrupted(&self) -> bool {
        true
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// Sample `n`, or a reject for every 13th.
fn entry(n: usize) -> Result<Listed> {
    let id = n.to_string();
    let entry = match n % 13 {
        12 => Entry::Reject(Reject { id, stage: Stage::Read, reason: "a thirteenth".into() }),
        _ => Entry::Sample(Sample { id, content: Content::Text(String::new()), label: None, kept: Vec::new() }),
    };
    Ok(Listed { position: n as u64, digest: 1, within: None, entry })
}

fn provenance() -> Provenance {
    Provenance {
        backbone: "numbers".into(),
        backbone_sha256: String::new(),
        tokenizer_sha256: None,
        preprocessing: Preprocessing::Text(TextSpec { max_length: 1 }),
        output: Output { tensor: "y".into(), pooling: Pooling::None, normalize: false },
        dimension: 0,
        provider: "cpu".into(),
        precision: "f32".into(),
        run_precision: RunPrecision::F32,
        engraft_version: String::new(),
        onnxruntime_version: String::new(),
    }
}

const SHAPES: [Threads; 3] = [fixed(3, 0), fixed(1, 0), fixed(2, 3)];

const fn fixed(runners: usize, preparers: usize) -> Threads {
    Threads { runners, preparers, runners_are: Number::Fixed }
}

fn run_on(
    threads: Threads,
    work: &Numbers,
    list: List,
    sink: &mut Collected,
    progress: &dyn Progress,
) -> Result<Counts> {
    let mut writer = Writer::new(sink, provenance(), (threads, Precision::F32), Arc::new(Extent::default()), progress);
    run(work, threads, &Arc::new(Sizes::new("number", &[4])), list, &mut writer, &Arc::new(Meter::new(None)))?;
    Ok(writer.counts)
}

fn run_through(work: &Numbers, list: List, sink: &mut Collected) -> Result<Counts> {
    run_on(SHAPES[0], work, list, sink, &())
}

fn failure(work: &Numbers, list: List) -> String {
    run_through(work, list, &mut Collected::default()).unwrap_err().to_string()
}

fn rejected(n: usize) -> bool {
    n % 13 == 12 || n % 10 == 9
}

/// What must have come out of the first `n` samples.
fn check(sink: &mut Collected, n: usize, rejected: impl Fn(usize) -> bool) {
    let (gone, kept): (Vec<usize>, Vec<usize>) = (0..n).partition(|&n| rejected(n));
    assert_eq!(sink.ids, kept);
    assert_eq!(sink.values, kept.iter().map(|&n| n as f32 + 1.0).collect::<Vec<_>>());
    sink.rejects.sort_unstable();
    assert_eq!(sink.rejects, gone);
    assert_eq!(sink.digest, n as u128);
    assert!(sink.entries.is_sorted_by(|a, b| a.end == b.start));
}

#[test]
fn every_sample_comes_out_once_and_in_order() {
    for threads in SHAPES {
        for join_up_to in [1, 20] {
            let (mut sink, work) = (Collected::default(), Numbers { join_up_to, ..Numbers::default() });
            let counts = run_on(threads, &work, Box::new((0..330).map(entry)), &mut sink, &()).unwrap();
            check(&mut sink, 330, rejected);
            let truncated = (0..330).filter(|&n| n % 10 == 1 && !rejected(n)).count();
            assert_eq!(counts, Counts { rows: sink.ids.len(), rejects: sink.rejects.len(), truncated });
            let largest = *work.sizes.lock().unwrap().iter().max().unwrap();
            assert!(largest <= join_up_to.max(4) + 3, "{largest}");
        }
    }
}

#[test]
fn fewer_runners_may_be_tried_while_it_goes_on() {
    let threads = Threads { runners: 4, preparers: 0, runners_are: Number::AtMost };
    let (mut sink, work, notes) = (Collected::default(), Numbers::default(), Notes::default());
    run_on(threads, &work, Box::new((0..20_000).map(entry)), &mut sink, &notes).unwrap();
    check(&mut sink, 20_000, rejected);
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.len() == 1 && notes[0].contains("sessions side by side (4: "), "{notes:?}");
}

#[test]
fn only_the_guilty_row_is_lost() {
    for threads in SHAPES {
        let (mut sink, work) =
            (Collected::default(), Numbers { fails_on: Some(100), join_up_to: 16, ..Numbers::default() });
        run_on(threads, &work, Box::new((0..200).map(entry)), &mut sink, &()).unwrap();
        check(&mut sink, 200, |n| rejected(n) || n == 100);
    }
}

#[test]
fn what_is_too_much_for_the_memory_is_halved_and_nothing_is_lost() {
    let (mut sink, work) = (Collected::default(), Numbers { most: Some(2), join_up_to: 30, ..Numbers::default() });
    run_on(SHAPES[2], &work, Box::new((0..200).map(entry)), &mut sink, &()).unwrap();
    check(&mut sink, 200, rejected);
}

#[test]
fn a_backbone_that_fails_on_everything_ends_the_run() {
    let mut sink = Collected::default();
    let work = Numbers { broken: true, ..Numbers::default() };
    let error = run_through(&work, Box::new((0..).map(entry)), &mut sink).unwrap_err();
    assert!(error.to_string().contains("the last 1000 inputs all failed"), "{error}");
    assert!(sink.rejects.iter().all(|&n| rejected(n)), "what the backbone failed on is no reject: {:?}", sink.rejects);
}

#[test]
fn no_entries_and_rejects_alone_are_fine() {
    let (mut sink, work) = (Collected::default(), Numbers::default());
    run_through(&work, Box::new(std::iter::empty()), &mut sink).unwrap();
    let rejects = (0..5000).map(|n| Ok(Listed { position: n as u64, ..entry(13 * n + 12)? }));
    run_through(&work, Box::new(rejects), &mut sink).unwrap();
    assert_eq!((sink.ids.len(), sink.rejects.len()), (0, 5000));
}

#[test]
fn stretches_that_are_left_out_stay_out() {
    let (mut sink, work) = (Collected::default(), Numbers::default());
    let listed = |n: &usize| !(10..25).contains(n) && !(26..50).contains(n);
    run_through(&work, Box::new((0..60).filter(listed).map(entry)), &mut sink).unwrap();
    let all: Vec<u64> = sink.entries.into_iter().flatten().collect();
    assert_eq!(all, (0..60).filter(listed).map(|n| n as u64).collect::<Vec<_>>());
}

#[test]
fn an_error_of_the_sink_ends_the_run() {
    let mut sink = Collected { fails_after: Some(20), ..Default::default() };
    let error = run_through(&Numbers::default(), Box::new((0..).map(entry)), &mut sink).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(sink.ids.len() < 24, "nothing is written after the error");
}

#[test]
fn an_error_of_the_source_ends_the_run() {
    let list = (0..200).map(|n| if n == 150 { Err(Error::Data("a torn table".into())) } else { entry(n) });
    let text = failure(&Numbers::default(), Box::new(list));
    assert!(text.contains("a torn table"), "{text}");
}

#[test]
fn panics_of_the_source_and_of_a_worker_are_errors() {
    let list = (0..200).map(|n| if n == 150 { panic!("as the test wants it") } else { entry(n) });
    let text = failure(&Numbers::default(), Box::new(list));
    assert!(text.contains("source of the inputs"), "{text}");
    let work = Numbers { panics_on: Some(40), ..Numbers::default() };
    let text = failure(&work, Box::new((0..).map(entry)));
    assert!(text.contains("worker panicked"), "{text}");
}

#[test]
fn an_interruption_does_not_wait_for_the_source() {
    let (_open, never) = mpsc::channel::<Result<Listed>>();
    let mut sink = Collected::default();
    let list = Box::new(never.into_iter());
    let error = run_on(SHAPES[0], &Numbers::default(), list, &mut sink, &Interrupted).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
}
