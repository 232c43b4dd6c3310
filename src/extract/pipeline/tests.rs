//! Order, and every way in which a run can end early. Each of these once was, or easily becomes, a wait without end.

use std::sync::mpsc;

use super::*;
use crate::backbone::{Output, Pooling};
use crate::preprocess::{Preprocessing, TextSpec};
use crate::source::{Content, Stage};

/// Embeds sample `n` as `[n]`, later samples faster; every tenth is rejected; panics on sample `panics_on`.
struct Numbers {
    panics_on: Option<usize>,
}

impl Embed for Numbers {
    fn embed(&mut self, samples: &[Sample]) -> Vec<Result<Embedded, Reject>> {
        let outcome = |sample: &Sample| {
            let n: usize = sample.id.parse().unwrap();
            assert!(self.panics_on != Some(n), "as the test wants it");
            std::thread::sleep(Duration::from_micros(300 * (7 - n as u64 % 7)));
            match n % 10 {
                9 => Err(Reject { id: sample.id.clone(), stage: Stage::Run, reason: "a nine".into() }),
                _ => Ok(Embedded { vector: vec![n as f32], content: String::new(), truncated: n % 10 == 1 }),
            }
        };
        samples.iter().map(outcome).collect()
    }
}

#[derive(Default)]
struct Collected {
    ids: Vec<usize>,
    values: Vec<f32>,
    rejects: Vec<usize>,
    fails_after: Option<usize>,
}

impl Sink for Collected {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        assert!(part.rows.ids.is_empty() || provenance.dimension == 1);
        assert_eq!(part.entries.end - part.entries.start, (part.rows.ids.len() + part.rejects.len()) as u64);
        self.rejects.extend(part.rejects.iter().map(|reject| reject.id.parse::<usize>().unwrap()));
        self.ids.extend(part.rows.ids.iter().map(|id| id.parse::<usize>().unwrap()));
        self.values.extend(part.rows.matrix);
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

/// Sample `n`, or a reject for every 13th.
fn entry(n: usize) -> Result<Listed> {
    let id = n.to_string();
    let entry = match n % 13 {
        12 => Entry::Reject(Reject { id, stage: Stage::Read, reason: "a thirteenth".into() }),
        _ => Entry::Sample(Sample { id, content: Content::Text(String::new()), label: None, kept: Vec::new() }),
    };
    Ok(Listed { position: n as u64, digest: 1, entry })
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
        engraft_version: String::new(),
        onnxruntime_version: String::new(),
    }
}

fn run_through(list: List, sink: &mut Collected, panics_on: Option<usize>, progress: &dyn Progress) -> Result<()> {
    let mut workers = [(); 3].map(|()| Numbers { panics_on });
    run(&mut workers, 4, list, &mut Writer::new(sink, provenance(), progress))
}

#[test]
fn every_sample_comes_out_once_and_in_order() {
    let (mut sink, progress) = (Collected::default(), ());
    let mut writer = Writer::new(&mut sink, provenance(), &progress);
    let mut workers = [(); 3].map(|()| Numbers { panics_on: None });
    run(&mut workers, 4, Box::new((0..330).map(entry)), &mut writer).unwrap();
    let rejected: Vec<usize> = (0..330).filter(|n| n % 13 == 12 || n % 10 == 9).collect();
    let kept: Vec<usize> = (0..330).filter(|n| !rejected.contains(n)).collect();
    let cut = kept.iter().filter(|&n| n % 10 == 1).count();
    assert_eq!((writer.rows, writer.rejects, writer.truncated), (kept.len(), rejected.len(), cut));
    assert_eq!(sink.ids, kept);
    assert_eq!(sink.values, kept.iter().map(|&n| n as f32).collect::<Vec<_>>());
    sink.rejects.sort_unstable();
    assert_eq!(sink.rejects, rejected);
}

#[test]
fn no_entries_and_rejects_alone_are_fine() {
    let mut sink = Collected::default();
    run_through(Box::new(std::iter::empty()), &mut sink, None, &()).unwrap();
    run_through(Box::new((0..5000).map(|n| entry(13 * n + 12))), &mut sink, None, &()).unwrap();
    assert_eq!((sink.ids.len(), sink.rejects.len()), (0, 5000));
}

#[test]
fn an_error_of_the_sink_ends_the_run() {
    let mut sink = Collected { fails_after: Some(20), ..Default::default() };
    let error = run_through(Box::new((0..).map(entry)), &mut sink, None, &()).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(sink.ids.len() < 24, "nothing is written after the error");
}

#[test]
fn an_error_of_the_source_ends_the_run() {
    let entries = (0..200).map(|n| if n == 150 { Err(Error::Data("a torn table".into())) } else { entry(n) });
    let error = run_through(Box::new(entries), &mut Collected::default(), None, &()).unwrap_err();
    assert!(error.to_string().contains("a torn table"), "{error}");
}

#[test]
fn panics_of_the_source_and_of_a_worker_are_errors() {
    let entries = (0..200).map(|n| if n == 150 { panic!("as the test wants it") } else { entry(n) });
    let error = run_through(Box::new(entries), &mut Collected::default(), None, &()).unwrap_err();
    assert!(error.to_string().contains("source of the inputs"), "{error}");
    let error = run_through(Box::new((0..).map(entry)), &mut Collected::default(), Some(40), &()).unwrap_err();
    assert!(error.to_string().contains("worker panicked"), "{error}");
}

#[test]
fn an_interruption_does_not_wait_for_the_source() {
    let (_open, never) = mpsc::channel::<Result<Listed>>();
    let error = run_through(Box::new(never.into_iter()), &mut Collected::default(), None, &Interrupted).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
}
