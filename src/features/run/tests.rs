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
    part_without(entries, is_reject)
}

fn part_without(entries: Range<u64>, is_reject: impl Fn(u64) -> bool) -> Part {
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
        Ok(Listed { position, digest: digest(n), within: None, entry })
    }))
}

fn positions(list: List) -> Result<Vec<u64>> {
    list.map(|listed| Ok(listed?.position)).collect()
}

fn begin(folder: &Path, existing: Existing) -> Result<ShardFolder> {
    begin_with(folder, existing, Rejects::Keep)
}

fn begin_with(folder: &Path, existing: Existing, rejects: Rejects) -> Result<ShardFolder> {
    let options = SourceOptions::new(Modality::Text);
    let key = RunKey::new(&[PathBuf::from("-")], &options, &provenance(), Precision::F32)?;
    Claim::new(folder, existing)?.with_rejects(rejects).begin(key, Precision::F32, &[], &())
}

fn retry(folder: &Path) -> ShardFolder {
    begin_with(folder, Existing::Refuse, Rejects::Retry).unwrap()
}

/// The entries that have rows and those that are listed as rejects, as a reader finds them.
fn held(folder: &Path) -> (Vec<u64>, Vec<u64>) {
    let rows = FeatureSet::read(folder).unwrap().ids.iter().map(|id| id.parse().unwrap()).collect();
    let names = journal::Journal::lock(folder, Existing::Refuse).unwrap().1.names();
    let mut listed: Vec<u64> = Vec::new();
    for name in names {
        listed.extend(rejects::read(folder, &name).unwrap().iter().map(|reject| reject.id.parse::<u64>().unwrap()));
    }
    listed.sort_unstable();
    (rows, listed)
}

/// All of `entries`, as [`held`] has them, if these are rejects.
fn all_but(entries: Range<u64>, rejects: &[u64]) -> (Vec<u64>, Vec<u64>) {
    (entries.filter(|n| !rejects.contains(n)).collect(), rejects.to_vec())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
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

/// Four stretches of ten: the last two of each are rejects, and the third is nothing else.
fn with_rejects(out: &Path) -> Vec<u64> {
    let mut folder = begin(out, Existing::Refuse).unwrap().with_shard_entries(10);
    let is_reject = |n: u64| n % 10 >= 8 || n / 10 == 2;
    for first in [0, 10, 20, 30] {
        folder.part(part_without(first..first + 10, is_reject), &provenance()).unwrap();
    }
    folder.finish().unwrap();
    let rejects: Vec<u64> = (0..40).filter(|n| is_reject(*n)).collect();
    assert_eq!(held(out), all_but(0..40, &rejects));
    rejects
}

#[test]
fn a_stretch_gives_way_only_to_one_that_loses_no_row() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path();
    let before = with_rejects(out);
    let mut folder = retry(out);
    assert_eq!(positions(folder.unfinished(list(0..40))).unwrap(), (0..40).collect::<Vec<_>>());
    let again = |folder: &mut ShardFolder, entries, rejects: &[u64]| {
        let part = part_without(entries, |n| rejects.contains(&n));
        folder.part(part, &provenance()).unwrap();
    };
    // All are rows now; one reject less, but another row lost; a part of what was rejects; and one that is never complete.
    again(&mut folder, 0..6, &[]);
    again(&mut folder, 6..10, &[]);
    again(&mut folder, 10..20, &[11]);
    again(&mut folder, 20..25, &[22]);
    again(&mut folder, 25..30, &[25, 26]);
    again(&mut folder, 30..39, &[]);
    folder.close().unwrap();
    let resumed = folder.kept().unwrap();
    assert_eq!((resumed.rows, resumed.resumed_rows, resumed.rejects), (10 + 8 + 7 + 8, 24, 2 + 3 + 2));
    assert_eq!(
        resumed.held_back,
        ["part-000000000010 stays as it was: 11 has a row in it and would have none, a nine"]
    );
    drop(folder);
    let kept: Vec<u64> =
        before.iter().copied().filter(|n| *n >= 10 && ![20, 21, 23, 24, 27, 28, 29].contains(n)).collect();
    assert_eq!(held(out), all_but(0..40, &kept));
    assert_eq!(shards_in(out), ["00000-1", "00010", "00020-1", "00030"]);
    assert!(run_state(out).unwrap().unwrap().finished, "nothing is missing");
    // What has no reject any more is not embedded again, and nobody is asked to go on with the rest.
    assert_eq!(positions(retry(out).unfinished(list(0..40))).unwrap(), (10..40).collect::<Vec<_>>());
    assert_eq!(begin(out, Existing::Refuse).unwrap().finish().unwrap().rows, 33);
    assert_eq!(held(out), all_but(0..40, &kept));

    // Nothing is gained, and no file is touched.
    let mut folder = retry(out);
    again(&mut folder, 10..20, &[18, 19]);
    folder.finish().unwrap();
    assert_eq!(held(out), all_but(0..40, &kept));
    // The list is checked where it is embedded again as well.
    let folder = retry(out);
    let Err(Error::InputsChanged { difference, .. }) = positions(folder.unfinished(list((0..14).chain(15..41)))) else {
        panic!()
    };
    assert!(difference.contains("was \"14\" and is now \"15\""), "{difference}");
    assert!(positions(folder.unfinished(list(0..35))).is_err());
}

#[test]
fn wherever_a_retry_is_killed_the_folder_is_what_it_was_or_what_it_will_be() {
    let temp = tempfile::tempdir().unwrap();
    let (old, new) = (temp.path().join("old"), temp.path().join("new"));
    let rejects = with_rejects(&old);
    copy(&old, &new);
    let mut folder = retry(&new);
    folder.part(part_without(0..10, |n| n == 9), &provenance()).unwrap();
    folder.close().unwrap();
    // Killed here, the list of rejects still has the old ones too.
    drop(folder);
    let gained: Vec<u64> = rejects.iter().copied().filter(|n| *n != 8).collect();
    assert_eq!(held(&new), all_but(0..40, &gained));
    let (shard, replaced) = ("part-000000000000-1.parquet", "part-000000000000.parquet");

    let at = |name: &str, with: &[(&Path, &str)]| {
        let out = temp.path().join(name);
        copy(&old, &out);
        for (from, file) in with {
            std::fs::copy(from.join(file), out.join(file)).unwrap();
        }
        out
    };
    let listed = at("rejects", &[(&new, "rejects.jsonl")]);
    let named = at("shard", &[(&new, "rejects.jsonl"), (&new, shard)]);
    let journaled = at("journal", &[(&new, "rejects.jsonl"), (&new, shard), (&new, "journal.jsonl")]);
    assert!(journaled.join(replaced).exists());
    for (out, now) in [(listed, &rejects), (named, &rejects), (journaled, &gained)] {
        assert_eq!(held(&out), all_but(0..40, now));
        // Twice killed there is no difference either.
        drop(retry(&out));
        assert_eq!(held(&out), all_but(0..40, now));
        let mut folder = retry(&out);
        folder.part(part_without(0..10, |_| false), &provenance()).unwrap();
        folder.finish().unwrap();
        assert_eq!(held(&out), all_but(0..40, &rejects[2..]));
        let lines = std::fs::read_to_string(rejects_path(&out)).unwrap();
        assert_eq!(lines.lines().count(), rejects.len() - 2);
        assert_eq!(shards_in(&out).len(), 3);
    }
}

#[test]
fn rows_whose_rejects_are_not_listed_any_more_stay_until_they_are_embedded_again() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path();
    let rejects = with_rejects(out);
    std::fs::remove_file(rejects_path(out)).unwrap();
    let rows = all_but(0..40, &rejects).0;
    let mut folder = begin(out, Existing::Refuse).unwrap();
    assert_eq!(positions(folder.unfinished(list(0..40))).unwrap(), (0..40).collect::<Vec<_>>());
    // A device that fails is no reason to lose rows.
    folder.part(part_without(0..10, |n| n > 4), &provenance()).unwrap();
    folder.part(part_without(10..20, |n| n % 10 >= 8), &provenance()).unwrap();
    folder.close().unwrap();
    drop(folder);
    assert_eq!(held(out), (rows.clone(), vec![18, 19]));
    // As many rows, but not the same ones.
    let mut folder = begin(out, Existing::Refuse).unwrap();
    folder.part(part_without(0..10, |n| n == 3 || n == 8), &provenance()).unwrap();
    assert!(folder.finish().unwrap_err().to_string().contains("entries 0 to 9 are listed no more"));
    assert_eq!(held(out), (rows.clone(), vec![18, 19]));
    let mut folder = begin(out, Existing::Refuse).unwrap();
    assert_eq!(positions(folder.unfinished(list(0..40))).unwrap(), (0..10).chain(20..40).collect::<Vec<_>>());
    for first in [0, 20, 30] {
        folder.part(part_without(first..first + 10, |n| rejects.contains(&n)), &provenance()).unwrap();
    }
    folder.finish().unwrap();
    assert_eq!(held(out), (rows, rejects));
}

#[test]
fn a_run_that_ended_before_its_first_line_is_continued() {
    let temp = tempfile::tempdir().unwrap();
    let (out, whole) = (temp.path().join("out"), temp.path().join("whole"));
    let want = with_rejects(&whole);
    // The journal begins before the first shard has its name; a list of rejects may be torn.
    copy(&whole, &out);
    let journal = std::fs::read_to_string(journal_path(&out)).unwrap();
    std::fs::write(journal_path(&out), journal.split_inclusive('\n').next().unwrap()).unwrap();
    let rejects = std::fs::read(rejects_path(&out)).unwrap();
    std::fs::write(rejects_path(&out), &rejects[..rejects.len() - 5]).unwrap();
    assert!(FeatureSet::read(&out).unwrap_err().to_string().contains("no row is kept yet"));
    let mut folder = begin(&out, Existing::Refuse).unwrap();
    assert_eq!(positions(folder.unfinished(list(0..40))).unwrap().len(), 40);
    for first in [0, 10, 20, 30] {
        folder.part(part_without(first..first + 10, |n| want.contains(&n)), &provenance()).unwrap();
        folder.close().unwrap();
    }
    folder.finish().unwrap();
    assert_eq!(held(&out), all_but(0..40, &want));
    assert_eq!(shards_in(&out).len(), 3);
    assert_eq!(std::fs::read_to_string(rejects_path(&out)).unwrap().lines().count(), want.len());
}

#[test]
fn lists_are_compared_with_what_is_damaged_too() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path();
    with_rejects(out);
    std::fs::remove_file(out.join("part-000000000010.parquet")).unwrap();
    let folder = begin(out, Existing::Refuse).unwrap();
    assert_eq!(positions(folder.unfinished(list(0..40))).unwrap(), (10..20).collect::<Vec<_>>());
    let Err(Error::InputsChanged { difference, .. }) = positions(folder.unfinished(list((0..15).chain(16..41)))) else {
        panic!()
    };
    assert!(difference.contains("entries 10 to 19"), "{difference}");
    drop(folder);
    std::fs::remove_file(out.join("part-000000000030.parquet")).unwrap();
    let folder = begin(out, Existing::Refuse).unwrap();
    let Err(Error::InputsChanged { difference, .. }) = positions(folder.unfinished(list(0..30))) else { panic!() };
    assert!(difference.contains("from 30 to 39 were embedded"), "{difference}");
}
