//! A head and its backbone become one file that says what they said, in engraft and outside it.

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::Path;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor, registry};
use engraft::export::{Agreement, Exported, Extra, TOLERANCE, fuse};
use engraft::head::{HeadFile, Scored};
use engraft::onnx::{float_constant, metadata, read_model, replace_constant, signature, write_model};
use ndarray::Array2;
use serde_json::Value;
use support::{by_its_card, engraft, json, outside, says, some_emoji};

/// The JSON lines that a command writes.
fn lines(command: &mut assert_cmd::Command) -> Vec<Value> {
    let output = command.arg("--json").assert().success().get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn train(features: &Path, head: &Path, flags: &[&str]) {
    engraft().arg("train").arg(features).args(flags).arg("-o").arg(head).assert().success();
}

/// Predictions of two models are alike: labels, sets and marks equal, numbers near.
fn assert_alike(one: &[Value], two: &[Value]) {
    assert!(!one.is_empty() && one.len() == two.len(), "{} and {} predictions", one.len(), two.len());
    for (a, b) in one.iter().zip(two) {
        assert!(a["id"].is_string() && a["label"].is_string() && a["probability"].is_number(), "{a}");
        for key in ["id", "label", "prediction_set", "out_of_distribution"] {
            assert_eq!(a.get(key), b.get(key), "{key} of {a} and {b}");
        }
        let number = |value: &Value, key: &str| value.get(key).map_or(0.0, |v| v.as_f64().unwrap());
        assert_close([number(a, "probability")], [number(b, "probability")], Tolerance::Within(1e-4));
        let (one, two) = (number(a, "ood_score"), number(b, "ood_score"));
        assert_close([two], [one], Tolerance::Within(1e-5 * one.abs().max(1.0)));
    }
}

/// The same labels, and probabilities within 1e-4.
fn assert_agree(ours: &[Value], theirs: &[Value]) {
    let of = |rows: &[Value], key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(of(ours, "label"), of(theirs, "label"));
    let probabilities =
        |rows: &[Value]| rows.iter().map(|row| row["probability"].as_f64().unwrap()).collect::<Vec<f64>>();
    assert_close(probabilities(theirs), probabilities(ours), Tolerance::Within(1e-4));
}

#[test]
fn every_head_and_an_image_backbone_become_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("train"), 0..16);
    some_emoji(&path("test"), 16..20);
    let features = path("train.parquet");
    let embed = ["--model", "efficientnet-lite0", "-o"];
    engraft().arg("embed").arg(path("train")).args(embed).arg(&features).assert().success();
    for (kind, flags) in [
        ("logistic", &["--calibrate", "temperature", "--ood", "mahalanobis"][..]),
        ("ridge", &["--ood", "vim"]),
        ("centroid", &["--ood", "energy", "--conformal", "lac"]),
        ("knn", &["--ood", "knn", "--calibrate", "isotonic"]),
        ("mlp", &["--calibrate", "platt"]),
    ] {
        let (head, model) = (path(&format!("{kind}.head.onnx")), path(&format!("{kind}.onnx")));
        train(&features, &head, &[&["--head", kind], flags].concat());
        let samples = [Path::new("--samples"), &path("test"), Path::new("--embedding")];
        let written = json(engraft().arg("export").arg(&head).arg("-o").arg(&model).args(samples));
        assert_eq!((&written["agreement"]["samples"], &written["agreement"]["other_labels"]), (&28.into(), &0.into()));
        assert!(written["agreement"]["greatest_difference"].as_f64().unwrap() <= TOLERANCE, "{kind}: {written}");
        let predict = |model: &Path| lines(engraft().arg("predict").arg(model).arg(path("test")));
        let predicted = predict(&model);
        assert_alike(&predict(&head), &predicted);
        let told = [("ood_score", "--ood"), ("out_of_distribution", "--ood"), ("prediction_set", "--conformal")];
        for (key, flag) in told {
            assert!(predicted.iter().all(|row| row.get(key).is_some() == flags.contains(&flag)), "{kind}: {key}");
        }
        let judged = |model: &Path, input: &str| json(engraft().arg("eval").arg(model).arg(path(input)));
        for (input, figure) in [("test", "accuracy"), ("test", "macro_f1"), ("train.parquet", "accuracy")] {
            let of_head = judged(&head, input)[figure].as_f64().unwrap();
            assert_eq!(judged(&model, input)[figure], of_head, "{kind}: {figure} of {input}");
        }
        // The head can be had again, and is the same.
        let (own, again) = (HeadFile::read(&head).unwrap(), Exported::read(&model).unwrap());
        assert_eq!((&again.head.head, &again.head.detector), (&own.head, &own.detector));
        assert!(again.embeds && again.record.licence.as_deref() == Some("Apache-2.0"));
        let card = std::fs::read_to_string(model.with_extension("md")).unwrap();
        for word in ["`label`: string", "Apache-2.0", "| accuracy |", "Animals & Nature", "28 of your samples"] {
            assert!(card.contains(word), "{word:?} is not in {card}");
        }
    }
    refusals(&path("logistic.head.onnx"), &path("logistic.onnx"), &features);
}

/// What is asked for in vain, and nothing is written then.
fn refusals(head: &Path, model: &Path, features: &Path) {
    let out = model.with_file_name("other.onnx");
    let export = |head: &Path, out: &Path| {
        let mut command = engraft();
        command.arg("export").arg(head).arg("-o").arg(out);
        command
    };
    says(&mut export(head, model), 2, &["already exists", "--overwrite"]);
    says(&mut export(head, &out.with_extension("txt")), 2, &["name it .onnx"]);
    says(&mut export(model, &out), 1, &["logistic.onnx", "exported already"]);
    says(export(head, &out).arg("--samples").arg("nowhere"), 2, &["nowhere"]);
    says(export(head, &out).arg("--samples").arg(features), 2, &["train.parquet holds features"]);
    says(export(head, &out).args(["--model", "efficientnet-lite2"]), 1, &["do not match", "efficientnet-lite2"]);
    says(engraft().arg("train").arg(features).arg("-o").arg(features), 2, &["already exists"]);
    assert!(!out.exists() && !out.with_extension("md").exists());
    // What lies beside the model and is no card stays, also where replacing is asked for.
    std::fs::write(out.with_extension("md"), "my notes").unwrap();
    says(&mut export(head, &out), 2, &["other.md is in the way"]);
    says(export(head, &out).arg("--overwrite"), 2, &["other.md is in the way", "another -o"]);
    assert_eq!(std::fs::read_to_string(out.with_extension("md")).unwrap(), "my notes");
    std::fs::copy(model.with_extension("md"), out.with_extension("md")).unwrap();
    says(&mut export(head, &out), 2, &["other.md already exists", "--overwrite"]);
    std::fs::remove_file(out.with_extension("md")).unwrap();
    let before = std::fs::read(head).unwrap();
    says(export(head, head).arg("--overwrite"), 2, &["logistic.head.onnx is in the way", "the head to export"]);
    assert_eq!(std::fs::read(head).unwrap(), before);
    assert!(!out.exists());
    let hidden = std::fs::read_dir(out.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name());
    let hidden: Vec<_> = hidden.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
    says(engraft().arg("predict").arg(model).arg(features).args(["--model", "vit-s14"]), 2, &["leave out --model"]);
}

/// A file whose weights were changed on the way does not pass.
#[test]
fn a_damaged_export_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("train"), 0..8);
    let head = path("head.onnx");
    let model = ["--model", "efficientnet-lite0", "-o"];
    engraft().arg("train").arg(path("train")).args(model).arg(&head).assert().success();
    let head = HeadFile::read(&head).unwrap();
    let backbone =
        registry::resolve("efficientnet-lite0", &Default::default(), &support::home(), &()).expect("a backbone");
    let sound = fuse(&backbone, None, &head, Extra::Nothing).unwrap();

    let runtime = Runtime::load(None, &support::home()).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let pixels: Vec<f32> = (0..4 * 3 * 224 * 224).map(|_| 2.0 * random.f32() - 1.0).collect();
    let run = |path: &Path, output: &str| {
        let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
        let mut session = Session::open(runtime, path, output, &options).unwrap().0;
        let (shape, values) = session.run(&[("image", Tensor::F32(&[4, 3, 224, 224], &pixels))]).unwrap();
        Array2::from_shape_vec((shape[0], shape[1]), values).unwrap()
    };
    let expected = head.score(run(&backbone.model, "features").view()).unwrap();
    let through = |model: &engraft::onnx::Model| {
        let file = path("fused.onnx");
        write_model(model, &file).unwrap();
        let scored =
            Scored { logits: run(&file, "logits"), probabilities: run(&file, "probabilities"), ood_scores: None };
        let ids: Vec<String> = (0..4).map(|i| i.to_string()).collect();
        Agreement::of(&ids, &expected, &scored, TOLERANCE).unwrap()
    };
    let agreement = through(&sound);
    assert!(agreement.holds(TOLERANCE), "{agreement:?}");
    // One value of one kernel of the first layer.
    let mut damaged = sound.clone();
    let first = damaged.graph.as_ref().unwrap().node[0].input[1].clone();
    let mut kernel = float_constant(&damaged, &first).unwrap();
    kernel.values[5] += 0.05;
    replace_constant(&mut damaged, &first, &kernel.values).unwrap();
    let agreement = through(&damaged);
    assert!(!agreement.holds(TOLERANCE), "{agreement:?}");
    assert!(!agreement.worst.is_empty() && agreement.greatest_difference > TOLERANCE);

    // A head that was changed in the file is not taken for what its metadata says.
    let mut other = sound;
    let weight = float_constant(&other, "bias").unwrap();
    replace_constant(&mut other, "bias", &vec![f32::NAN; weight.values.len()]).unwrap();
    write_model(&other, &path("other.onnx")).unwrap();
    assert!(Exported::read(&path("other.onnx")).unwrap_err().to_string().contains("not finite"));
}

#[test]
fn texts_and_their_tokenizer_travel_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let table = std::fs::read_to_string(support::tweets()).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    std::fs::write(path("train.csv"), rows[..200].join("\n")).unwrap();
    std::fs::write(path("test.csv"), [&rows[..1], &rows[200..260]].concat().join("\n")).unwrap();
    let (head, model) = (path("head.onnx"), path("model.onnx"));
    let backbone = ["--model", "all-minilm-l6-v2", "-o"];
    engraft().arg("train").arg(path("train.csv")).args(backbone).arg(&head).assert().success();
    let written = json(engraft().arg("export").arg(&head).arg("-o").arg(&model).arg("--samples").arg(path("test.csv")));
    assert_eq!(written["tokenizer"], path("model.tokenizer.json").to_str().unwrap());
    let predict = |model: &Path| lines(engraft().arg("predict").arg(model).arg(path("test.csv")));
    let predicted = predict(&model);
    assert_alike(&predict(&head), &predicted);

    // Outside engraft: Hugging Face's tokenizers and Python's onnxruntime.
    assert_agree(&predicted, &outside(&model, &path("test.csv")));
    // What the card shows is enough, for texts too that the tokenizer itself would cut elsewhere.
    let long = "great ".repeat(200);
    std::fs::write(path("long.csv"), format!("id,text\n1,{long}\n")).unwrap();
    let said = lines(engraft().arg("predict").arg(&model).arg(path("long.csv")).args(["--id-column", "id"]));
    assert_eq!(by_its_card(&model, ("a text", &long), &["tokenizers==0.23.3"]), said[0]["label"].as_str().unwrap());

    // A tokenizer that is there, too, is replaced only on demand.
    let again = |flags: &[&str]| {
        let mut command = engraft();
        command.arg("export").arg(&head).arg("-o").arg(path("again.onnx")).args(flags);
        command
    };
    std::fs::write(path("again.tokenizer.json"), "mine").unwrap();
    says(&mut again(&[]), 2, &["again.tokenizer.json already exists", "--overwrite"]);
    assert_eq!(std::fs::read_to_string(path("again.tokenizer.json")).unwrap(), "mine");
    again(&["--overwrite"]).assert().success();
    assert_eq!(
        std::fs::read(path("again.tokenizer.json")).unwrap(),
        std::fs::read(path("model.tokenizer.json")).unwrap()
    );

    // Another tokenizer under its name is noticed.
    std::fs::write(path("model.tokenizer.json"), "{}").unwrap();
    says(
        engraft().arg("predict").arg(&model).arg(path("test.csv")),
        1,
        &["model.tokenizer.json", "is not the tokenizer that it was exported with"],
    );
}

/// Pillow and Python's onnxruntime on real images, and the checker of the onnx package on the whole file.
#[test]
fn python_runs_the_file_and_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("train"), 0..12);
    some_emoji(&path("test"), 12..15);
    for name in ["efficientnet-lite0", "vit-s14"] {
        let (head, model) = (path(&format!("{name}.head.onnx")), path(&format!("{name}.onnx")));
        let train = ["--model", name, "--calibrate", "temperature", "-o"];
        engraft().arg("train").arg(path("train")).args(train).arg(&head).assert().success();
        engraft().arg("export").arg(&head).arg("-o").arg(&model).assert().success();
        let predicted = lines(engraft().arg("predict").arg(&model).arg(path("test")).args(["--top-k", "7"]));
        let got = outside(&model, &path("test"));
        assert!(predicted.iter().zip(&got).all(|(ours, theirs)| ours["id"] == theirs["id"]));
        assert_agree(&predicted, &got);
        let read = read_model(&model).unwrap();
        assert_eq!(signature(&read).outputs[0].name, "label");
        assert!(metadata(&read, "engraft.metrics").unwrap().contains("accuracy"));
    }
}
