//! The last layers of real backbones are tuned by a command, and the file that it writes says what it claims.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use close::{Tolerance, assert_close};
use engraft::export::Exported;
use engraft::onnx::{Model, float_constant, read_model};
use serde_json::Value;
use support::{engraft, home, json, process, says, some_emoji, stderr, tweets};

fn tune(input: &Path, model: &str, output: &Path, flags: &[&str]) -> std::process::Command {
    let mut command = process(home().path());
    command.arg("tune").arg(input).args(["--model", model, "-o"]).arg(output).args(flags);
    command
}

fn run(input: &Path, model: &str, output: &Path, flags: &[&str]) -> Value {
    json(&mut Command::from_std(tune(input, model, output, flags)))
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {value}"))
}

/// A table of the first tweets.
fn some_tweets(count: usize, path: &Path) {
    let mut all = csv::Reader::from_path(tweets()).unwrap();
    let mut table = csv::Writer::from_path(path).unwrap();
    table.write_record(["id", "label", "text"]).unwrap();
    all.records().take(count).for_each(|record| table.write_record(&record.unwrap()).unwrap());
    table.flush().unwrap();
}

/// The file classifies held-out rows as the verb said; its weights behind the cut are others, those before it are not.
fn is_as_told(told: &Value, model: &Path, backbone: &str, [changed, same]: [&str; 2]) {
    for key in ["gate_before", "gate_after"] {
        assert!(number(told, key) <= 1e-4, "{key}: {told}");
    }
    assert_eq!(told["agreement"]["other_labels"], 0);
    let history = told["history"].as_array().unwrap();
    let losses: Vec<f64> = history.iter().map(|epoch| number(epoch, "held_out_loss")).collect();
    let best = told["best_epoch"].as_u64().unwrap() as usize;
    assert!(losses.iter().all(|&loss| loss >= losses[best]), "{losses:?}, best {best}");
    let comparison = &told["comparison"];
    let difference = number(&told["tuned"], "accuracy") - number(&told["probe"], "accuracy");
    assert_close([number(comparison, "difference")], [difference], Tolerance::Close);
    assert_eq!(comparison["n"], told["n_held_out"]);
    let exported = Exported::read(model).unwrap();
    assert!(exported.record.licence.is_some());
    let backbone = engraft::backbone::registry::resolve(backbone, &Default::default(), &home(), &()).unwrap();
    let (before, after) = (read_model(&backbone.model).unwrap(), read_model(model).unwrap());
    let values = |model: &Model, name: &str| float_constant(model, name).unwrap().values.clone();
    let tuned = told["delivered"] == "tuned";
    assert_eq!(values(&before, changed) != values(&after, changed), tuned, "{changed}");
    assert_eq!(values(&before, same), values(&after, same));
    assert_eq!(exported.head.certificate.is_none(), tuned);
    let provenance = exported.head.provenance.unwrap();
    assert_eq!(provenance.backbone.contains("tuned from"), tuned, "{}", provenance.backbone);
}

#[test]
fn the_last_block_of_an_image_backbone_is_tuned() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("emoji"), 0..12);
    let model = path("m.onnx");
    let page = path("r.html");
    let flags = ["--blocks", "1", "--epochs", "3", "--rate", "3e-4", "--report", page.to_str().unwrap()];
    let told = run(&path("emoji"), "efficientnet-lite0", &model, &flags);
    println!("{told}");
    assert_eq!((&told["from"], &told["trained_tensors"]), (&"block13/add".into(), &16.into()));
    assert_eq!(told["history"].as_array().unwrap().len(), 4);
    is_as_told(&told, &model, "efficientnet-lite0", ["head/weight", "stem/weight"]);
    assert!(model.with_extension("md").exists() && !path("m.tuning").exists());

    let html = std::fs::read_to_string(&page).unwrap();
    for words in ["Training</h2>", "Loss by epoch", "epoch 0 is the probe", "data:image"] {
        assert!(html.contains(words), "{words}");
    }

    // What was embedded by the backbone is not what the tuned one embeds.
    let features = path("f.parquet");
    let embed = ["--model", "efficientnet-lite0", "-o"];
    engraft().arg("embed").arg(path("emoji")).args(embed).arg(&features).assert().success();
    let mut judged = engraft();
    judged.arg("eval").arg(&model).arg(&features);
    match told["delivered"] == "tuned" {
        true => says(&mut judged, 1, &["do not match"]),
        false => stderr(judged.assert().success()),
    };
    let judged = json(engraft().arg("eval").arg(&model).arg(path("emoji")));
    assert_eq!(judged["n"], 84);
    refusals(&path("emoji"), &features, &model);
}

#[test]
fn blocks_are_trained_one_after_the_other_on_several_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("emoji"), 0..10);
    let flags = ["--blocks", "2", "--unfreeze", "1", "--block-rate", "0.5", "--head-rate", "2", "--views", "3"];
    let more = ["--epochs", "3", "--label-smoothing", "0.05", "--mixup", "0.2", "--rate", "3e-5"];
    let told = run(&path("emoji"), "efficientnet-lite0", &path("m.onnx"), &[&flags[..], &more].concat());
    println!("{told}");
    assert_eq!((&told["from"], &told["trained_tensors"]), (&"block12/add".into(), &22.into()));
    assert_eq!(told["history"].as_array().unwrap().len(), 4);
    is_as_told(&told, &path("m.onnx"), "efficientnet-lite0", ["head/weight", "block12/project/weight"]);

    // Until its time has come the block before the last stays as it is.
    let flags = ["--blocks", "2", "--unfreeze", "2", "--epochs", "2", "--rate", "3e-5"];
    let told = run(&path("emoji"), "efficientnet-lite0", &path("one.onnx"), &flags);
    assert_eq!(told["trained_tensors"], 22);
    let losses = [1, 2].map(|epoch| number(&told["history"][epoch], "training_loss"));
    assert!(losses[1] < losses[0], "{losses:?}");
    is_as_told(&told, &path("one.onnx"), "efficientnet-lite0", ["head/weight", "block13/project/weight"]);
}

/// What is asked for in vain; nothing is written then.
fn refusals(images: &Path, features: &Path, there: &Path) {
    let out = there.with_file_name("other.onnx");
    let refused = |input: &Path, output: &Path, flags: &[&str], code: i32, words: &[&str]| {
        says(&mut Command::from_std(tune(input, "efficientnet-lite0", output, flags)), code, words)
    };
    refused(images, there, &[], 2, &["already exists", "--overwrite"]);
    refused(images, &out.with_extension("bin"), &[], 2, &["name it .onnx"]);
    refused(features, &out, &[], 2, &["holds features", "themselves"]);
    refused(Path::new("-"), &out, &[], 2, &["standard input"]);
    refused(Path::new("nowhere"), &out, &[], 2, &["nowhere"]);
    let page = images.with_file_name("r.html");
    refused(images, &out, &["--report", page.to_str().unwrap()], 2, &["r.html", "already exists"]);
    refused(images, &out, &["--report", "new.html", "--holdout", "0"], 2, &["--holdout"]);
    refused(images, &out, &["--rate", "0"], 2, &["learning rate"]);
    refused(images, &out, &["--validation", "1"], 2, &["--validation"]);
    refused(images, &out, &["--block-rate", "0"], 2, &["--block-rate"]);
    refused(images, &out, &["--mixup=-1"], 2, &["mixup"]);
    refused(images, &out, &["--average=-1"], 2, &["averaged over are -1", "0 or more"]);
    refused(images, &out, &["--lora", "2000"], 2, &["rank 2000"]);
    refused(images, &out, &["--from", "x", "--blocks", "1"], 2, &["cannot be used with"]);
    refused(images, &out, &["--from", "nowhere"], 1, &["no tensor nowhere"]);
    refused(images, &out, &["--blocks", "99"], 2, &["--blocks 99", "graph --cuts"]);
    refused(images, &out, &["--from", "embedding"], 1, &["nothing behind embedding", "earlier"]);
    refused(images, &out, &["--cache-limit", "0.000001"], 1, &["--cache-limit", "MB"]);
    assert!(!out.exists() && !out.with_extension("md").exists());
    std::fs::remove_dir_all(out.with_extension("tuning")).unwrap();
    std::fs::create_dir(out.with_extension("tuning")).unwrap();
    refused(images, &out, &["--overwrite"], 2, &["other.tuning", "in the way"]);
}

#[test]
fn the_last_layers_of_a_text_backbone_are_tuned() {
    let folder = tempfile::tempdir().unwrap();
    let (table, model) = (folder.path().join("t.csv"), folder.path().join("m.onnx"));
    some_tweets(100, &table);
    let flags = ["--id-column", "id", "--epochs", "2", "--dropout", "0.1", "--pull", "0.01", "--cache", "f16"];
    let told = run(&table, "all-minilm-l6-v2", &model, &flags);
    println!("{told}");
    // Three layers where nothing is said.
    assert_eq!((&told["from"], &told["trained_tensors"]), (&"layer3".into(), &50.into()));
    // A dimension of this model hardly moves: were it scaled up for the head, a step of the backbone would be a leap of all logits.
    let losses = told["history"].as_array().unwrap().iter().skip(1).map(|epoch| number(epoch, "training_loss"));
    assert!(losses.clone().all(|loss| loss < 2.0), "{:?}", losses.collect::<Vec<f64>>());
    assert_eq!((&told["n_held_out"], &told["n_validation"]), (&20.into(), &16.into()));
    let weights = |model: &Path| {
        let view = engraft::onnx::view(&read_model(model).unwrap());
        let tail = engraft::tune::Tail::find(view, "layer5", "logits", "m").unwrap();
        tail.weights().iter().map(|weight| weight.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(weights(&model).len(), 18);
    let first = weights(&model).remove(0);
    is_as_told(&told, &model, "all-minilm-l6-v2", [&first, "embeddings.word_embeddings.weight"]);
    assert!(model.with_extension("tokenizer.json").exists());
    let judged = json(engraft().arg("eval").arg(&model).arg(&table).args(["--id-column", "id"]));
    assert_eq!(judged["n"], 100);

    let other = folder.path().join("other.onnx");
    let mut rows = tune(&table, "all-minilm-l6-v2", &other, &["--id-column", "id", "--from", "layer6/rows"]);
    rows.args(["--epochs", "1"]);
    says(&mut Command::from_std(rows), 1, &["layer6/rows", "one row for each", "another --from"]);
    std::fs::remove_dir_all(other.with_extension("tuning")).unwrap();
    let mut views = tune(&table, "all-minilm-l6-v2", &other, &["--id-column", "id", "--views", "2"]);
    views.arg("--overwrite");
    says(&mut Command::from_std(views), 2, &["texts have none"]);
    let flags = ["--id-column", "id", "--blocks", "1", "--epochs", "2", "--lora", "4", "--rate", "2e-3"];
    let told = run(&table, "all-minilm-l6-v2", &other, &flags);
    println!("{told}");
    // Two factors for each of six matrices, and the head.
    assert_eq!((&told["from"], &told["trained_tensors"]), (&"layer5".into(), &14.into()));
    let numbers = 4 * (4 * (384 + 384) + 2 * (384 + 1536)) + 385 * told["classes"].as_u64().unwrap();
    assert_eq!(told["trained_parameters"], numbers);
    is_as_told(&told, &other, "all-minilm-l6-v2", [&first, "encoder.layer.5.output.dense.bias"]);
}

/// Waits until the first epoch is written.
fn begun(child: &mut Child, checkpoint: &Path) {
    let started = Instant::now();
    while !checkpoint.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote a checkpoint");
        assert!(started.elapsed() < Duration::from_secs(540));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_broken_off_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("emoji"), 0..10);
    let flags = ["--blocks", "1", "--epochs", "6", "--patience", "6", "--batch", "4", "--rate", "2e-4"];
    let command = |output: &Path| tune(&path("emoji"), "efficientnet-lite0", output, &flags);
    let started = |output: &Path| {
        let mut child = command(output).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        begun(&mut child, &output.with_extension("tuning").join("checkpoint.safetensors"));
        child
    };

    let mut child = started(&path("killed.onnx"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!path("killed.onnx").exists());
    // Other settings are another tuning.
    let mut other = command(&path("killed.onnx"));
    says(
        &mut Command::from_std({
            other.args(["--seed", "1"]);
            other
        }),
        1,
        &["cannot be continued", "--overwrite"],
    );
    let output = Command::from_std(command(&path("killed.onnx"))).arg("--json").assert().success().get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("going on after epoch"));
    let resumed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let whole = json(&mut Command::from_std(command(&path("whole.onnx"))));
    let losses = |told: &Value| {
        told["history"].as_array().unwrap().iter().map(|epoch| number(epoch, "held_out_loss")).collect::<Vec<f64>>()
    };
    assert_eq!(losses(&whole).len(), 7);
    assert_close(losses(&resumed), losses(&whole), Tolerance::Within(1e-3));

    let mut child = started(&path("stopped.onnx"));
    Command::new("kill").args(["-INT", &child.id().to_string()]).assert().success();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(path("stopped.onnx").exists() && path("stopped.tuning").exists());
    assert!(Exported::read(&path("stopped.onnx")).unwrap().head.labels.len() == 7);
    let goes_on = Command::from_std(command(&path("stopped.onnx"))).arg("--overwrite").assert().success();
    assert!(stderr(goes_on).contains("going on after epoch"));
    assert!(!path("stopped.tuning").exists());
}
