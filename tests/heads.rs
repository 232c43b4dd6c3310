//! Every head's ONNX graph, run by ONNX Runtime, computes what the head computes, and `train` fits each of them.

#[path = "support/close.rs"]
mod close;
mod support;

use std::io::Read;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::features::{Existing, FeatureSet};
use engraft::head::HeadFile;
use ndarray::{Array2, Axis, s};
use support::{engraft, json, says};

/// The first 600 optdigits.
fn digits() -> FeatureSet {
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(support::golden("head/digits.bin.gz")).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let rows = 600;
    FeatureSet {
        ids: (0..rows).map(|i| i.to_string()).collect(),
        labels: (0..rows).map(|i| Some(bytes[65 * i + 64].to_string())).collect(),
        contents: vec![None; rows],
        matrix: Array2::from_shape_fn((rows, 64), |(i, j)| f32::from(bytes[65 * i + j])),
        provenance: None,
    }
}

#[test]
fn each_head_is_trained_and_runs_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("digits.parquet");
    let set = digits();
    set.write(&features, Existing::Refuse).unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    for (kind, certified) in [("logistic", true), ("ridge", true), ("centroid", false), ("knn", false), ("mlp", false)]
    {
        let path = folder.path().join(format!("{kind}.onnx"));
        let trained = json(engraft().arg("train").arg(&features).args(["--head", kind, "-o"]).arg(&path));
        assert!(trained["accuracy"].as_f64().unwrap() > 0.8, "{kind}: {trained}");
        assert_eq!(trained.get("certificate").is_some(), certified, "{kind}");

        let head = HeadFile::read(&path).unwrap().head;
        let (logits, probabilities) =
            (head.logits(set.matrix.view()).unwrap(), head.probabilities(set.matrix.view()).unwrap());
        let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
        // Logits of k-NN are logarithms of similarities divided by a small temperature: what rounding is left is 1/T as large.
        let tolerance = if kind == "knn" { Tolerance::Within(1e-4) } else { Tolerance::Approximate };
        for (output, native) in [("logits", logits), ("probabilities", probabilities)] {
            let (mut session, _) = Session::open(runtime, &path, output, &options).unwrap();
            for rows in [0..1, 0..64, 100..600] {
                let x = set.matrix.slice(s![rows.clone(), ..]).to_owned();
                let (shape, got) =
                    session.run(&[("embedding", Tensor::F32(&[x.nrows(), 64], x.as_slice().unwrap()))]).unwrap();
                assert_eq!(shape, [x.nrows(), 10]);
                assert_close(got, native.slice_axis(Axis(0), rows.into()).iter().copied(), tolerance);
            }
        }
    }
}

#[test]
fn a_head_is_chosen_and_judged_on_rows_that_did_not_choose_it() {
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("digits.parquet");
    let set = digits();
    // A class of one row is trained on, not tested.
    let mut rows: Vec<usize> = (0..120).filter(|&row| set.labels[row].as_deref() != Some("7")).collect();
    rows.push((0..120).find(|&row| set.labels[row].as_deref() == Some("7")).unwrap());
    set.select(&rows).write(&features, Existing::Refuse).unwrap();
    let path = folder.path().join("head.onnx");
    let trained = json(
        engraft().arg("train").arg(&features).args(["--head", "auto", "--scaling", "l2", "--cv", "3", "-o"]).arg(&path),
    );
    let tried = trained["choice"]["heads"].as_array().unwrap();
    let names: Vec<&str> = tried.iter().map(|head| head["head"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 7);
    assert!(names[0] == "centroid" && names[6] == "mlp" && names[3] == "logistic, alpha 0.1", "{names:?}");
    // The simplest within one standard error of the best.
    let figure = |head: &serde_json::Value, key: &str| head[key].as_f64().unwrap();
    let best = tried.iter().find(|head| head["against_best"].is_null()).unwrap();
    let least = figure(best, "accuracy") - figure(best, "standard_error");
    let chosen = tried.iter().find(|head| figure(head, "accuracy") >= least).unwrap();
    assert_eq!(trained["choice"]["head"], chosen["head"]);
    assert_eq!(trained["n_train"], rows.len());
    assert_eq!(trained["n"], rows.len() - 1);
    assert!(trained["accuracy"].as_f64().unwrap() > 0.8, "{trained}");
    assert_eq!(HeadFile::read(&path).unwrap().labels.len(), 10);

    let mut train = engraft();
    train.arg("train").arg(&features).args(["--head", "auto", "--alpha", "1", "-o", "other.onnx"]);
    says(&mut train, 2, &["--alpha", "auto"]);
}

#[test]
fn flags_of_another_head_are_refused() {
    for (kind, flag, value) in [
        ("ridge", "--solver", "linfa"),
        ("ridge", "--tolerance", "1e-3"),
        ("centroid", "--alpha", "1"),
        ("knn", "--scaling", "l2"),
        ("mlp", "--max-iterations", "3"),
    ] {
        let mut train = engraft();
        train.args(["train", "missing.parquet", "-o", "head.onnx", "--head", kind, flag, value]);
        says(&mut train, 2, &[flag, kind]);
    }
}
