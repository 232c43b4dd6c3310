//! Exported models in eight and sixteen bits: the numbers, what is kept, and that others run them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/close.rs"]
mod close;
mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::export::{Exported, adds_bytes_exactly};
use engraft::head::HeadFile;
use engraft::onnx::build::Dim;
use engraft::onnx::{
    Activations, Affine, DataType, GraphBuilder, Model, OBSERVED, WeightRange, observe_counts, observe_ranges,
    observed, quantize, write_model,
};
use serde_json::Value;
use support::{PEERS, engraft, json, outside, python, says, some_emoji, tiny_backbone, tiny_images, tweets};

const INPUTS: usize = 5;
const OUTPUTS: usize = 3;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| 2.0 * rng.f32() - 0.8).collect()
}

/// x → Gemm with a bias → y.
fn gemm() -> Model {
    let mut graph = GraphBuilder::new("gemm");
    graph.input("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(INPUTS as i64)]);
    graph.tensor_f32("w", &[INPUTS as i64, OUTPUTS as i64], &random(INPUTS * OUTPUTS, 1));
    graph.tensor_f32("b", &[OUTPUTS as i64], &[0.5, -0.25, 3.0]);
    graph.node("Gemm", &["x", "w", "b"], "y", vec![]);
    graph.output("y", DataType::Float, &[Dim::Named("n"), Dim::Fixed(OUTPUTS as i64)]);
    graph.finish()
}

/// The values of a model's output for rows of x.
fn run(model: &Model, output: &str, x: &[f32]) -> Vec<f32> {
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    write_model(model, &path).unwrap();
    let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
    let (mut session, _) = Session::open(runtime, &path, output, &options).unwrap();
    session.run(&[("x", Tensor::F32(&[x.len() / INPUTS, INPUTS], x))]).unwrap().1
}

#[test]
fn a_product_in_eight_bits_is_the_closed_form() {
    let x = random(8 * INPUTS, 2);
    let chosen: HashSet<&str> = ["y"].into();
    assert_eq!(observed(&gemm(), &chosen, "m").unwrap(), ["x"]);
    // Numbers beyond the range are cut off.
    let range = [-0.7, 1.1];
    let calibrated = Activations::Calibrated(HashMap::from([("x".to_owned(), range)]));
    let all = x.iter().fold([0.0_f32; 2], |[low, high], &x| [low.min(x), high.max(x)]);
    let exact_if_full = if adds_bytes_exactly() { 1e-5 } else { 0.1 };
    for (weights, greatest, tolerance) in
        [(WeightRange::Full, 127.0, exact_if_full), (WeightRange::Reduced, 64.0, 1e-5)]
    {
        let got = run(&quantize(gemm(), &chosen, &calibrated, weights, "m").unwrap(), "y", &x);
        assert_close(got.iter().copied(), closed_form(&x, range, greatest, true), Tolerance::Within(tolerance));
        let dynamic = run(&quantize(gemm(), &chosen, &Activations::Dynamic, weights, "m").unwrap(), "y", &x);
        assert_close(dynamic, closed_form(&x, all, greatest, false), Tolerance::Within(tolerance));
        let single = run(&gemm(), "y", &x);
        assert!(got.iter().zip(&single).any(|(a, b)| a != b), "nothing was rounded");
    }
}

/// What [`gemm`] gives for rows of x with codes up to 255 in a range, and weights up to `greatest`; the bias may be in whole steps.
fn closed_form(x: &[f32], range: [f32; 2], greatest: f64, bias_in_steps: bool) -> Vec<f64> {
    let codes = Affine::of(range);
    let w = random(INPUTS * OUTPUTS, 1);
    let mut want = Vec::new();
    for row in x.chunks_exact(INPUTS) {
        for (k, bias) in [0.5_f64, -0.25, 3.0].into_iter().enumerate() {
            let column = || (0..INPUTS).map(|i| f64::from(w[i * OUTPUTS + k]));
            let scale = column().fold(0.0, |most: f64, w| most.max(w.abs())) / greatest;
            let step = f64::from(codes.scale) * scale;
            let inputs = row.iter().map(|&x| f64::from(codes.code(x)) - f64::from(codes.zero));
            let sum: f64 = inputs.zip(column()).map(|(code, w)| code * (w / scale).round()).sum();
            want.push(step * sum + if bias_in_steps { step * (bias / step).round() } else { bias });
        }
    }
    want
}

#[test]
fn ranges_and_histograms_are_those_of_the_values() {
    let x = random(8 * INPUTS, 3);
    let least = x.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let y = run(&gemm(), "y", &x);
    let of_y = [y.iter().copied().fold(f32::INFINITY, f32::min), y.iter().copied().fold(f32::NEG_INFINITY, f32::max)];
    let rows = run(&observe_ranges(gemm(), &["x", "y"], "m").unwrap(), OBSERVED, &x);
    assert_close(rows, [least, greatest, of_y[0], of_y[1]].repeat(8), Tolerance::Exact);

    let bins = 4;
    let rows = run(&observe_counts(gemm(), &[("y", of_y), ("x", [0.0, 0.4])], bins, "m").unwrap(), OBSERVED, &x);
    let mut want = vec![0.0; 2 * bins];
    for (offset, [low, high], values) in [(0, of_y, &y), (bins, [0.0, 0.4], &x)] {
        for value in values {
            let bin = (value - low) / ((high - low) / bins as f32);
            want[offset + bin.floor().clamp(0.0, bins as f32 - 1.0) as usize] += 1.0;
        }
    }
    let got = (0..2 * bins).map(|column| rows.iter().skip(column).step_by(2 * bins).sum::<f32>());
    assert_close(got, want, Tolerance::Within(1e-5));
}

/// How ONNX Runtime's optimiser runs the file, and what the file gives in Python.
const SCRIPT: &str = r#"
import collections, json, os, sys, tempfile
import numpy as np, onnx, onnxruntime
path, data = sys.argv[1:]
onnx.checker.check_model(path, full_check=True)
options = onnxruntime.SessionOptions()
options.optimized_model_filepath = os.path.join(tempfile.mkdtemp(), "optimised.onnx")
options.log_severity_level = 3
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
operators = collections.Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
feeds = {k: v for k, v in json.load(open(data)).items()}
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
feeds = {i.name: np.array(feeds[i.name], types[i.type]) if i.name in feeds else np.zeros([2, 3, 224, 224], np.float32) for i in session.get_inputs()}
logits = session.run(["logits"], feeds)[0]
head = [t for t in onnx.load(path).graph.initializer if t.name in ("weight", "bias")]
print(json.dumps({
    "operators": operators,
    "finite": bool(np.isfinite(logits).all()),
    "head": sorted(t.data_type for t in head),
    "precision": json.loads(session.get_modelmeta().custom_metadata_map["engraft.export"])["precision"],
    "inputs": [i.type for i in session.get_inputs()],
    "outputs": {o.name: o.type for o in session.get_outputs()},
}))
"#;

/// What Python says of a file, which takes `feeds`.
fn peer(model: &Path, feeds: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("feeds.json");
    std::fs::write(&data, feeds).unwrap();
    let said = python(&PEERS, SCRIPT, &[model, &data]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["finite"], &said["head"]), (&true.into(), &serde_json::json!([1, 1])), "{said}");
    assert_eq!(said["outputs"]["logits"], "tensor(float)");
    said
}

/// The same head, and as good as the result says.
fn kept(head: &Path, model: &Path, written: &Value, most: f64) {
    assert_eq!(Exported::read(model).unwrap().head.head, HeadFile::read(head).unwrap().head);
    let (size, before) = (written["size"].as_f64().unwrap(), written["size_f32"].as_f64().unwrap());
    assert!(size <= most * before, "{size} of {before} bytes");
    let (after, before) = (written["accuracy_after"].as_f64().unwrap(), written["accuracy_before"].as_f64().unwrap());
    assert!(before > 0.6 && after >= before - 0.0601, "{written}");
    assert_eq!(written["accuracy_is"], "labels");
    let card = std::fs::read_to_string(model.with_extension("md")).unwrap();
    let precision = written["precision"].as_str().unwrap();
    assert!(card.contains(&format!("- precision: {precision}")) && card.contains("95 % interval"), "{card}");
    assert!(card.contains("through the file in f32 that this one was made of"), "{card}");
}

/// Python says the same of these inputs, one by one; sums of bytes that are cut off may differ a little.
fn agrees_outside(model: &Path, input: &Path, count: usize) {
    let predicted = engraft().arg("predict").arg(model).arg(input).arg("--json").assert().success();
    let predicted = String::from_utf8(predicted.get_output().stdout.clone()).unwrap();
    let ours: Vec<Value> = predicted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let theirs = outside(model, input);
    assert_eq!((ours.len(), theirs.len()), (count, count));
    let other = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours["label"] != theirs["label"]).count();
    assert!(other <= count / 20, "{other} other labels");
    let probabilities =
        |rows: &[Value]| rows.iter().map(|row| row["probability"].as_f64().unwrap()).collect::<Vec<f64>>();
    assert_close(probabilities(&theirs), probabilities(&ours), Tolerance::Within(0.05));
}

#[test]
fn a_cnn_becomes_small_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("train"), 0..30);
    some_emoji(&path("samples"), 30..50);
    let head = path("head.onnx");
    engraft().arg("train").arg(path("train")).args(["-m", "efficientnet-lite0", "-o"]).arg(&head).assert().success();
    let export = |precision: &str, flags: &[&str]| {
        let model = path(&format!("{precision}{}.onnx", flags.concat()));
        let mut command = engraft();
        // Of 105 samples one is nearly a point.
        command.arg("export").arg(&head).arg("-o").arg(&model).args(["--precision", precision, "--max-drop", "6"]);
        let written = json(command.arg("--samples").arg(path("samples")).args(flags));
        assert_eq!((&written["comparison"]["n"], &written["precision"]), (&105.into(), &precision.into()));
        assert_eq!(written["layers"].as_array().unwrap().len(), 49);
        (model, written)
    };
    // Seven bits: the same on every processor.
    let (model, written) = export("int8", &["--reduce-range", "--embedding"]);
    kept(&head, &model, &written, 0.3);
    let said = peer(&model, "{}");
    assert_eq!((&said["precision"], &said["operators"]["QLinearConv"]), (&"int8".into(), &49.into()), "{said}");
    assert_eq!((&said["operators"]["QLinearAdd"], said["operators"].get("Clip")), (&9.into(), None), "{said}");
    some_emoji(&path("few"), 30..33);
    agrees_outside(&model, &path("few"), 21);

    // What is cached of its backbone in f32 says nothing of it.
    let features = path("samples.parquet");
    let embed = ["-m", "efficientnet-lite0", "-o"];
    engraft().arg("embed").arg(path("samples")).args(embed).arg(&features).assert().success();
    let of_f32 = ["computes in int8", "samples.parquet", "give the images"];
    says(engraft().arg("eval").arg(&model).arg(&features), 2, &of_f32);
    says(engraft().arg("predict").arg(&model).arg(&features), 2, &of_f32);

    let (model, written) = export("f16", &[]);
    kept(&head, &model, &written, 0.51);
    let said = peer(&model, "{}");
    assert_eq!((&said["precision"], &said["inputs"]), (&"f16".into(), &serde_json::json!(["tensor(float)"])));
    let (model, written) = export("int8", &["--calibration", "entropy"]);
    kept(&head, &model, &written, 0.3);
}

#[test]
fn a_text_encoder_becomes_small_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let all = std::fs::read_to_string(tweets()).unwrap();
    let rows = |range: std::ops::Range<usize>| {
        let lines = all.lines().skip(1).skip(range.start).take(range.len());
        std::iter::once(all.lines().next().unwrap()).chain(lines).collect::<Vec<_>>().join("\n")
    };
    std::fs::write(path("train.csv"), rows(0..600)).unwrap();
    std::fs::write(path("samples.csv"), rows(600..900)).unwrap();
    let head = path("head.onnx");
    let train = ["-m", "all-minilm-l6-v2", "--id-column", "id", "-o"];
    engraft().arg("train").arg(path("train.csv")).args(train).arg(&head).assert().success();
    let tokens = r#"{"input_ids": [[101, 2307, 3185, 102]], "attention_mask": [[1, 1, 1, 1]], "token_type_ids": [[0, 0, 0, 0]]}"#;
    for (precision, dynamic, most) in [("int8", false, 0.27), ("int8", true, 0.27), ("f16", false, 0.51)] {
        let model = path(&format!("{precision}-{dynamic}.onnx"));
        let mut command = engraft();
        command.arg("export").arg(&head).arg("-o").arg(&model).args(["--precision", precision, "--max-drop", "2"]);
        command.args(dynamic.then_some("--dynamic"));
        let written = json(command.arg("--samples").arg(path("samples.csv")).args(["--id-column", "id"]));
        kept(&head, &model, &written, most);
        let said = peer(&model, tokens);
        if precision == "int8" {
            let in_f32 = |layer: &&Value| layer["in_f32"] == true && layer["op"] != "Gather";
            let in_f32 = written["layers"].as_array().unwrap().iter().filter(in_f32).count();
            // Where several products read one tensor its codes are made once.
            let fused: &[&str] = if dynamic { &["DynamicQuantizeMatMul", "MatMulIntegerToFloat"] } else { &["QGemm"] };
            let fused: u64 = fused.iter().filter_map(|operator| said["operators"][operator].as_u64()).sum();
            assert_eq!(fused, 36 - in_f32 as u64, "{said}");
            // With the ranges of a batch a text gets other numbers beside others: one by one.
            let (end, at_once) = if dynamic { (906, 1) } else { (930, 30) };
            for start in (900..end).step_by(at_once) {
                std::fs::write(path("few.csv"), rows(start..start + at_once)).unwrap();
                agrees_outside(&model, &path("few.csv"), at_once);
            }
        }
    }
}

#[test]
fn what_cannot_be_smaller_or_must_stay_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for class in ["a", "b"] {
        std::fs::create_dir_all(path("images").join(class)).unwrap();
        tiny_images(&path("images").join(class), 6);
    }
    let backbone = tiny_backbone(folder.path());
    let head = path("head.onnx");
    engraft()
        .arg("train")
        .arg(path("images"))
        .args(&backbone)
        .args(["--holdout", "0", "-o"])
        .arg(&head)
        .assert()
        .success();
    let onto = |output: &str, flags: &[&str]| {
        let mut command = engraft();
        command.arg("export").arg(&head).arg(&backbone[0]).arg("-o").arg(path(output)).args(flags);
        command
    };
    let export = |flags: &[&str]| onto("out.onnx", flags);
    let said = says(&mut export(&["--precision", "int8"]), 1, &["no convolution, matrix product or table"]);
    assert!(said.contains(path("out.onnx").to_str().unwrap()) && !said.contains(".engraft-"), "{said}");
    says(&mut export(&["--precision", "f16", "--dynamic"]), 2, &["--dynamic is for --precision int8"]);
    says(&mut export(&["--precision", "int8", "--dynamic", "--calibration", "entropy"]), 2, &["cannot be used with"]);
    says(&mut export(&["--precision", "int4"]), 2, &["int4"]);
    says(&mut export(&["--precision", "int8", "--max-drop=-1"]), 2, &["from 0 to 100"]);
    says(&mut export(&["--max-drop", "1"]), 2, &["--max-drop is for --precision f16 or int8"]);
    assert!(!path("out.onnx").exists());
    // What it is made of stays, and so does what another model may keep its weights in, unless it is told otherwise.
    says(&mut onto("tiny.onnx", &["--overwrite"]), 2, &["tiny.onnx is in the way", "the backbone"]);
    std::fs::write(path("out.onnx_data"), "weights").unwrap();
    says(&mut export(&[]), 2, &["out.onnx_data already exists"]);
    export(&["--overwrite"]).assert().success();
    assert!(path("out.onnx").exists() && !path("out.onnx_data").exists());
}
