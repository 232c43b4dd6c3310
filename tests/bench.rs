//! Exported models side by side.

mod support;

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use support::{engraft, json, says, tiny_backbone, tiny_images};

fn bench(models: &[&Path], flags: &[&str]) -> Command {
    let mut command = engraft();
    command.arg("bench").args(flags).args(["--seconds", "0.05"]).args(models);
    command
}

#[test]
fn models_are_compared_whatever_they_take() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for class in ["a", "b"] {
        std::fs::create_dir_all(path("images").join(class)).unwrap();
        tiny_images(&path("images").join(class), 12);
        // A batch is made of what is usable.
        std::fs::write(path("images").join(class).join("005.png"), "no picture").unwrap();
    }
    let backbone = tiny_backbone(folder.path());
    let images = path("images");
    let (head, plain, whole) = (path("head.onnx"), path("plain.onnx"), path("whole.onnx"));
    let mut train = engraft();
    train.arg("train").arg(&images).args(&backbone).args(["--holdout", "0", "--max-rejects", "2", "-o"]).arg(&head);
    train.assert().success();
    for (model, flags) in [(&plain, &[][..]), (&whole, &["--with-preprocess"])] {
        engraft().arg("export").arg(&head).arg(&backbone[0]).arg("-o").arg(model).args(flags).assert().success();
    }
    let data = ["--data", images.to_str().unwrap(), "--max-rejects", "2"];

    let one = json(&mut bench(&[&whole], &data));
    let several = json(&mut bench(&[&plain, &whole], &[&data[..], &["-v"]].concat()));
    let several = several.as_array().unwrap();
    assert_eq!(
        several.iter().map(|m| m["model"].as_str().unwrap()).collect::<Vec<_>>(),
        [plain.to_str().unwrap(), whole.to_str().unwrap()]
    );
    let number = |model: &Value, key: &str| model[key].as_f64().unwrap_or_else(|| panic!("no {key} in {model}"));
    for model in several.iter().chain(one.as_array().unwrap()) {
        let file = std::fs::metadata(model["model"].as_str().unwrap()).unwrap();
        assert_eq!((&model["precision"], &model["size"]), (&"f32".into(), &file.len().into()));
        assert!(number(model, "latency_p50_ms") <= number(model, "latency_p99_ms"));
        assert!(number(model, "rows_per_second") > 0.0 && (0.0..=1.0).contains(&number(model, "accuracy")));
    }
    assert_eq!(several[0]["accuracy"], several[1]["accuracy"]);
    assert_eq!(several[1]["accuracy"], one[0]["accuracy"]);
    assert!(several.iter().any(|model| model["pareto"] == true));

    // Options may end before the models.
    let mut command = engraft();
    command.args(["bench", "--json", "--seconds", "0.05", "--"]).args([&plain, &whole]).assert().success();
    says(&mut bench(&[&plain, &head], &[]), 2, &["head.onnx is a head: export it first"]);
    says(&mut bench(&[&plain, &path("none.onnx")], &[]), 1, &["none.onnx"]);
    says(&mut bench(&[&plain], &["--seconds", "0"]), 2, &["--seconds"]);
}
