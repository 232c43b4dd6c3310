//! A trained head is an ONNX file that others read as we do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::Path;

use close::{Tolerance, assert_close};
use engraft::features::{Existing, FeatureSet};
use engraft::head::HeadFile;
use ndarray::Array2;
use support::{PEERS, embed, engraft, json, python, says, some_emoji, tweets};

const SCRIPT: &str = r#"
import json, sys
import numpy as np, onnx, onnxruntime
head, rows, out = sys.argv[1:]
onnx.checker.check_model(head, full_check=True)
session = onnxruntime.InferenceSession(head)
[entry] = session.get_inputs()
assert entry.name == "embedding" and [o.name for o in session.get_outputs()] == ["logits", "probabilities", "label"]
x = np.fromfile(rows, "<f4").reshape(-1, entry.shape[1])
logits, probabilities, label = session.run(None, {"embedding": x})
assert label.dtype == np.int64 and label.shape == (len(x),)
np.concatenate([logits, probabilities, label[:, None]], axis=1).astype("<f4").tofile(out)
print(json.dumps(session.get_modelmeta().custom_metadata_map))
"#;

/// Trains on a table of features through the command line and compares Python's ONNX Runtime with our own arithmetic.
fn agree(features: &Path, scaling: &str, classes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut train = engraft();
    train.arg("train").arg(features).arg("-o").arg(file("head.onnx")).args(["--scaling", scaling]);
    let trained = json(&mut train);
    assert_eq!((&trained["classes"], &trained["certificate"]["converged"]), (&classes.into(), &true.into()));

    let x = FeatureSet::read(features).unwrap().matrix;
    let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(file("x.bin"), bytes).unwrap();
    let said = python(&PEERS, SCRIPT, &[&file("head.onnx"), &file("x.bin"), &file("out.bin")]);
    let metadata: serde_json::Value = serde_json::from_str(&said).unwrap();
    let head = HeadFile::read(&file("head.onnx")).unwrap();
    assert_eq!(head.labels.len(), classes);
    let labels: Vec<String> = serde_json::from_str(metadata["engraft.labels"].as_str().unwrap()).unwrap();
    assert_eq!(labels, head.labels);
    let certificate: serde_json::Value =
        serde_json::from_str(metadata["engraft.certificate"].as_str().unwrap()).unwrap();
    assert_eq!(certificate, trained["certificate"]);
    let provenance: serde_json::Value = serde_json::from_str(metadata["engraft.provenance"].as_str().unwrap()).unwrap();
    assert_eq!(provenance["backbone"], head.provenance.unwrap().backbone);
    assert_eq!(metadata["engraft.version"], env!("CARGO_PKG_VERSION"));

    let got = support::floats(file("out.bin"));
    let got = Array2::from_shape_vec((x.nrows(), 2 * classes + 1), got).unwrap();
    let (logits, probabilities) = (head.head.logits(x.view()).unwrap(), head.head.probabilities(x.view()).unwrap());
    let label = head.head.classify(x.view()).unwrap();
    let (mut logit_error, mut probability_error) = (0.0_f32, 0.0_f32);
    for (i, row) in got.outer_iter().enumerate() {
        for k in 0..classes {
            // To 1e-5 of the row's largest logit: its rounding grows with that.
            let scale = logits.row(i).fold(1.0_f32, |a, b| a.max(b.abs()));
            logit_error = logit_error.max((row[k] - logits[[i, k]]).abs() / scale);
            probability_error = probability_error.max((row[classes + k] - probabilities[[i, k]]).abs());
        }
        assert_eq!(row[2 * classes], label[i] as f32, "row {i}");
    }
    println!(
        "{classes} classes, {scaling}: logits differ by {logit_error:.1e}, probabilities by {probability_error:.1e}"
    );
    assert!(logit_error <= 1e-5 && probability_error <= 1e-5, "{logit_error} {probability_error}");
}

#[test]
fn seven_classes_of_images() {
    let folder = tempfile::tempdir().unwrap();
    some_emoji(&folder.path().join("emoji"), 0..12);
    let features = folder.path().join("features.parquet");
    let mut embed = engraft();
    embed.arg("embed").arg(folder.path().join("emoji")).args(["-m", "efficientnet-lite0", "-o"]).arg(&features);
    embed.assert().success();
    agree(&features, "standardize", 7);
    agree(&features, "l2", 7);
}

#[test]
fn two_classes_of_texts() {
    let folder = tempfile::tempdir().unwrap();
    let (table, features) = (folder.path().join("some.csv"), folder.path().join("features.parquet"));
    let all = std::fs::read_to_string(tweets()).unwrap();
    std::fs::write(&table, all.lines().take(101).collect::<Vec<_>>().join("\n")).unwrap();
    let mut embed = engraft();
    embed.arg("embed").arg(&table).args(["-m", "all-minilm-l6-v2", "--id-column", "id", "-o"]).arg(&features);
    embed.assert().success();
    agree(&features, "standardize", 2);
    agree(&features, "l2", 2);
}

const LABELS: &str = r#"
import sys
import numpy as np, onnx, onnxruntime
head, rows, out = sys.argv[1:]
onnx.checker.check_model(head, full_check=True)
session = onnxruntime.InferenceSession(head)
[entry] = session.get_inputs()
assert [o.name for o in session.get_outputs()] == ["logits", "probabilities", "labels"]
x = np.fromfile(rows, "<f4").reshape(-1, entry.shape[1])
logits, probabilities, labels = session.run(None, {"embedding": x})
assert labels.dtype == bool and (labels == (probabilities >= 0.5)).all() and 0 < labels.mean() < 1
assert np.allclose(probabilities, 1 / (1 + np.exp(-logits.astype(float))), atol=1e-6)
probabilities.astype("<f4").tofile(out)
print(session.get_modelmeta().custom_metadata_map["engraft.link"])
"#;

#[test]
fn texts_of_any_number_of_labels() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut table = csv::Writer::from_path(file("tweets.csv")).unwrap();
    table.write_record(["id", "text", "label"]).unwrap();
    for record in csv::Reader::from_path(tweets()).unwrap().records().take(200) {
        let record = record.unwrap();
        let (id, sentiment, text) = (&record[0], &record[1], &record[2]);
        let properties = [("glad", sentiment == "positive"), ("loud", text.contains('!')), ("short", text.len() < 60)];
        let labels: Vec<&str> = properties.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
        let cell = if labels.is_empty() { "|".to_owned() } else { labels.join("|") };
        table.write_record([id, text, &cell]).unwrap();
    }
    // What nobody has labelled is no row without labels.
    table.write_record(["unknown", "who knows", ""]).unwrap();
    table.flush().unwrap();
    let mut train = engraft();
    train.arg("train").arg(file("tweets.csv")).args(["-m", "all-minilm-l6-v2", "--label-separator", "|", "-o"]);
    let trained = json(train.arg(file("head.onnx")));
    assert_eq!(trained["n"].as_u64().unwrap() + trained["n_train"].as_u64().unwrap(), 200, "{trained}");
    assert!(trained["average_precision"].as_f64().unwrap() > 0.7, "{trained}");
    println!("tweets: {trained}");

    let x = embed(&file("tweets.csv"), "all-minilm-l6-v2", &[]).matrix;
    std::fs::write(file("x.bin"), x.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let said = python(&PEERS, LABELS, &[&file("head.onnx"), &file("x.bin"), &file("out.bin")]);
    assert_eq!(said.trim(), "sigmoid");
    let got = support::floats(file("out.bin"));
    let native = HeadFile::read(&file("head.onnx")).unwrap().probabilities(x.view()).unwrap();
    assert_close(got, native, Tolerance::Approximate);
}

#[test]
fn a_solver_that_misses_the_optimum_is_refused() {
    // Where linfa-logistic 0.8.1 stops far from the optimum and says Ok.
    let set = support::digits();
    let folder = tempfile::tempdir().unwrap();
    let (features, head) = (folder.path().join("digits.npy"), folder.path().join("head.onnx"));
    set.write(&features, Existing::Refuse).unwrap();
    let train = |solver: &str| {
        let mut train = engraft();
        train
            .arg("train")
            .arg(&features)
            .args(["--scaling", "none", "--alpha", "1", "--solver", solver, "-o"])
            .arg(&head);
        train
    };
    says(&mut train("linfa"), 1, &["linfa-logistic's result is refused", "engraft's own solver"]);
    assert!(!head.exists());
    let trained = json(&mut train("lbfgs"));
    assert_eq!(trained["certificate"]["converged"], true);
    assert!(trained["accuracy"].as_f64().unwrap() > 0.9, "{trained}");
}

const SKLEARN: &str = r#"
import sys
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
rows, labels, alpha = sys.argv[1:]
y = np.fromfile(labels, "<u4")
x = StandardScaler().fit_transform(np.fromfile(rows, "<f4").reshape(len(y), -1).astype(np.float64))
# The tightest solver that fits in memory: Newton's for one weight vector, else L-BFGS to the end.
binary = y.max() == 1
solver = dict(solver="newton-cholesky", tol=1e-10) if binary else dict(solver="lbfgs", tol=1e-10, max_iter=20000)
fitted = LogisticRegression(C=1 / float(alpha), **solver).fit(x, y)
loss = -np.sum(fitted.predict_log_proba(x)[np.arange(len(y)), y])
print(loss + float(alpha) / 2 * np.sum(fitted.coef_**2))
"#;

/// Trains on every row through the command line and compares the certified objective with scikit-learn's.
fn same_objective(features: &Path, alpha: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut train = engraft();
    train.arg("train").arg(features).arg("-o").arg(file("head.onnx")).args(["--holdout", "0", "--alpha", alpha]);
    let objective = json(&mut train)["certificate"]["objective"].as_f64().unwrap();

    let set = FeatureSet::read(features).unwrap();
    let labels = set.class_indices(&set.class_names()).unwrap();
    let bytes: Vec<u8> = set.matrix.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(file("x.bin"), bytes).unwrap();
    let bytes: Vec<u8> = labels.iter().flat_map(|&k| (k as u32).to_le_bytes()).collect();
    std::fs::write(file("y.bin"), bytes).unwrap();
    let said = python(&["scikit-learn==1.7.2"], SKLEARN, &[&file("x.bin"), &file("y.bin"), Path::new(alpha)]);
    let theirs: f64 = said.trim().parse().unwrap();
    println!("alpha {alpha}: ours {objective}, scikit-learn's {theirs}");
    assert_close([objective / theirs], [1.0], Tolerance::Within(1e-6));
}

#[test]
fn the_objective_on_real_embeddings_is_scikit_learns() {
    let folder = tempfile::tempdir().unwrap();
    some_emoji(folder.path(), 0..60);
    let images = folder.path().join("images.parquet");
    embed(folder.path(), "efficientnet-lite0", &[]).write(&images, Existing::Refuse).unwrap();
    let texts = folder.path().join("texts.parquet");
    let rows: Vec<usize> = (0..1500).collect();
    embed(&tweets(), "all-minilm-l6-v2", &[]).select(&rows).write(&texts, Existing::Refuse).unwrap();
    for alpha in ["1", "100"] {
        same_objective(&images, alpha);
        same_objective(&texts, alpha);
    }
}

const CONFIDENCE: &str = r#"
import sys
import numpy as np, onnx, onnxruntime
rows, *heads = sys.argv[1:]
for head in heads:
    onnx.checker.check_model(head, full_check=True)
    session = onnxruntime.InferenceSession(head)
    x = np.fromfile(rows, "<f4").reshape(-1, session.get_inputs()[0].shape[1])
    probabilities, score = session.run(["probabilities", "ood_score"], {"embedding": x})
    np.concatenate([probabilities, score[:, None]], axis=1).astype("<f4").tofile(head + ".bin")
"#;

/// Calibration and the out-of-distribution score are plain arithmetic of the graph: who runs it elsewhere gets what
/// `engraft predict` says.
#[test]
fn confidence_is_the_same_in_pythons_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let set = support::digits().select(&(0..300).collect::<Vec<_>>());
    let bytes: Vec<u8> = set.matrix.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(file("x.bin"), bytes).unwrap();
    let methods = ["temperature", "platt", "isotonic"];
    let scores = ["energy", "mahalanobis", "vim", "knn"];
    let heads: Vec<(&str, &str, usize)> =
        (0..12).map(|i| (methods[i % 3], scores[i % 4], if i % 2 == i / 6 { 2 } else { 10 })).collect();
    let name = |(method, score, classes): &(&str, &str, usize)| file(&format!("{method}-{score}-{classes}.onnx"));
    for head in &heads {
        let mut labelled = set.clone();
        for label in &mut labelled.labels {
            *label = label.as_ref().map(|digit| (digit.parse::<usize>().unwrap() % head.2).to_string());
        }
        labelled.write(&file("digits.parquet"), Existing::Replace).unwrap();
        let mut train = engraft();
        train.arg("train").arg(file("digits.parquet")).args(["--head", "ridge", "--scaling", "l2", "--holdout", "0"]);
        train.args(["--calibrate", head.0, "--ood", head.1, "-o"]).arg(name(head)).assert().success();
    }
    let paths: Vec<_> = std::iter::once(file("x.bin")).chain(heads.iter().map(name)).collect();
    python(&PEERS, CONFIDENCE, &paths.iter().map(|path| path.as_path()).collect::<Vec<_>>());
    for head in &heads {
        let (classes, path) = (head.2, name(head));
        let got = support::floats(format!("{}.bin", path.display()));
        let mut predict = engraft();
        predict.args(["predict", "--json", "--top-k", "10"]).arg(&path).arg(file("digits.parquet"));
        let said = support::stdout(&predict.assert().success());
        let labels = HeadFile::read(&path).unwrap().labels;
        let mut want = Vec::new();
        for line in said.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let top = line["top"].as_array().unwrap();
            let of = |label: &String| top.iter().find(|choice| choice["label"] == **label).unwrap();
            want.extend(labels.iter().map(|label| of(label)["probability"].as_f64().unwrap()));
            want.push(line["ood_score"].as_f64().unwrap());
        }
        assert_eq!(want.len(), 300 * (classes + 1));
        assert_close(got, want, Tolerance::Approximate);
    }
}
