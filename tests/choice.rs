//! audit, suggest, rank, curve and what heads are judged on, by the command line.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use assert_cmd::Command;
use engraft::features::{Existing, FeatureSet};
use ndarray::Array2;
use serde_json::Value;
use support::{cache, engraft, home, json, process, says, some_emoji, stderr, tweets};

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
    let text = support::stdout(&verb("audit", &[features]).assert().success());
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
    let lines = support::stdout(&verb("suggest", &[&features]).args(["-n", "7"]).assert().success());
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
    let text = support::stdout(&rank().assert().success());
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
    // Another image of the same name.
    let files =
        || walkdir::WalkDir::new(&images).sort_by_file_name().into_iter().flatten().filter(|e| e.file_type().is_file());
    std::fs::copy(files().last().unwrap().path(), files().next().unwrap().path()).unwrap();
    assert!(stderr(rank().assert().success()).contains("embedding anew"));
    assert!(!stderr(rank().assert().success()).contains("embedding anew"));
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
    says(
        &mut verb("rank", &[features, emoji_features()]),
        1,
        &["no row is in the features of every backbone", "emoji"],
    );
}

/// Fifty groups of six rows that are all but alike, each group of a class drawn at random: who has seen a group knows its
/// others, and nothing can be known of other groups.
fn grouped(folder: &Path) -> PathBuf {
    let mut random = fastrand::Rng::with_seed(11);
    let (groups, d) = (50, 64);
    let centres = Array2::from_shape_fn((groups, d), |_| random.f32());
    let labels: Vec<bool> = (0..groups).map(|_| random.bool()).collect();
    let matrix = Array2::from_shape_fn((6 * groups, d), |(row, j)| centres[[row / 6, j]] + 0.01 * random.f32());
    let text = |f: &dyn Fn(usize) -> String| (0..6 * groups).map(|row| Some(f(row))).collect::<Vec<_>>();
    let set = FeatureSet {
        ids: (0..6 * groups).map(|row| format!("row {row}")).collect(),
        labels: text(&|row| labels[row / 6].to_string()),
        contents: vec![None; 6 * groups],
        kept: [
            ("patient".to_owned(), text(&|row| format!("p{}", row / 6))),
            ("site".to_owned(), text(&|row| ["north", "south", "west"][row % 3].to_owned())),
        ]
        .into(),
        matrix,
        provenance: None,
    };
    let path = folder.join("grouped.safetensors");
    set.write(&path, Existing::Replace).unwrap();
    path
}

fn train(features: &Path, folder: &Path, flags: &[&str]) -> Command {
    let mut train = verb("train", &[features]);
    train.args(flags).args(["--alpha", "0.01", "--overwrite", "-o"]).arg(folder.join("head.onnx"));
    train
}

#[test]
fn no_group_is_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let features = grouped(folder.path());
    let accuracy = |flags: &[&str]| {
        let report = json(&mut train(&features, folder.path(), flags));
        println!("{flags:?} {} {}", report["accuracy"], report["accuracy_interval"]);
        report["accuracy"].as_f64().unwrap()
    };
    let by_group = ["--group-column", "patient"];
    for judging in [&["--holdout", "0.3"][..], &["--cv", "5"]] {
        assert!(accuracy(judging) > 0.9, "{judging:?}");
        let grouped = accuracy(&[judging, &by_group].concat());
        assert!((0.2..0.8).contains(&grouped), "{judging:?} {grouped}");
    }
    // What is chosen and calibrated within is so too.
    let mut auto = verb("train", &[&features]);
    auto.args(by_group)
        .args(["--head", "auto", "--calibrate", "temperature", "-o"])
        .arg(folder.path().join("auto.onnx"));
    let report = json(&mut auto);
    for head in report["choice"]["heads"].as_array().unwrap() {
        assert!(head["accuracy"].as_f64().unwrap() < 0.8, "{head}");
    }
    assert!(report["calibration"]["before"]["log_loss"].as_f64().unwrap() > 0.5, "{report}");
    // Copies of a row would have ridge go through all of them: of groups it learns to shrink.
    let alpha = |flags: &[&str]| -> f64 {
        let mut ridge = verb("train", &[&features]);
        ridge.args(["--head", "ridge", "--holdout", "0", "--overwrite", "-o"]).arg(folder.path().join("ridge.onnx"));
        let said = stderr(ridge.args(flags).assert().success());
        said.split_once("alpha ").unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (by_rows, by_groups) = (alpha(&[]), alpha(&by_group));
    assert!(by_groups > 3.0 * by_rows, "{by_rows} {by_groups}");
    let train = |flags: &[&str]| train(&features, folder.path(), flags);
    says(&mut train(&["--group-column", "doctor"]), 2, &["no column `doctor`", "`patient`", "`site`"]);
    says(&mut train(&["--repeats", "2"]), 2, &["--cv"]);
    says(&mut train(&["--cv", "2", "--holdout", "0.5"]), 2, &["cannot be used with"]);
}

#[test]
fn repeats_steady_the_figures_of_as_many_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (features, _) = tampered();
    let cv = |flags: &[&str]| json(&mut train(features, folder.path(), &[&["--cv", "4"], flags].concat()));
    let (once, thrice) = (cv(&[]), cv(&["--repeats", "3"]));
    println!(
        "{} {} {} {}",
        once["accuracy"], once["accuracy_interval"], thrice["accuracy"], thrice["accuracy_interval"]
    );
    assert_eq!((&once["n"], &thrice["n"]), (&400.into(), &400.into()));
    assert_eq!((&once["repeats"], &thrice["repeats"]), (&Value::Null, &3.into()));
    let number = |value: &Value| value.as_f64().unwrap();
    let width = |report: &Value, name: &str| number(&report[name][1]) - number(&report[name][0]);
    for name in ["accuracy_interval", "log_loss_interval"] {
        assert!(width(&thrice, name) > 0.8 * width(&once, name), "{name}");
    }
    // A count of thirds of rows, by folds that are not all alike.
    let count = 1200.0 * number(&thrice["accuracy"]);
    assert!(
        (count - count.round()).abs() < 1e-6 && (number(&thrice["log_loss"]) - number(&once["log_loss"])).abs() > 1e-9
    );
    assert_eq!(cv(&["--repeats", "3", "--threads", "1"])["log_loss"], thrice["log_loss"]);
    // The counts are of rows, not of judgements: thirds of them.
    let rows = |value: &Value| value.as_array().unwrap().iter().map(number).sum::<f64>();
    for (report, class) in [(&once, 0), (&once, 1), (&thrice, 0), (&thrice, 1)] {
        let (counted, support) = (rows(&report["confusion"][class]), number(&report["per_class"][class]["support"]));
        assert!((counted - support).abs() < 1e-9, "{counted} {support}");
    }
    let text = train(features, folder.path(), &["--cv", "2", "--repeats", "2"]).assert().success();
    let text = support::stdout(&text);
    assert!(text.contains("400 cross-validated rows, 2 times each"), "{text}");
}

#[test]
fn groups_are_told_apart_by_eval_and_kept_from_tables() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut table = csv::Writer::from_path(at("t.csv")).unwrap();
    table.write_record(["id", "label", "text", "place"]).unwrap();
    for (i, [id, label, text]) in some_tweets(60).iter().enumerate() {
        table.write_record([id, label, text, ["north", "south", ""][i % 3]]).unwrap();
    }
    table.flush().unwrap();
    let mut embed = verb("embed", &[&at("t.csv")]);
    embed.args(["--model", BERT, "--keep", "place", "-o"]).arg(at("t.npy")).assert().success();
    let head = at("head.onnx");
    verb("train", &[&at("t.npy")]).args(["--holdout", "0", "-o"]).arg(&head).assert().success();
    let eval = |input: &str| {
        let mut eval = verb("eval", &[&head, &at(input)]);
        eval.args(["--group-column", "place"]);
        eval
    };
    let report = json(&mut eval("t.npy"));
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.iter().map(|g| g["group"].as_str().unwrap()).collect::<Vec<_>>(), ["north", "south"]);
    assert!(groups.iter().all(|g| g["n"] == 20 && g["accuracy_interval"][1].is_f64() && g["macro_f1"].is_f64()));
    assert_eq!(json(&mut eval("t.csv"))["groups"], report["groups"]);
    let text = eval("t.npy").assert().success();
    assert!(stderr(eval("t.npy").assert().success()).contains("20 rows without a `place`"));
    let text = support::stdout(&text);
    assert!(text.contains("group  rows  accuracy") && text.contains("south"), "{text}");
    // Whom no group is known of cannot be kept from the other side.
    says(
        verb("train", &[&at("t.npy")]).args(["--group-column", "place", "-o"]).arg(at("g.onnx")),
        1,
        &["has no `place`", "20"],
    );
    says(verb("eval", &[&head, &at("t.csv")]).args(["--group-column", "where"]), 2, &["no column `where`", "`place`"]);
    assert_eq!(json(&mut verb("eval", &[&head, &at("t.npy")]))["groups"], Value::Null);
}

#[test]
fn balanced_weights_find_more_of_the_rare() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    let labels: Vec<bool> = (0..600).map(|row| row % 12 == 0).collect();
    let matrix = Array2::from_shape_fn((600, 4), |(row, _)| f32::from(u8::from(labels[row])) + 2.0 * random.f32());
    let set = FeatureSet {
        ids: (0..600).map(|row| row.to_string()).collect(),
        labels: labels.iter().map(|label| Some(label.to_string())).collect(),
        contents: vec![None; 600],
        kept: Default::default(),
        matrix,
        provenance: None,
    };
    let features = folder.path().join("rare.parquet");
    set.write(&features, Existing::Refuse).unwrap();
    let recall = |weight: &str| {
        let report = json(&mut train(&features, folder.path(), &["--cv", "5", "--class-weight", weight]));
        assert_eq!(report["certificate"]["converged"], true);
        report["per_class"][1]["recall"].as_f64().unwrap()
    };
    let (none, balanced) = (recall("none"), recall("balanced"));
    assert!(balanced > none + 0.1, "{none} {balanced}");
    let mut ridge = verb("train", &[&features]);
    ridge.args(["--head", "ridge", "--class-weight", "balanced", "-o"]).arg(folder.path().join("r.onnx"));
    says(&mut ridge, 2, &["--class-weight is for a head of the kind logistic"]);
}

#[test]
fn a_curve_tells_what_labels_bring() {
    let folder = tempfile::tempdir().unwrap();
    let (features, _) = tampered();
    let curve = |flags: &[&str]| json(verb("curve", &[features]).args(["--repeats", "4"]).args(flags));
    let told = curve(&[]);
    println!("{told}");
    let points = told["points"].as_array().unwrap();
    let shots: Vec<Option<u64>> = points.iter().map(|p| p["shots"].as_u64()).collect();
    assert_eq!(shots, [Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(64), None]);
    let accuracy = |value: &Value| value["accuracy"].as_f64().unwrap();
    assert!(accuracy(&points[7]) > accuracy(&points[0]) + 0.1, "{told}");
    for value in points.iter().chain(told["forecast"].as_array().unwrap()) {
        let end = |i: usize| value["accuracy_interval"][i].as_f64().unwrap();
        assert!(end(0) < accuracy(value) && accuracy(value) < end(1), "{value}");
    }
    let ahead: Vec<(u64, u64)> = told["forecast"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["times"].as_u64().unwrap(), a["labels"].as_u64().unwrap()))
        .collect();
    let all = points[7]["labels"].as_u64().unwrap();
    assert_eq!(ahead, [(1, all), (2, 2 * all), (4, 4 * all)]);
    // All rows are what `train` fits, and is judged on.
    let head = folder.path().join("head.onnx");
    let trained = json(verb("train", &[features]).arg("-o").arg(&head));
    assert_eq!((&trained["accuracy"], &trained["n"]), (&points[7]["accuracy"], &told["n"]));
    // The same again, and on one thread; another seed is another draw.
    assert_eq!(curve(&["--threads", "1"]), told);
    assert_ne!(curve(&["--seed", "1"])["points"], told["points"]);
    let text = verb("curve", &[features]).args(["--head", "centroid", "--shots", "2,1,2"]).assert().success();
    let text = support::stdout(&text);
    assert!(text.contains("1 a class") && text.contains("all") && text.contains("4 times, forecast"), "{text}");
    assert_eq!(text.lines().count(), 7, "{text}");
    says(verb("curve", &[features]).args(["--head", "auto"]), 1, &["with 1 a class", "take more"]);
    says(verb("curve", &[features]).args(["--shots", "0"]), 2, &["1 or more"]);
    says(verb("curve", &[features]).args(["--holdout", "0"]), 2, &["--holdout must be above 0"]);
    says(verb("curve", &[features]).args(["--shots", "4"]), 0, &["no forecast"]);
}

#[test]
fn a_curve_ends_with_ctrl_c() {
    let (features, _) = tampered();
    let mut curve = process(home().path());
    curve.arg("curve").arg(features).args(["--repeats", "20000"]);
    let mut child = curve.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(child.try_wait().unwrap().is_none());
    Command::new("kill").args(["-INT", &child.id().to_string()]).assert().success();
    let asked = std::time::Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(asked.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn what_is_done_otherwise_than_asked_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    support::digits().select(&(0..200).collect::<Vec<_>>()).write(&file("some.npy"), Existing::Refuse).unwrap();
    let said = |command: &mut Command| stderr(command.assert().success());
    let of = |name: &str| verb(name, &[&file("some.npy")]);
    let train = |flags: &[&str]| {
        let mut train = of("train");
        train.args(["--head", "centroid", "--overwrite", "-o"]).arg(file("head.onnx")).args(flags);
        train
    };
    assert!(said(&mut train(&["--cv", "1000"])).contains("200 folds, not 1000: there are no more rows"));
    assert!(!said(&mut train(&["--cv", "5"])).contains("folds"));
    let text = said(of("curve").args(["--head", "centroid", "--shots", "1,2,1000"]));
    assert!(text.contains("left out of --shots: 1000: no class has more than"), "{text}");
    assert!(!said(of("curve").args(["--head", "centroid"])).contains("left out"));
    let help = support::stdout(&engraft().args(["curve", "--help"]).assert().success());
    assert!(help.contains("above 0 and below 1") && !help.contains("0 trains on every row"), "{help}");
    let text = said(train(&[]).args(["--device", "cuda"]));
    assert!(text.contains("nothing is embedded") && text.contains("--device cuda is not used"), "{text}");
    let sets = |rule: &str, coverage: &str| said(&mut train(&["--conformal", rule, "--coverage", coverage]));
    let text = sets("class-lac", ".99");
    assert!(text.contains("10 of 10 classes") && text.contains("takes 99 training rows of each class"), "{text}");
    let text = sets("aps", ".999");
    assert!(text.contains("hold every class") && text.contains("takes 999 training rows;"), "{text}");
    assert!(!sets("lac", ".9").contains("warning: all prediction sets"));
}

#[test]
fn what_is_wrong_with_files_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let write = |name: &str, change: &dyn Fn(&mut FeatureSet)| {
        let mut set = support::digits().select(&(0..50).collect::<Vec<_>>());
        change(&mut set);
        set.write(&file(name), Existing::Refuse).unwrap();
    };
    let others = |set: &mut FeatureSet| set.ids.iter_mut().for_each(|id| id.insert(0, 'x'));
    write("one.npy", &|_| ());
    write("same.npy", &|_| ());
    write("others.npy", &others);
    write("shorter.npy", &|set| {
        others(set);
        set.matrix = set.matrix.slice(ndarray::s![.., ..7]).to_owned();
    });
    write("infinite.npy", &|set| set.matrix[[3, 0]] = f32::INFINITY);
    write("bare.npy", &|set| set.labels.fill(None));
    write("class.npy", &|set| set.labels.fill(Some("a".to_owned())));
    let fails = |name: &str, inputs: &[&str], words: &[&str]| {
        let paths: Vec<PathBuf> = inputs.iter().map(|name| file(name)).collect();
        let mut command = verb(name, &paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        if name == "train" {
            command.arg("-o").arg(file("head.onnx"));
        }
        says(&mut command, 1, &[inputs, words].concat());
    };
    fails("train", &["one.npy", "same.npy"], &["the id \"0\" occurs twice"]);
    fails("train", &["one.npy", "shorter.npy"], &["lengths of embeddings of", "64", "7"]);
    fails("train", &["infinite.npy"], &["NaN or infinite"]);
    fails("suggest", &["one.npy"], &["every row has a label"]);
    fails("rank", &["one.npy", "others.npy"], &["no row is in the features of every backbone"]);
    fails("rank", &["infinite.npy"], &["NaN or infinite"]);
    fails("rank", &["bare.npy"], &["no row has a label"]);
    fails("rank", &["class.npy"], &["two classes"]);
    // A head for features of another length.
    verb("train", &[&file("one.npy")]).arg("-o").arg(file("head.onnx")).assert().success();
    let mut eval = verb("eval", &[&file("head.onnx"), &file("one.npy")]);
    assert!(stderr(eval.assert().success()).contains("head.onnx is of"));
}
