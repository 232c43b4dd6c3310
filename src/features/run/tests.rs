//! Shards open and close, and a second run takes over, without a backbone.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ndarray::Array2;

use super::*;
use crate::backbone::{Output, Pooling, RunPrecision};
use crate::error::{Error, Result};
use crate::features::{Existing, FeatureSet, Part, Precision, Provenance, Rows};
use crate::preprocess::{Preprocessing, TextSpec};
use crate::source::{Content, Entry, List, Listed, Modality, Reject, Sample, SourceOptions, Stage};

fn provenance() -> Provenance {
    Provenance {
        backbone: "numbers".into(),
        backbone_sha256: "00".into(),
        tokenizer_sha256: None,
        preprocessing: Preprocessing::Text(TextSpec { max_length: 1 }),
        output: Output { tensor: "y".into(), pooling: Pooling::None, normalize: false },
        dimension: 1,
        provider: "cpu".into(),
        precision: "f32".into(),
        run_precision: RunPrecision::F32,
        engraft_version: String::new(),
        onnxruntime_version: String::new(),
    }
}

/// Every tenth entry is a reject.
fn is_reject(n: u64) -> bool {
    n % 10 == 9
}

fn digest(n: u64) -> u128 {
    u128::MAX / 3 + u128::from(n * n)
}

fn part(entries: Range<u64>) -> Part {
    let rows: Vec<u64> = entries.clone().filter(|n| !is_reject(*n)).collect();
    let reject = |n: u64| Reject { id: n.to_string(), stage: Stage::Run, reason: "a nine".to_owned() };
    Part {
        digest: entries.clone().fold(0, |sum, n| sum.wrapping_add(digest(n))),
        rejects: entries.clone().filter(|n| is_reject(*n)).map(reject).collect(),
        rows: Rows {
            ids: rows.iter().map(u64::to_string).collect(),
            labels: vec![None; rows.len()],
            contents: vec![None; rows.len()],
            kept: Vec::new(),
            matrix: Array2::from_shape_fn((rows.len(), 1), |(i, _)| rows[i] as f32),
        },
        truncated: 0,
        entries,
    }
}

fn list(entries: impl Iterator<Item = u64> + Send + 'static) -> List {
    Box::new((0..).zip(entries).map(|(position, n)| {
        let (id, content) = (n.to_string(), Content::Text(String::new()));
        let entry = Entry::Sample(Sample { id, content, label: None, kept: Vec::new() });
        Ok(Listed { position, digest: digest(n), entry })
    }))
}

fn positions(list: List) -> Result<Vec<u64>> {
    list.map(|listed| Ok(listed?.position)).collect()
}

fn begin(folder: &Path, existing: Existing) -> Result<ShardFolder> {
    let options = SourceOptions::new(Modality::Text);
    let key = RunKey::new(&[PathBuf::from("-")], &options, &provenance(), Precision::F32)?;
    Claim::new(folder, existing)?.begin(key, Precision::F32, &[], &())
}

fn shards_in(folder: &Path) -> Vec<String> {
    let files = crate::features::shards::list(folder).unwrap().into_iter();
    files
        .map(|file| file.file_stem().unwrap().to_str().unwrap().trim_start_matches("part-0000000").to_owned())
        .collect()
}

fn add(folder: &mut ShardFolder, parts: impl IntoIterator<Item = Range<u64>>) {
    for entries in parts {
        folder.part(part(entries), &provenance()).unwrap();
    }
}

#[test]
fn shards_close_by_entries_by_time_and_before_a_gap() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    let mut folder = begin(&out, Existing::Refuse).unwrap().with_shard_entries(8);
    // 9 alone is a reject: a stretch without a shard.
    add(&mut folder, [0..4, 4..9, 9..10, 20..22, 22..24, 40..44]);
    assert_eq!(shards_in(&out), ["00000", "00020"]);
    folder.shard_time = Duration::ZERO;
    add(&mut folder, [44..46, 46..48]);
    assert_eq!(shards_in(&out), ["00000", "00020", "00040", "00046"]);
    add(&mut folder, std::iter::once(49..50));
    drop(folder);

    let mut folder = begin(&out, Existing::Refuse).unwrap();
    assert_eq!(
        positions(folder.unfinished(list(0..51))).unwrap(),
        (10..20).chain(24..40).chain([48, 50]).collect::<Vec<_>>()
    );
    add(&mut folder, [10..20, 24..32, 32..40, 48..49, 50..51]);
    let finished = folder.finish().unwrap();
    assert_eq!((finished.rows, finished.rejects, finished.resumed_rows), (46, 5, 21));
    let set = FeatureSet::read(&out).unwrap();
    assert_eq!(set.ids, (0..51).filter(|n| !is_reject(*n)).map(|n: u64| n.to_string()).collect::<Vec<_>>());
    let state = run_state(&out).unwrap().unwrap();
    assert_eq!(state, RunState { finished: true, entries: 51, rejects: 5, truncated: 0 });
}

#[test]
fn lists_that_changed_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let mut folder = begin(temp.path(), Existing::Refuse).unwrap().with_shard_entries(20);
    add(&mut folder, [0..20, 20..40]);
    let fails = |list: List| match positions(folder.unfinished(list)) {
        Err(Error::InputsChanged { difference, .. }) => difference,
        other => panic!("{other:?}"),
    };
    assert_eq!(positions(folder.unfinished(list(0..40))).unwrap(), [0; 0]);
    assert_eq!(positions(folder.unfinished(list(0..43))).unwrap(), [40, 41, 42]);
    assert!(fails(list(0..30)).contains("ends before entry 30, and those from 20 to 39 were"));
    assert!(fails(list(0..20)).contains("ends before entry 20, and those from 20 to 39 were"));
    assert!(fails(list((0..25).chain(26..41))).contains("entries 20 to 39"));
    assert!(fails(list((0..25).chain(26..41))).contains("was \"25\" and is now \"26\""));
    assert!(fails(list((0..19).chain(20..41))).contains("was \"19\" and is now \"20\""), "a reject that is gone");
    let texts =
        list(0..40).map(|listed| listed.map(|listed| Listed { digest: listed.digest.wrapping_add(1), ..listed }));
    assert!(fails(Box::new(texts)).contains("their ids are the same"));
    // An error ends the stream.
    let mut stream = folder.unfinished(list(1..41));
    assert!(stream.next().unwrap().is_err() && stream.next().is_none());
}

#[test]
fn a_run_that_is_replaced_stays_until_a_shard_of_the_new_one_is_complete() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path();
    let mut folder = begin(out, Existing::Refuse).unwrap().with_shard_entries(10);
    add(&mut folder, [0..10, 10..20, 20..30]);
    folder.finish().unwrap();
    let before = FeatureSet::read(out).unwrap();

    let mut folder = begin(out, Existing::Replace).unwrap().with_shard_entries(10);
    assert_eq!(positions(folder.unfinished(list(0..3))).unwrap(), [0, 1, 2]);
    add(&mut folder, std::iter::once(0..6));
    drop(folder);
    assert_eq!(FeatureSet::read(out).unwrap(), before);
    assert!(run_state(out).unwrap().unwrap().finished);

    let mut folder = begin(out, Existing::Replace).unwrap().with_shard_entries(10);
    add(&mut folder, std::iter::once(0..6));
    folder.close().unwrap();
    assert_eq!(FeatureSet::read(out).unwrap().len(), 6);
    assert_eq!(run_state(out).unwrap().unwrap().rejects, 0);
    assert!(!rejects_path(out).exists());
}

#[test]
fn a_run_without_a_row_leaves_no_journal() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    drop(begin(&out, Existing::Refuse).unwrap());
    assert!(!out.exists(), "nothing was begun");
    for _ in 0..2 {
        let mut folder = begin(&out, Existing::Refuse).unwrap();
        add(&mut folder, std::iter::once(9..10));
        let finished = folder.finish().unwrap();
        assert_eq!((finished.rows, finished.first_reject.unwrap().id.as_str()), (0, "9"));
        assert_eq!(std::fs::read_to_string(finished.rejects_path.unwrap()).unwrap().lines().count(), 1);
        assert!(!journal_path(&out).exists());
    }
}
