//! `train --target` and `shift`, by what a user does: digits, and the same digits as another scanner would see them.

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::{Path, PathBuf};

use close::{Tolerance, assert_close};
use engraft::adapt::Method;
use engraft::features::{Existing, FeatureSet};
use engraft::head::HeadFile;
use ndarray::Array2;
use serde_json::Value;
use support::{engraft, json, says};

/// Rows of optdigits; of the target their pixels lie the other way round, brighter and on another ground.
struct Digits {
    folder: tempfile::TempDir,
    source: FeatureSet,
    target: FeatureSet,
}

impl Digits {
    fn new() -> Self {
        let all = support::digits();
        let source = all.select(&(0..500).collect::<Vec<_>>());
        let mut target = all.select(&(500..1000).collect::<Vec<_>>());
        target.matrix.indexed_iter_mut().for_each(|((_, pixel), value)| {
            let (across, down) = (pixel % 8, pixel / 8);
            *value = 3.0 + *value * (1.0 + 0.1 * across as f32) + 0.5 * down as f32;
        });
        let digits = Self { folder: tempfile::tempdir().unwrap(), source, target };
        digits.source.write(&digits.path("source.parquet"), Existing::Refuse).unwrap();
        digits.target.write(&digits.path("target.parquet"), Existing::Refuse).unwrap();
        digits
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `train` of the source for the target.
    fn train(&self, head: &str) -> assert_cmd::Command {
        let mut train = engraft();
        train.arg("train").arg(self.path("source.parquet")).arg("--target").arg(self.path("target.parquet"));
        train.arg("-o").arg(self.path(head));
        train
    }
}

fn without_labels(set: &FeatureSet, path: &Path) {
    let unlabelled = FeatureSet { labels: vec![None; set.len()], ..set.clone() };
    unlabelled.write(path, Existing::Replace).unwrap();
}

#[test]
fn auto_wins_back_what_a_shift_costs() {
    let digits = Digits::new();
    let trained = json(&mut digits.train("head.onnx"));
    let adaptation = &trained["adaptation"];
    let candidates = adaptation["choice"]["candidates"].as_array().unwrap();
    let passed = adaptation["choice"]["passed"].as_array().unwrap();
    assert_eq!(candidates.len() + passed.len(), Method::tried().len(), "{adaptation}");
    let accuracy = |method: &str| {
        candidates.iter().find(|tried| tried["method"] == method).unwrap()["target_accuracy"].as_f64().unwrap()
    };
    let chosen = adaptation["method"].as_str().unwrap();
    assert!(accuracy(chosen) > accuracy("none") + 0.05, "{chosen}: {} {}", accuracy(chosen), accuracy("none"));
    assert_close([trained["accuracy"].as_f64().unwrap()], [accuracy(chosen)], Tolerance::Within(0.02));
    assert!(adaptation["shift"]["separability"]["accuracy"].as_f64().unwrap() > 0.9, "{adaptation}");

    // Labels of the target took no part: without them the head is the same.
    without_labels(&digits.target, &digits.path("target.parquet"));
    let blind = json(&mut digits.train("blind.onnx"));
    assert_eq!(blind.get("accuracy"), None);
    assert_eq!(blind["adaptation"]["method"], chosen);
    let logits =
        |name: &str| HeadFile::read(&digits.path(name)).unwrap().head.logits(digits.target.matrix.view()).unwrap();
    assert_close(logits("blind.onnx"), logits("head.onnx"), Tolerance::Exact);
}

/// Runs a head on rows of 64 values in Python's onnxruntime, and writes its logits.
const LOGITS: &str = "
import sys, numpy as np, onnx, onnxruntime
onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)
x = np.fromfile(sys.argv[2], np.float32).reshape(-1, 64)
onnxruntime.InferenceSession(sys.argv[1]).run(['logits'], {'embedding': x})[0].tofile(sys.argv[3])
";

#[test]
fn every_method_gives_one_head_that_runs_anywhere() {
    let digits = Digits::new();
    let x = digits.target.matrix.view();
    std::fs::write(digits.path("x.bin"), x.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    for method in Method::all() {
        let name = format!("{}.onnx", method.name());
        let trained = json(digits.train(&name).args(["--adapt", method.name()]));
        assert_eq!(trained["adaptation"]["method"], method.name());
        let evaluated = json(engraft().arg("eval").arg(digits.path(&name)).arg(digits.path("target.parquet")));
        assert_eq!(evaluated["accuracy"], trained["accuracy"], "{}", method.name());
        if let Some(difference) = trained["adaptation"]["fold_difference"].as_f64() {
            assert!(difference <= 1e-5, "{}: {difference}", method.name());
        }
        let head = HeadFile::read(&digits.path(&name)).unwrap();
        let attached: Value = head.attached("adaptation").unwrap().unwrap();
        assert_eq!(attached["method"], method.name());
        if matches!(method.name(), "coral" | "subspace" | "em" | "t3a") {
            let paths = [digits.path(&name), digits.path("x.bin"), digits.path("logits.bin")];
            support::python(&["onnx==1.23.2", "onnxruntime==1.32.0"], LOGITS, &paths.each_ref().map(PathBuf::as_path));
            let theirs = Array2::from_shape_vec((x.nrows(), 10), support::floats(digits.path("logits.bin"))).unwrap();
            let ours = head.head.logits(x).unwrap();
            let greatest = ours.iter().fold(0.0_f64, |most, z| most.max(f64::from(z.abs())));
            assert_close(theirs, ours, Tolerance::Within(1e-5 * greatest.max(1.0)));
        }
    }
}

#[test]
fn other_shares_of_the_classes_move_no_row() {
    let digits = Digits::new();
    // Every second row of the same digits, and of the first five a few only.
    let all = support::digits();
    let few = |row: &usize| all.labels[*row].as_deref().is_some_and(|label| label < "5") && row % 8 != 1;
    let source: Vec<usize> = (0..1500).step_by(2).collect();
    let target: Vec<usize> = (1..1500).step_by(2).filter(|row| !few(row)).collect();
    all.select(&source).write(&digits.path("source.parquet"), Existing::Replace).unwrap();
    all.select(&target).write(&digits.path("target.parquet"), Existing::Replace).unwrap();
    let trained = json(&mut digits.train("head.onnx"));
    let choice = &trained["adaptation"]["choice"];
    let named = |list: &str| -> Vec<&str> {
        choice[list].as_array().unwrap().iter().map(|one| one["method"].as_str().unwrap()).collect()
    };
    for moving in ["standardize", "coral", "linear-ot", "subspace", "tca", "sinkhorn"] {
        assert!(named("passed").contains(&moving) && !named("candidates").contains(&moving), "{choice}");
    }
    let none = choice["candidates"].as_array().unwrap().iter().find(|tried| tried["method"] == "none").unwrap();
    assert!(trained["accuracy"].as_f64().unwrap() >= none["target_accuracy"].as_f64().unwrap() - 0.01, "{trained}");
}

#[test]
fn a_few_labels_of_the_target_are_learned_from() {
    let digits = Digits::new();
    let few = digits.target.select(&(0..40).collect::<Vec<_>>());
    few.write(&digits.path("few.parquet"), Existing::Refuse).unwrap();
    digits
        .target
        .select(&(40..500).collect::<Vec<_>>())
        .write(&digits.path("target.parquet"), Existing::Replace)
        .unwrap();
    let trained = json(digits.train("head.onnx").arg("--target-labels").arg(digits.path("few.parquet")));
    assert_eq!(trained["adaptation"]["labelled_rows"], 40);
    assert_eq!(trained["adaptation"]["choice"]["reason"], "known_rows");
    let without = json(digits.train("without.onnx").args(["--adapt", "none"]));
    assert!(trained["accuracy"].as_f64().unwrap() > without["accuracy"].as_f64().unwrap(), "{trained} {without}");
}

#[test]
fn a_shift_is_measured_and_told() {
    let digits = Digits::new();
    let shift =
        |source: &str, target: &str| json(engraft().arg("shift").arg(digits.path(source)).arg(digits.path(target)));
    let apart = shift("source.parquet", "target.parquet");
    assert!(apart["separability"]["accuracy"].as_f64().unwrap() > 0.9, "{apart}");
    assert!(apart["discrepancy"]["p_value"].as_f64().unwrap() < 0.01, "{apart}");
    assert_eq!(apart["labels"].as_array().unwrap().len(), 10);
    assert!(apart["recommendation"].as_str().unwrap().contains("--target"), "{apart}");
    let same = shift("source.parquet", "source.parquet");
    assert_eq!(same["identical"], true);
    assert!(same["recommendation"].as_str().unwrap().contains("nothing to adapt to"), "{same}");
    // Rows of one domain, drawn twice: as they come, one writer follows the other.
    let mut rows: Vec<usize> = (0..500).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut rows);
    for (name, rows) in [("half.parquet", &rows[..250]), ("other.parquet", &rows[250..])] {
        digits.source.select(rows).write(&digits.path(name), Existing::Refuse).unwrap();
    }
    let alike = shift("half.parquet", "other.parquet");
    assert!(alike["discrepancy"]["p_value"].as_f64().unwrap() > 0.01, "{alike}");
}

#[test]
fn what_cannot_be_adapted_is_refused_with_its_reason() {
    let digits = Digits::new();
    says(digits.train("head.onnx").args(["--adapt", "magic"]), 2, &["magic", "coral"]);
    says(digits.train("head.onnx").args(["--head", "knn"]), 2, &["--head", "--target"]);
    says(digits.train("head.onnx").args(["--cv", "3"]), 2, &["--cv", "--target"]);
    let mut alone = engraft();
    alone
        .arg("train")
        .arg(digits.path("source.parquet"))
        .args(["--adapt", "coral", "-o"])
        .arg(digits.path("head.onnx"));
    says(&mut alone, 2, &["--target"]);
    // Of another backbone, or what looks like it.
    let narrow = FeatureSet { matrix: Array2::ones((500, 3)), provenance: None, ..digits.target.clone() };
    narrow.write(&digits.path("target.parquet"), Existing::Replace).unwrap();
    says(&mut digits.train("head.onnx"), 1, &["64", "3", "one backbone"]);
    // One row: methods that cannot use it say so, the others are tried.
    digits.target.select(&[0]).write(&digits.path("target.parquet"), Existing::Replace).unwrap();
    says(digits.train("head.onnx").args(["--adapt", "coral"]), 1, &["two rows"]);
    assert!(!digits.path("head.onnx").exists());
}
