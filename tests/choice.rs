//! audit, suggest and rank on real data, by the command line.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use assert_cmd::Command;
use serde_json::Value;
use support::{cache, engraft, json, says, some_emoji, stderr, tweets};

const CNN: &str = "efficientnet-lite0";
const BERT: &str = "all-minilm-l6-v2";

fn verb(name: &str, inputs: &[&Path]) -> Command {
    let mut command = engraft();
    command.arg(name).args(inputs);
    command
}

fn embed(input: &Path, model: &str, output: &Path) {
    let mut command = verb("embed", &[input]);
    if input.extension().is_some_and(|e| e == "csv") {
        command.args(["--id-column", "id"]);
    }
    command.args(["--model", model, "--overwrite", "-o"]).arg(output).assert().success();
}

/// The first tweets: id, label, text.
fn some_tweets(count: usize) -> Vec<[String; 3]> {
    let mut table = csv::Reader::from_path(tweets()).unwrap();
    let row = |record: csv::StringRecord| [0, 1, 2].map(|column| record[column].to_owned());
    table.records().map(|record| row(record.unwrap())).take(count).collect()
}

fn write(rows: &[[String; 3]], path: &Path) {
    let mut table = csv::Writer::from_path(path).unwrap();
    table.write_record(["id", "label", "text"]).unwrap();
    rows.iter().for_each(|row| table.write_record(row).unwrap());
    table.flush().unwrap();
}

/// 400 tweets, of which every twentieth has the other label; their features and the ids of the wrong ones.
fn tampered() -> &'static (PathBuf, BTreeSet<String>) {
    static MADE: OnceLock<(PathBuf, BTreeSet<String>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = cache().join("choice");
        std::fs::create_dir_all(&folder).unwrap();
        let mut rows = some_tweets(400);
        let names: BTreeSet<String> = rows.iter().map(|row| row[1].clone()).collect();
        assert_eq!(names.len(), 2);
        let mut wrong = BTreeSet::new();
        for row in rows.iter_mut().step_by(20) {
            row[1] = names.iter().find(|name| **name != row[1]).unwrap().clone();
            wrong.insert(row[0].clone());
        }
        let (table, features) = (folder.join("tampered.csv"), folder.join("tampered.parquet"));
        write(&rows, &table);
        embed(&table, BERT, &features);
        (features, wrong)
    })
}

fn ids(findings: &Value, kind: &str) -> BTreeSet<String> {
    let of_kind = findings["findings"].as_array().unwrap().iter().filter(|f| f["kind"] == kind);
    of_kind.map(|f| f["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_audit_finds_labels_that_were_changed() {
    let (features, wrong) = tampered();
    let audit = json(&mut verb("audit", &[features]));
    let found = ids(&audit, "label-error");
    let right = found.intersection(wrong).count();
    println!("{} found, {right} of {} changed ones; {}", found.len(), wrong.len(), audit["out_of_fold_accuracy"]);
    assert!(right * 10 >= wrong.len() * 7, "{right} of {}", wrong.len());
    assert!(found.len() <= 3 * wrong.len(), "{} of 400 rows are called wrong", found.len());
    assert_eq!(audit["counts"]["label-error"].as_u64().unwrap() as usize, found.len());
    assert_eq!((&audit["rows"], &audit["unlabelled"]), (&400.into(), &0.into()));
    let shares: f64 = audit["classes"].as_array().unwrap().iter().map(|c| c["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9 && audit["imbalance"].as_f64().unwrap() >= 1.0);
    // The worst stand first, and --top cuts the rest off.
    let top = json(verb("audit", &[features]).args(["--top", "3"]));
    assert_eq!(ids(&top, "label-error").len(), 3);
    assert_eq!(top["counts"], audit["counts"]);
    // One thread and many, and another run, say the same.
    assert_eq!(json(verb("audit", &[features]).args(["--threads", "1"])), audit);
    let text = verb("audit", &[features]).assert().success().get_output().stdout.clone();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("label-error") && text.contains("what to do"), "{text}");
}

#[test]
fn an_audit_of_images_finds_copies_and_leaks() {
    let folder = tempfile::Builder::new().prefix("choice").tempdir().unwrap();
    let (train, test) = (folder.path().join("train"), folder.path().join("test"));
    some_emoji(&train, 0..6);
    some_emoji(&test, 6..8);
    let classes = support::sorted(&train);
    let first = support::sorted(&classes[0])[2].clone();
    std::fs::copy(&first, classes[1].join("copied.png")).unwrap();
    let own = support::sorted(&classes[3])[1].clone();
    std::fs::copy(&own, support::sorted(&test)[3].join("seen.png")).unwrap();
    let mut audit = verb("audit", &[&train]);
    let audit = json(audit.arg("--against").arg(&test).args(["--model", CNN, "--duplicate-cosine", "0.9999"]));
    println!("{}", audit["counts"]);
    let name = |path: &Path| path.strip_prefix(&train).unwrap().to_str().unwrap().to_owned();
    let findings = audit["findings"].as_array().unwrap();
    let of = |kind: &str| findings.iter().filter(|f| f["kind"] == kind).collect::<Vec<_>>();
    let (conflicts, leaks) = (of("conflict"), of("leak"));
    assert!(conflicts.len() == 1 && leaks.len() == 1, "{conflicts:?} {leaks:?}");
    let both = format!("{} {}", conflicts[0]["id"].as_str().unwrap(), conflicts[0]["other"].as_str().unwrap());
    assert!(both.contains("copied.png") && both.contains(&name(&first)), "{both}");
    assert_eq!(leaks[0]["id"].as_str().unwrap(), name(&own));
    assert!(leaks[0]["other"].as_str().unwrap().ends_with("seen.png"));
}

#[test]
fn an_audit_says_what_it_cannot_judge() {
    let folder = tempfile::tempdir().unwrap();
    let (features, _) = tampered();
    says(verb("audit", &[features]).args(["--cv", "1"]), 2, &["--cv must be 2 or more"]);
    says(verb("audit", &[features]).args(["--duplicate-cosine", "2"]), 2, &["at most 1"]);
    let array = folder.path().join("x.npy");
    verb("embed", &[&one_class(folder.path())]).args(["--model", BERT, "-o"]).arg(&array).assert().success();
    says(&mut verb("audit", &[&array]), 0, &["the labels are not judged"]);
    says(verb("audit", &[features]).args(["--against"]).arg(emoji_features()), 1, &["do not match"]);
}

fn one_class(folder: &Path) -> PathBuf {
    let mut rows = some_tweets(8);
    rows.iter_mut().for_each(|row| row[1] = "only".to_owned());
    let path = folder.join("one.csv");
    write(&rows, &path);
    path
}

/// Features of a few emoji.
fn emoji_features() -> &'static PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = cache().join("choice");
        let (images, features) = (folder.join("emoji"), folder.join("emoji.parquet"));
        some_emoji(&images, 0..4);
        embed(&images, CNN, &features);
        features
    })
}

/// Tweets of which the first `known` have a label.
fn pool(name: &str, known: usize) -> (PathBuf, BTreeSet<String>) {
    let folder = cache().join("choice");
    std::fs::create_dir_all(&folder).unwrap();
    let mut rows = some_tweets(300);
    rows.iter_mut().skip(known).for_each(|row| row[1] = String::new());
    let (table, features) = (folder.join(format!("{name}.csv")), folder.join(format!("{name}.parquet")));
    write(&rows, &table);
    embed(&table, BERT, &features);
    (features, rows[known..].iter().map(|row| row[0].clone()).collect())
}

#[test]
fn suggestions_are_rows_without_a_label_each_once() {
    let (features, open) = pool("some", 40);
    for (strategy, told) in
        [("auto", "margin+k-centre"), ("margin", "margin"), ("k-centre", "k-centre"), ("typicality", "typicality")]
    {
        let found = json(verb("suggest", &[&features]).args(["-n", "25", "--strategy", strategy]));
        assert_eq!((&found["strategy"], &found["labelled"], &found["pool"]), (&told.into(), &40.into(), &260.into()));
        let scored = found["suggestions"].as_array().unwrap();
        let ids: BTreeSet<String> = scored.iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect();
        assert!(scored.len() == 25 && ids.len() == 25 && ids.is_subset(&open), "{strategy}: {found}");
        let one = json(verb("suggest", &[&features]).args(["-n", "25", "--strategy", strategy, "--threads", "1"]));
        assert_eq!(one, found);
    }
    // For people and pipes: the ids alone.
    let lines = verb("suggest", &[&features]).args(["-n", "7"]).assert().success().get_output().stdout.clone();
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.lines().count() == 7 && lines.lines().all(|id| open.contains(id)), "{lines}");
}

#[test]
fn a_cold_start_asks_what_is_typical_and_a_head_what_is_doubtful() {
    let (features, open) = pool("none", 0);
    let cold = json(verb("suggest", &[&features]).args(["-n", "10"]));
    assert_eq!(cold["strategy"], "typicality");
    says(verb("suggest", &[&features]).args(["--strategy", "margin"]), 1, &["--head"]);
    let (labelled, _) = tampered();
    says(&mut verb("suggest", &[labelled]), 1, &["nothing to ask"]);
    let head = cache().join("choice/head.onnx");
    verb("train", &[labelled]).args(["--overwrite", "-o"]).arg(&head).assert().success();
    let found = json(verb("suggest", &[&features]).args(["-n", "500", "--strategy", "margin", "--head"]).arg(&head));
    let scores: Vec<f64> =
        found["suggestions"].as_array().unwrap().iter().map(|s| s["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == open.len() && scores.is_sorted(), "{scores:?}");
    says(verb("suggest", &[emoji_features().as_path()]).args(["--head"]).arg(&head), 1, &["nothing to ask"]);
}

/// When each file below a folder was last written.
fn times(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.path().extension().is_some_and(|e| e == "parquet"));
    files.map(|entry| (entry.path().to_owned(), entry.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn backbones_are_ranked_and_the_second_run_reads() {
    let folder = tempfile::Builder::new().prefix("choice").tempdir().unwrap();
    let (images, kept) = (folder.path().join("images"), folder.path().join("kept"));
    some_emoji(&images, 0..15);
    let rank = || {
        let mut command = verb("rank", &[&images]);
        command.args(["--models", &format!("{CNN}@1,{CNN}"), "--cache"]).arg(&kept);
        command
    };
    let first = json(&mut rank());
    println!("{first}");
    assert_eq!((&first["n"], &first["classes"]), (&105.into(), &7.into()));
    let models = first["models"].as_array().unwrap();
    // The whole network knows more of emoji than its first block.
    assert_eq!((&models[0]["model"], &models[0]["dimension"]), (&CNN.into(), &1280.into()));
    assert_eq!((&models[1]["model"], &models[1]["dimension"]), (&format!("{CNN}@1").into(), &16.into()));
    assert!(models[0]["accuracy"].as_f64().unwrap() > 0.45, "chance is .14");
    let worse: [f64; 2] = serde_json::from_value(models[1]["difference_interval"].clone()).unwrap();
    assert!(models[1]["difference"].as_f64().unwrap() < -0.05 && worse[1] < 0.05, "{worse:?}");
    assert!(models.iter().all(|m| m["milliseconds_per_sample"].as_f64().unwrap() > 0.0));
    let written = times(&kept);
    assert!(written.len() >= 2);
    let again = json(&mut rank());
    assert_eq!(again["models"], first["models"]);
    assert_eq!(times(&kept), written);
    let text = String::from_utf8(rank().assert().success().get_output().stdout.clone()).unwrap();
    assert!(text.contains("LogME") && text.contains("best"), "{text}");
    // The same by files of features.
    let features: Vec<PathBuf> = written.iter().map(|(path, _)| path.clone()).collect();
    let of_files = json(&mut verb("rank", &features.iter().map(PathBuf::as_path).collect::<Vec<_>>()));
    let accuracies = |ranked: &Value| {
        let models = ranked["models"].as_array().unwrap();
        models.iter().map(|m| m["accuracy"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(accuracies(&of_files), accuracies(&first));
    // Other images of the same folder: what is kept is replaced.
    std::fs::remove_file(
        walkdir::WalkDir::new(&images).into_iter().flatten().find(|e| e.file_type().is_file()).unwrap().path(),
    )
    .unwrap();
    assert!(stderr(rank().assert().success()).contains("embedding anew"));
    assert_eq!(json(&mut rank())["n"], 104);
}

#[test]
fn a_backbone_with_a_head_has_leep_and_nce() {
    let folder = tempfile::Builder::new().prefix("choice").tempdir().unwrap();
    let images = folder.path().join("images");
    some_emoji(&images, 0..6);
    let mut rank = verb("rank", &[&images]);
    let ranked = json(rank.args(["--models", CNN, "--leep", "--cache"]).arg(folder.path().join("kept")));
    println!("{ranked}");
    let model = &ranked["models"][0];
    for name in ["leep", "nce"] {
        assert!(model[name].as_f64().unwrap() < 0.0, "{model}");
    }
    // No translation of classes can be worse than chance on the rows it was counted on.
    assert!(model["leep"].as_f64().unwrap() > (1.0_f64 / 7.0).ln(), "{model}");
}

#[test]
fn what_cannot_be_ranked_is_refused() {
    let (features, _) = tampered();
    let table = tweets();
    says(&mut verb("rank", &[&table]), 2, &["--models"]);
    says(verb("rank", &[features]).args(["--models", BERT]), 2, &["feature files without"]);
    says(verb("rank", &[&table]).args(["--models", &format!("{BERT},{BERT}")]), 2, &["twice"]);
    says(&mut verb("rank", &[features, emoji_features()]), 1, &["no labelled row is in"]);
}
