//! Backbones and exported models that keep their weights in a file beside them.

mod support;

use std::path::Path;

use engraft::backbone::registry;
use engraft::onnx::{external_files, read_model, read_whole_model, write_model_within};
use serde_json::Value;
use support::{PEERS, engraft, home, json, some_emoji};

/// So much of a model may be in its own file here; 2 GiB elsewhere.
const LIMIT: u64 = 1 << 20;

fn lines(command: &mut assert_cmd::Command) -> Vec<Value> {
    let output = command.arg("--json").assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_backbone_with_weights_beside_it_does_all_that_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    some_emoji(&path("train"), 0..16);
    some_emoji(&path("test"), 16..20);
    let known = registry::resolve("efficientnet-lite0", &Default::default(), &home(), &()).unwrap();
    let model = read_model(&known.model).unwrap();
    write_model_within(&model, &path("backbone/model.onnx"), LIMIT).unwrap();
    assert_eq!(external_files(&read_model(&path("backbone/model.onnx")).unwrap()), ["model.onnx_data"]);
    assert_eq!(read_whole_model(&path("backbone/model.onnx")).unwrap(), model);
    let config = r#"{"size": {"height": 224, "width": 224}, "resample": 3, "do_rescale": false, "do_normalize": true,
        "image_mean": [127.0, 127.0, 127.0], "image_std": [128.0, 128.0, 128.0]}"#;
    std::fs::write(path("backbone/preprocessor_config.json"), config).unwrap();

    let (head, exported) = (path("head.onnx"), path("model.onnx"));
    let train = |model: &Path, more: &[&str], head: &Path| {
        let mut command = engraft();
        command.arg("train").arg(path("train")).arg("--model").arg(model).args(more).arg("-o").arg(head);
        command.assert().success();
    };
    train(&path("backbone"), &[], &head);
    let written = json(engraft().arg("export").arg(&head).arg("-o").arg(&exported).arg("--samples").arg(path("test")));
    assert_eq!(written["agreement"]["other_labels"], 0);
    assert!(external_files(&read_model(&exported).unwrap()).is_empty());
    let predict = |model: &Path| lines(engraft().arg("predict").arg(model).arg(path("test")));
    let labels = |rows: &[Value]| rows.iter().map(|row| row["label"].clone()).collect::<Vec<_>>();
    let expected = predict(&head);
    assert_eq!(labels(&predict(&exported)), labels(&expected));
    let judged = |model: &Path| json(engraft().arg("eval").arg(model).arg(path("test")))["accuracy"].clone();
    assert_eq!(judged(&head), judged(&exported));

    let small = path("int8.onnx");
    let int8 = ["--precision", "int8", "--max-drop", "50", "--samples"];
    let written = json(engraft().arg("export").arg(&head).arg("-o").arg(&small).args(int8).arg(path("train")));
    assert!(written["size"].as_u64().unwrap() < std::fs::metadata(&exported).unwrap().len() / 2, "{written}");

    // A cut copy has the weights in it.
    train(&path("backbone"), &["--output-name", "block4/add", "--pooling", "gap"], &path("inner.onnx"));
    assert_eq!(predict(&path("inner.onnx")).len(), expected.len());

    // An exported model that is too large for one file is two, which everything opens.
    let apart = path("apart.onnx");
    write_model_within(&read_model(&exported).unwrap(), &apart, LIMIT).unwrap();
    assert!(path("apart.onnx_data").is_file());
    assert_eq!(predict(&apart), predict(&exported));
    assert_eq!(judged(&apart), judged(&exported));
    let script = "import sys, onnx, onnxruntime\n\
                  onnx.checker.check_model(sys.argv[1], full_check=True)\n\
                  session = onnxruntime.InferenceSession(sys.argv[1])\n\
                  print(session.get_inputs()[0].name, onnx.load(sys.argv[1]).ByteSize() > 10_000_000)";
    assert_eq!(support::python(&PEERS, script, &[&apart]).trim(), "image True");
}
