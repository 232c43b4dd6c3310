//! embed, train, eval and predict on real data, by the command line; and what happens when things go wrong.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use engraft::features::FeatureSet;
use serde_json::Value;
use support::{
    cache, cosine, emoji, engraft, golden, home, json, no_programs, process, says, some_emoji, sorted, stderr,
};

const CNN: &str = "efficientnet-lite0";
const BERT: &str = "all-minilm-l6-v2";

fn folder() -> tempfile::TempDir {
    // Without a leading dot: hidden folders are skipped as inputs.
    tempfile::Builder::new().prefix("workflow").tempdir().unwrap()
}

fn embed(input: &Path, model: &str, output: &Path) -> Command {
    let mut command = engraft();
    command.arg("embed").arg(input).args(["--model", model, "-o"]).arg(output);
    command
}

fn train(input: &Path, output: &Path) -> Command {
    let mut command = engraft();
    command.arg("train").arg(input).arg("-o").arg(output);
    command
}

fn with_head(verb: &str, head: &Path, input: &Path) -> Command {
    let mut command = engraft();
    command.arg(verb).arg(head).arg(input);
    command
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Emoji, eight of each category to train on and two to test with; their features; a head. Made once.
struct Trained {
    train: PathBuf,
    test: PathBuf,
    train_features: PathBuf,
    test_features: PathBuf,
    head: PathBuf,
}

fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let folder = cache().join("workflow");
        let _ = std::fs::remove_dir_all(&folder);
        let file = |name: &str| folder.join(name);
        let trained = Trained {
            train: file("train"),
            test: file("test"),
            train_features: file("train.parquet"),
            test_features: file("test.parquet"),
            head: file("head.onnx"),
        };
        some_emoji(&trained.train, 0..8);
        some_emoji(&trained.test, 8..10);
        embed(&trained.train, CNN, &trained.train_features).assert().success();
        embed(&trained.test, CNN, &trained.test_features).assert().success();
        train(&trained.train_features, &trained.head).args(["--holdout", "0"]).assert().success();
        trained
    })
}

// The demo.

fn scores(report: &Value) {
    for name in ["accuracy", "macro_f1", "log_loss"] {
        let value = report[name].as_f64().unwrap();
        let interval: [f64; 2] = serde_json::from_value(report[format!("{name}_interval")].clone()).unwrap();
        assert!(interval[0] <= value && value <= interval[1], "{name} {value} {interval:?}");
    }
    assert!(report["n"].as_u64().unwrap() > 0);
}

fn certified(report: &Value) {
    let certificate = &report["certificate"];
    assert_eq!(certificate["converged"], true, "{certificate}");
    for name in ["objective", "gradient_norm", "iterations", "seconds"] {
        assert!(certificate[name].is_number(), "{name}: {certificate}");
    }
}

fn embedded(summary: &Value, rows: usize, dimension: usize) {
    assert_eq!((&summary["rows"], &summary["dimension"]), (&rows.into(), &dimension.into()), "{summary}");
    assert_eq!((&summary["rejects"], &summary["provider"]), (&0.into(), &"cpu".into()), "{summary}");
    assert!(summary["seconds"].as_f64().unwrap() > 0.0 && summary["rows_per_second"].as_f64().unwrap() > 0.0);
    assert!(["decode", "run", "write"].contains(&summary["limited_by"].as_str().unwrap()), "{summary}");
}

#[test]
fn the_demo_learns_emoji_and_downloads_nothing_the_second_time() {
    let folder = folder();
    let out = folder.path().join("out");
    emoji();
    let mut demo = engraft();
    let first = json(demo.arg("demo").arg("--out").arg(&out).env("PATH", no_programs()));
    scores(&first);
    certified(&first);
    embedded(&first["embed"], 1250, 1280);
    println!("emoji: accuracy {}, {}", first["accuracy"], first["certificate"]);
    assert!(first["accuracy"].as_f64().unwrap() > 0.66, "{}", first["accuracy"]);
    assert_eq!(first["classes"], 7);
    assert!(!first["predictions"].as_array().unwrap().is_empty());
    let files: Vec<PathBuf> = serde_json::from_value(first["files"].clone()).unwrap();
    assert!(files.len() >= 3 && files.iter().all(|f| f.is_file()), "{files:?}");
    // Into the same folder, and for people: the closing table names steps and files.
    let mut demo = engraft();
    let again = demo.arg("demo").arg("--out").arg(&out).env("PATH", no_programs()).assert().success();
    let text = support::stdout(&again);
    for word in ["converged", "accuracy", "setup", "embed", "train", "predict", "head.onnx", "features.parquet"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[test]
fn the_demo_learns_sentiment() {
    let folder = folder();
    let demo = json(engraft().args(["demo", "--text", "--out"]).arg(folder.path()));
    scores(&demo);
    certified(&demo);
    println!("tweets: ROC AUC {}, accuracy {}", demo["roc_auc"], demo["accuracy"]);
    assert!(demo["roc_auc"].as_f64().unwrap() > 0.95, "{}", demo["roc_auc"]);
    assert_eq!(demo["embed"]["dimension"], 384);
}

// The verbs, one after the other.

#[test]
fn features_train_a_head_that_is_evaluated_on_others() {
    let t = trained();
    let report = json(&mut with_head("eval", &t.head, &t.test_features));
    scores(&report);
    assert_eq!((&report["n"], report["labels"].as_array().unwrap().len()), (&14.into(), 7));
    assert!(report["accuracy"].as_f64().unwrap() > 0.4, "chance is .14: {}", report["accuracy"]);
    let confusion: Vec<Vec<u64>> = serde_json::from_value(report["confusion"].clone()).unwrap();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 14);
    assert_eq!(report["per_class"].as_array().unwrap().len(), 7);
    // The same from the images themselves: the head knows its backbone.
    let raw = json(&mut with_head("eval", &t.head, &t.test));
    assert_eq!(raw["confusion"], report["confusion"]);
    // On what it was trained on it must be good.
    let seen = json(&mut with_head("eval", &t.head, &t.train_features));
    assert!(seen["accuracy"].as_f64().unwrap() > 0.95, "{}", seen["accuracy"]);
}

#[test]
fn training_holds_out_a_fifth_and_reports_on_it() {
    let (t, folder) = (trained(), folder());
    let report = json(&mut train(&t.train_features, &folder.path().join("head.onnx")));
    scores(&report);
    certified(&report);
    assert_eq!(report["n_train"].as_u64().unwrap() + report["n"].as_u64().unwrap(), 56);
    assert!((7..=14).contains(&report["n"].as_u64().unwrap()), "{report}");
    let with_seed = |seed: &str| {
        let head = folder.path().join(format!("head-{seed}.onnx"));
        json(train(&t.train_features, &head).args(["--seed", seed, "--overwrite"]))
    };
    let (one, again) = (with_seed("1"), with_seed("1"));
    assert_eq!((&one["confusion"], &one["log_loss"]), (&again["confusion"], &again["log_loss"]));
    assert_ne!(one["log_loss"], report["log_loss"]);
}

#[test]
fn training_from_images_equals_training_from_their_features() {
    let (t, folder) = (trained(), folder());
    let raw = json(train(&t.train, &folder.path().join("raw.onnx")).args(["--model", CNN]));
    let features = json(&mut train(&t.train_features, &folder.path().join("features.onnx")));
    assert_eq!((&raw["n"], &raw["confusion"]), (&features["n"], &features["confusion"]));
    let objective = |report: &Value| report["certificate"]["objective"].as_f64().unwrap();
    assert!((objective(&raw) / objective(&features) - 1.0).abs() < 1e-4);
}

#[test]
fn predictions_come_from_images_and_features_alike() {
    let t = trained();
    let predict = |input: &Path| -> Vec<Value> {
        let mut command = with_head("predict", &t.head, input);
        let output = command.args(["--json", "--top-k", "3"]).assert().success().get_output().clone();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (raw, features) = (predict(&t.test), predict(&t.test_features));
    assert_eq!((raw.len(), features.len()), (14, 14));
    for (a, b) in raw.iter().zip(&features) {
        assert_eq!((&a["id"], &a["label"]), (&b["id"], &b["label"]));
        let probability = |p: &Value| p["probability"].as_f64().unwrap();
        assert!((probability(a) - probability(b)).abs() < 1e-3, "{a} {b}");
        let top = a["top"].as_array().unwrap();
        assert_eq!((top.len(), &top[0]["label"]), (3, &a["label"]));
        assert!(top.windows(2).all(|w| probability(&w[0]) >= probability(&w[1])));
    }
    let one = sorted(&sorted(&t.test)[0])[0].clone();
    let output = with_head("predict", &t.head, &one).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = text.trim_end().split('\t').collect();
    assert_eq!((fields.len(), fields[0]), (3, one.file_name().unwrap().to_str().unwrap()));
    assert!((0.0..=1.0).contains(&fields[2].parse::<f64>().unwrap()));
}

#[test]
fn a_head_for_texts_answers_lines_of_standard_input() {
    let folder = folder();
    let (table, head) = (folder.path().join("reviews.csv"), folder.path().join("head.onnx"));
    let all = std::fs::read_to_string(support::tweets()).unwrap();
    std::fs::write(&table, all.lines().take(301).collect::<Vec<_>>().join("\n")).unwrap();
    let report = json(train(&table, &head).args(["--model", BERT, "--id-column", "id"]));
    assert!(report["accuracy"].as_f64().unwrap() > 0.75, "{report}");
    let mut predict = with_head("predict", &head, Path::new("-"));
    let said = predict.write_stdin("I love this, what a lovely day\nthis is awful and I hate it\n").assert().success();
    let text = support::stdout(&said);
    let labels: Vec<&str> = text.lines().map(|l| l.split('\t').nth(1).unwrap()).collect();
    assert_eq!(labels, ["positive", "negative"], "{text}");
}

#[test]
fn every_format_holds_the_same_features() {
    let (t, folder) = (trained(), folder());
    let want = FeatureSet::read(&t.test_features).unwrap();
    // An array and the file of its ids share a name: two arrays may not.
    for name in ["a.npy", "b.safetensors", "shards/"] {
        let output = folder.path().join(name);
        embedded(&json(&mut embed(&t.test, CNN, &output)), 14, 1280);
        let got = FeatureSet::read(&output).unwrap();
        assert_eq!((&got.ids, &got.labels, &got.contents), (&want.ids, &want.labels, &want.contents), "{name}");
        assert_eq!(got.provenance, want.provenance, "{name}");
        for (a, b) in got.matrix.outer_iter().zip(want.matrix.outer_iter()) {
            assert!(cosine(&a.to_vec(), &b.to_vec()) > 0.999_999, "{name}");
        }
        with_head("eval", &t.head, &output).assert().success();
    }
}

#[test]
fn several_inputs_keep_their_samples_apart() {
    let (t, folder) = (trained(), folder());
    let output = folder.path().join("both.parquet");
    let mut command = embed(&t.train, CNN, &output);
    embedded(&json(command.arg(&t.test)), 70, 1280);
    let set = FeatureSet::read(&output).unwrap();
    assert_eq!(set.ids.iter().collect::<BTreeSet<_>>().len(), 70);
    let from_test = set.ids.iter().filter(|id| id.starts_with(t.test.to_str().unwrap())).count();
    assert_eq!(from_test, 14);
    // Feature files may be several as well.
    let mut command = train(&t.train_features, &folder.path().join("head.onnx"));
    let report = json(command.arg(&t.test_features));
    assert_eq!(report["n_train"].as_u64().unwrap() + report["n"].as_u64().unwrap(), 70);
    let mut mixed = with_head("predict", &t.head, &t.test_features);
    says(mixed.arg(&t.test), 2, &["features", "raw", "one kind"]);
    let mut twice = embed(&t.test, CNN, &folder.path().join("twice.parquet"));
    says(twice.arg(&t.test), 2, &["overlap"]);
}

// What is refused.

#[test]
fn features_of_another_backbone_are_refused() {
    let (t, folder) = (trained(), folder());
    let other = folder.path().join("other.parquet");
    embed(&t.test, "efficientnet-lite2", &other).assert().success();
    for verb in ["predict", "eval"] {
        let mut command = with_head(verb, &t.head, &other);
        let said = says(&mut command, 1, &["do not match", "efficientnet-lite0", "efficientnet-lite2"]);
        let stdout = command.assert().get_output().stdout.clone();
        assert!(stdout.is_empty(), "{said}");
    }
    let mut model = with_head("predict", &t.head, &t.test);
    says(model.args(["--model", "efficientnet-lite2"]), 1, &["do not match"]);
    let mut both = train(&t.test_features, &folder.path().join("h.onnx"));
    says(both.arg(&other), 1, &["do not match", "efficientnet-lite0", "efficientnet-lite2"]);
}

#[test]
fn an_output_that_is_there_is_refused() {
    let (t, folder) = (trained(), folder());
    for name in ["a.parquet", "b.npy", "c.safetensors", "shards/"] {
        let output = folder.path().join(name);
        embed(&t.test, CNN, &output).assert().success();
        let before = FeatureSet::read(&output).unwrap();
        says(&mut embed(&t.train, CNN, &output), 2, &["already exists", "--overwrite"]);
        assert_eq!(FeatureSet::read(&output).unwrap(), before);
        embed(&t.train, CNN, &output).arg("--overwrite").assert().success();
        assert_eq!(FeatureSet::read(&output).unwrap().len(), 56, "{name}");
    }
    let head = folder.path().join("head.onnx");
    train(&t.train_features, &head).assert().success();
    let before = std::fs::read(&head).unwrap();
    says(&mut train(&t.train_features, &head), 2, &["already exists", "--overwrite"]);
    assert_eq!(std::fs::read(&head).unwrap(), before);
    train(&t.train_features, &head).args(["--overwrite", "--alpha", "1"]).assert().success();
    assert_ne!(std::fs::read(&head).unwrap(), before);
}

/// Three emoji, a truncated JPEG and a text that is called an image, in two classes.
fn with_bad_files(folder: &Path) {
    let images = sorted(&sorted(&emoji())[0]);
    for (class, image) in [("a", &images[0]), ("a", &images[1]), ("b", &images[2])] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        std::fs::copy(image, folder.join(class).join(image.file_name().unwrap())).unwrap();
    }
    let jpeg = std::fs::read(golden("preprocess/colour.jpg")).unwrap();
    std::fs::write(folder.join("a/00-cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    std::fs::write(folder.join("b/text.png"), "this is no image\n").unwrap();
}

#[test]
fn every_input_is_in_the_output_or_in_the_rejects() {
    let folder = folder();
    let (input, output) = (folder.path().join("input"), folder.path().join("out/x.parquet"));
    with_bad_files(&input);
    for (name, rejects) in [("out/x.parquet", "out/x.parquet.rejects.jsonl"), ("shards/", "shards/rejects.jsonl")] {
        let output = folder.path().join(name);
        let said = says(&mut embed(&input, CNN, &output), 3, &["2 rejected", rejects]);
        let rejects = lines(&folder.path().join(rejects));
        assert_eq!(rejects.len(), 2, "{said}");
        for reject in &rejects {
            assert_eq!(reject["stage"], "decode");
            assert!(!reject["reason"].as_str().unwrap().is_empty());
        }
        assert!(rejects[0]["reason"].as_str().unwrap().contains("cut off"), "{rejects:?}");
        let mut ids = FeatureSet::read(&output).unwrap().ids;
        assert_eq!(ids.len(), 3);
        ids.extend(rejects.iter().map(|r| r["id"].as_str().unwrap().to_owned()));
        ids.sort();
        let mut want: Vec<String> = ["a", "b"]
            .iter()
            .flat_map(|class| sorted(&input.join(class)))
            .map(|path| path.strip_prefix(&input).unwrap().to_str().unwrap().to_owned())
            .collect();
        want.sort();
        assert_eq!(ids, want, "{name}");
    }
    let limited = |limit: &str| {
        let mut command = embed(&input, CNN, &output);
        command.args(["--overwrite", "--max-rejects", limit]);
        command
    };
    limited("1").assert().code(3);
    limited("2").assert().code(0);
    limited("39%").assert().code(3);
    limited("40%").assert().code(0);
    // The summary counts them too.
    let summary = json(&mut limited("2"));
    assert_eq!((&summary["rows"], &summary["rejects"]), (&3.into(), &2.into()));
    // Once the bad files are gone, so is the list of rejects.
    std::fs::remove_file(input.join("a/00-cut.jpg")).unwrap();
    std::fs::remove_file(input.join("b/text.png")).unwrap();
    limited("0").assert().code(0);
    assert!(!folder.path().join("out/x.parquet.rejects.jsonl").exists());
}

#[test]
fn rejects_while_predicting_are_told_and_counted() {
    let (t, folder) = (trained(), folder());
    with_bad_files(folder.path());
    let mut predict = with_head("predict", &t.head, folder.path());
    let said = predict.assert().code(3);
    assert_eq!(String::from_utf8_lossy(&said.get_output().stdout).lines().count(), 3);
    let said = stderr(said);
    assert!(said.contains("a/00-cut.jpg") && said.contains("b/text.png"), "{said}");
    let mut predict = with_head("predict", &t.head, folder.path());
    predict.args(["--max-rejects", "2"]).assert().code(0);
}

#[test]
fn inputs_that_hold_nothing_usable_are_named() {
    let folder = folder();
    let output = folder.path().join("x.parquet");
    let input = |name: &str| folder.path().join(name);
    std::fs::create_dir(input("empty")).unwrap();
    says(&mut embed(&input("empty"), CNN, &output), 1, &["no images", "empty", "png"]);
    std::fs::create_dir(input("notes")).unwrap();
    std::fs::write(input("notes/a.txt"), "x").unwrap();
    says(&mut embed(&input("notes"), CNN, &output), 1, &["no images", "notes"]);
    says(&mut embed(&input("absent"), CNN, &output), 2, &["there is no input", "absent"]);
    std::fs::create_dir(input("broken")).unwrap();
    std::fs::write(input("broken/a.png"), "x").unwrap();
    says(&mut embed(&input("broken"), CNN, &output), 3, &["no input could be embedded", "a.png"]);
    std::fs::write(input("empty.csv"), "text,label\n").unwrap();
    says(&mut embed(&input("empty.csv"), BERT, &output), 1, &["no rows"]);
    says(embed(Path::new("-"), BERT, &output).write_stdin(""), 1, &["standard input is empty"]);
    assert!(!output.exists());
}

#[test]
fn a_column_that_is_missing_is_named_with_those_there_are() {
    let folder = folder();
    let (table, output) = (folder.path().join("t.csv"), folder.path().join("x.parquet"));
    std::fs::write(&table, "body,stars\ngood,5\nbad,1\n").unwrap();
    says(&mut embed(&table, BERT, &output), 2, &["`body`, `stars`", "--text-column"]);
    let mut labels = embed(&table, BERT, &output);
    says(labels.args(["--text-column", "body", "--label-column", "label"]), 2, &["no column `label`", "`stars`"]);
    says(&mut embed(&table, CNN, &output), 2, &["--path-column"]);
    let mut good = embed(&table, BERT, &output);
    good.args(["--text-column", "body", "--label-column", "stars"]).assert().success();
    let set = FeatureSet::read(&output).unwrap();
    assert_eq!(set.labels, [Some("5".to_owned()), Some("1".to_owned())]);
}

#[test]
fn images_may_be_named_by_a_table() {
    let (t, folder) = (trained(), folder());
    let table = folder.path().join("t.csv");
    let images: Vec<PathBuf> = sorted(&t.test).iter().flat_map(|class| sorted(class)).collect();
    let rows: String = images.iter().map(|p| format!("\"{}\",x\n", p.display())).collect();
    std::fs::write(&table, format!("path,label\n{rows}nowhere.png,x\n")).unwrap();
    let output = folder.path().join("x.parquet");
    embed(&table, CNN, &output).assert().code(3);
    let (got, want) = (FeatureSet::read(&output).unwrap(), FeatureSet::read(&t.test_features).unwrap());
    assert_eq!((got.len(), &got.contents), (14, &want.contents));
    let rejects = lines(&folder.path().join("x.parquet.rejects.jsonl"));
    assert_eq!((rejects.len(), &rejects[0]["stage"]), (1, &"read".into()), "{rejects:?}");
}

#[test]
fn labels_that_cannot_be_learnt_are_explained() {
    let (t, folder) = (trained(), folder());
    let output = folder.path().join("head.onnx");
    // One class only.
    let one = folder.path().join("one");
    let class = &sorted(&t.test)[0];
    std::fs::create_dir_all(one.join("only")).unwrap();
    for image in sorted(class) {
        std::fs::copy(&image, one.join("only").join(image.file_name().unwrap())).unwrap();
    }
    says(train(&one, &output).args(["--model", CNN]), 1, &["same label", "nothing to tell apart"]);
    // No class at all.
    says(train(class, &output).args(["--model", CNN]), 1, &["no row has a label", "--label-column"]);
    assert!(!output.exists());
    // Raw images, and no backbone named.
    says(&mut train(&one, &output), 2, &["--model"]);
    // A class of one image among others is learnt from, and said to be untested.
    let mixed = folder.path().join("mixed");
    some_emoji(&mixed, 0..3);
    std::fs::create_dir(mixed.join("rare")).unwrap();
    std::fs::copy(&sorted(class)[0], mixed.join("rare/one.png")).unwrap();
    let said = stderr(train(&mixed, &output).args(["--model", CNN]).assert().success());
    assert!(said.contains("\"rare\"") && said.contains("one sample only"), "{said}");
    let labels = engraft::head::HeadFile::read(&output).unwrap().labels;
    assert!(labels.contains(&"rare".to_owned()));
    // Every class of one image: nothing is left to test with.
    let single = folder.path().join("single");
    some_emoji(&single, 0..1);
    let mut train_single = train(&single, &folder.path().join("single.onnx"));
    says(train_single.args(["--model", CNN]), 1, &["held out"]);
    train(&single, &folder.path().join("single.onnx")).args(["--model", CNN, "--holdout", "0"]).assert().success();
}

#[test]
fn the_same_picture_on_both_sides_is_warned_of() {
    let folder = folder();
    let input = folder.path().join("input");
    some_emoji(&input, 0..4);
    for class in sorted(&input) {
        for image in sorted(&class) {
            std::fs::copy(&image, class.join(format!("again-{}", image.file_name().unwrap().to_str().unwrap())))
                .unwrap();
        }
    }
    let mut command = train(&input, &folder.path().join("head.onnx"));
    let said = stderr(command.args(["--model", CNN]).assert().success());
    assert!(said.contains("warning") && said.contains("same content"), "{said}");
}

#[test]
fn a_fit_that_does_not_converge_warns() {
    let (t, folder) = (trained(), folder());
    let mut command = train(&t.train_features, &folder.path().join("head.onnx"));
    let said = command.args(["--max-iterations", "1", "--alpha", "1", "--json"]).assert().success();
    let report: Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
    assert_eq!(report["certificate"]["converged"], false);
    let said = stderr(said);
    assert!(said.contains("warning") && said.contains("did not converge"), "{said}");
}

#[test]
fn an_input_is_never_written_over() {
    let folder = folder();
    let (table, array) = (folder.path().join("reviews.jsonl"), folder.path().join("reviews.npy"));
    let content = "{\"text\": \"good\"}\n{\"text\": \"bad\"}\n";
    std::fs::write(&table, content).unwrap();
    // The ids of reviews.npy would stand in reviews.jsonl.
    for arguments in [&[][..], &["--overwrite"]] {
        let mut command = embed(&table, BERT, &array);
        says(command.args(arguments), 2, &["reviews.jsonl"]);
        assert_eq!(std::fs::read_to_string(&table).unwrap(), content);
        assert_eq!(sorted(folder.path()), std::slice::from_ref(&table));
    }
}

#[test]
fn files_that_are_no_heads_are_refused() {
    let (t, folder) = (trained(), folder());
    let broken = folder.path().join("broken.onnx");
    std::fs::write(&broken, "no model").unwrap();
    says(&mut with_head("predict", &broken, &t.test_features), 1, &["broken.onnx", "not usable"]);
    says(&mut with_head("predict", Path::new("absent.onnx"), &t.test_features), 1, &["cannot read absent.onnx"]);
    let backbone = home().model(CNN).join("model.onnx");
    says(&mut with_head("predict", &backbone, &t.test_features), 1, &["not a head that engraft trained"]);
    let whole = std::fs::read(&t.test_features).unwrap();
    let cut = folder.path().join("cut.parquet");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    says(&mut with_head("predict", &t.head, &cut), 1, &["cut.parquet"]);
}

// Where the disk or the user ends it.

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let (t, folder) = (trained(), folder());
    // Permissions do not hold root back; a path below a file holds everybody.
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    says(&mut embed(&t.test, CNN, &file.join("x.parquet")), 1, &["cannot", "file"]);
    says(&mut train(&t.train_features, &file.join("head.onnx")), 1, &["cannot", "file"]);
    says(&mut embed(&t.test, CNN, &folder.path().join("x.h5")), 2, &[".parquet", ".npy", ".safetensors"]);
}

/// Runs engraft where no file may grow beyond 2 KiB (or 4, as the shell counts): as on a disk that is full.
fn on_a_full_disk(arguments: &[&std::ffi::OsStr]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh"]).arg(env!("CARGO_BIN_EXE_engraft"));
    shell.args(arguments).env("ENGRAFT_HOME", home().path()).env("ENGRAFT_DEVICE", "cpu").env_remove("ORT_DYLIB_PATH");
    shell
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let (t, folder, bad) = (trained(), folder(), folder());
    with_bad_files(bad.path());
    for name in ["x.parquet", "x.npy", "x.safetensors", "shards/"] {
        let output = folder.path().join(name);
        let (input, output) = (t.test.as_os_str(), output.as_os_str());
        let mut embed = on_a_full_disk(&["embed".as_ref(), input, "-m".as_ref(), CNN.as_ref(), "-o".as_ref(), output]);
        says(&mut embed, 1, &["cannot write", "too large"]);
        assert_eq!(sorted(folder.path()), Vec::<PathBuf>::new(), "{name}");
        let input = bad.path().as_os_str();
        let mut embed = on_a_full_disk(&["embed".as_ref(), input, "-m".as_ref(), CNN.as_ref(), "-o".as_ref(), output]);
        says(&mut embed, 1, &["cannot write", "too large"]);
        assert_eq!(sorted(folder.path()), Vec::<PathBuf>::new(), "{name}, with rejects");
    }
    let head = folder.path().join("head.onnx");
    let mut train = on_a_full_disk(&["train".as_ref(), t.train_features.as_os_str(), "-o".as_ref(), head.as_os_str()]);
    says(&mut train, 1, &["cannot write", "head.onnx"]);
    assert_eq!(sorted(folder.path()), Vec::<PathBuf>::new());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_an_error() {
    let t = trained();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut predict = process(home().path());
    let output = predict.arg("predict").arg(&t.head).arg(&t.test_features).stdout(full).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write stdout"), "{said}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let t = trained();
    let mut predict = process(home().path());
    predict.arg("predict").arg(&t.head).arg(&t.test_features).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = predict.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{:?} {said}", output.status);
}

#[test]
fn ctrl_c_leaves_nothing_and_ends_with_130() {
    let folder = folder();
    let input = emoji();
    // What becomes of a folder is in tests/resume.rs.
    for name in ["x.parquet", "x.npy"] {
        let out = folder.path().join("out");
        let mut embed = process(home().path());
        embed.arg("embed").arg(&input).args(["--model", CNN, "-o"]).arg(out.join(name)).stderr(Stdio::piped());
        let child = embed.spawn().unwrap();
        // The first rows have been written: the embedding is in its middle.
        let begun = Instant::now();
        let hidden = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().starts_with(".engraft-");
        let there = |folder: &Path| folder.is_dir() && sorted(folder).iter().any(hidden);
        while !there(&out) && !there(&out.join(name)) {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing was written");
            std::thread::sleep(Duration::from_millis(20));
        }
        let interrupted = Instant::now();
        Command::new("kill").args(["-INT", &child.id().to_string()]).assert().success();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{name}: {said}");
        assert!(said.contains("interrupted") && !said.contains("panicked"), "{said}");
        assert!(interrupted.elapsed() < Duration::from_secs(10));
        assert_eq!(sorted(&out), Vec::<PathBuf>::new(), "{name}");
        std::fs::remove_dir(&out).unwrap();
    }
}

#[test]
fn features_that_are_not_finite_are_refused_by_every_verb() {
    let folder = folder();
    let mut set = FeatureSet::read(&trained().train_features).unwrap();
    set.matrix[[3, 2]] = f32::NAN;
    let (features, head) = (folder.path().join("nan.parquet"), folder.path().join("head.onnx"));
    set.write(&features, engraft::features::Existing::Refuse).unwrap();
    let about = format!("the features of {} have a NaN", set.ids[3]);
    says(&mut train(&features, &head), 1, &[&about]);
    assert!(!head.exists());
    says(&mut with_head("predict", &trained().head, &features), 1, &[&about]);
    says(&mut with_head("eval", &trained().head, &features), 1, &[&about]);
}

#[test]
fn each_scaling_has_a_penalty_that_suits_it() {
    let folder = folder();
    for scaling in ["standardize", "l2", "none"] {
        let mut command = train(&trained().train_features, &folder.path().join("head.onnx"));
        let report = json(command.args(["--scaling", scaling, "--overwrite"]));
        assert!(report["accuracy"].as_f64().unwrap() > 0.4, "{scaling}: {report}");
    }
}

#[test]
fn pictures_of_formats_that_cannot_be_read_are_rejects() {
    let folder = folder();
    some_emoji(folder.path(), 0..1);
    std::fs::write(folder.path().join("Objects/phone.HEIC"), b"ftypheic").unwrap();
    std::fs::write(folder.path().join("Objects/notes.txt"), b"no picture").unwrap();
    let output = folder.path().join("out.parquet");
    says(&mut embed(folder.path(), CNN, &output), 3, &["1 rejected"]);
    let rejects = lines(&folder.path().join("out.parquet.rejects.jsonl"));
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0]["id"], "Objects/phone.HEIC");
}

#[test]
fn a_prediction_is_one_line_whatever_the_name() {
    let folder = folder();
    let image = sorted(&trained().test.join("Objects")).remove(0);
    std::fs::copy(image, folder.path().join("a\tb\nc.png")).unwrap();
    let output = with_head("predict", &trained().head, folder.path()).assert().success();
    let text = support::stdout(&output);
    assert_eq!(text.lines().count(), 1);
    let fields: Vec<&str> = text.trim_end().split('\t').collect();
    assert_eq!((fields.len(), fields[0]), (3, r"a\tb\nc.png"));
}

#[test]
fn features_of_unknown_origin_are_warned_of() {
    let folder = folder();
    let mut set = FeatureSet::read(&trained().test_features).unwrap();
    set.provenance = None;
    let features = folder.path().join("unknown.npy");
    set.write(&features, engraft::features::Existing::Refuse).unwrap();
    let said = stderr(with_head("predict", &trained().head, &features).assert().success());
    assert!(said.contains("nothing says which backbone"), "{said}");
}

#[test]
fn silence_on_standard_input_can_be_interrupted() {
    let folder = folder();
    let mut command = process(home().path());
    command.args(["embed", "-", "--model", BERT, "-o"]).arg(folder.path().join("x.npy"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Until it waits for its input.
    std::thread::sleep(Duration::from_secs(3));
    assert!(child.try_wait().unwrap().is_none());
    Command::new("kill").args(["-INT", &child.id().to_string()]).assert().success();
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "it still waits");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_head_remembers_the_flags_of_its_backbone() {
    let folder = folder();
    let source = home().model(BERT);
    let model = folder.path().join("mine");
    std::fs::create_dir(&model).unwrap();
    engraft().args(["models", "pull", BERT]).assert().success();
    for name in ["model.onnx", "tokenizer.json"] {
        std::fs::copy(source.join(name), model.join(name)).unwrap();
    }
    let table = folder.path().join("reviews.csv");
    let rows = ["good,a", "lovely,a", "great,a", "bad,b", "awful,b", "horrid,b"];
    std::fs::write(&table, format!("text,label\n{}\n", rows.join("\n"))).unwrap();
    let head = folder.path().join("head.onnx");
    let mut train = train(&table, &head);
    train.arg("--model").arg(&model);
    says(&mut train, 1, &["--pooling"]);
    train.args(["--pooling", "cls", "--normalize", "true", "--max-length", "64"]).assert().success();

    // Nothing of this is asked for again.
    with_head("predict", &head, &table).assert().success();
    // Another tokenizer makes other features of the same graph.
    let words = std::fs::read_to_string(model.join("tokenizer.json")).unwrap();
    std::fs::write(model.join("tokenizer.json"), words + "\n").unwrap();
    says(&mut with_head("predict", &head, &table), 1, &["do not match"]);
}
