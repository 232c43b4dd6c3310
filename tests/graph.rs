//! `engraft graph` tells what a model is made of, what it costs and where it can be cut.

mod support;

use engraft::backbone::registry;
use engraft::onnx::build::{Dim, attr_int};
use engraft::onnx::{DataType, GraphBuilder, read_model, write_model, write_model_within};
use serde_json::Value;
use support::{engraft, home, json, says, stdout};

fn graph(arguments: &[&str]) -> Value {
    json(engraft().arg("graph").args(arguments))
}

/// The classifier of a thousand classes behind 1,280 features.
const CLASSIFIER: u64 = 1280 * 1000;

/// Multiply-adds and weights of EfficientNet-Lite0, from the table of its blocks: kernel, stride, expansion, channels, repeats.
fn efficientnet_lite0() -> (u64, u64) {
    let blocks = [
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    ];
    let (mut size, mut channels) = (112_u64, 32_u64);
    // The batch normalisations are folded into the convolutions: each has a bias.
    let (mut adds, mut weights) = (size * size * 32 * 27, 32 * 27 + 32);
    for (kernel, stride, expansion, out, repeats) in blocks {
        for repeat in 0..repeats {
            let inner = channels * expansion;
            if expansion > 1 {
                adds += size * size * channels * inner;
                weights += channels * inner + inner;
            }
            size /= if repeat == 0 { stride } else { 1 };
            adds += size * size * inner * (kernel * kernel + out);
            weights += inner * kernel * kernel + inner + inner * out + out;
            channels = out;
        }
    }
    (adds + size * size * 320 * 1280 + CLASSIFIER, weights + 320 * 1280 + 1280 + CLASSIFIER + 1000)
}

#[test]
fn operations_and_parameters_are_those_of_the_architecture() {
    let (adds, weights) = efficientnet_lite0();
    let lite = graph(&["efficientnet-lite0"]);
    assert_eq!(lite["flops"].as_u64().unwrap(), 2 * adds);
    let parameters = lite["parameters"].as_u64().unwrap();
    // The two bounds of ReLU6 are constants too.
    assert_eq!(parameters, weights + 2);
    assert_eq!(lite["sample"][0]["shape"], serde_json::json!([1, 3, 224, 224]));
    assert_eq!((&lite["uncounted"], &lite["outputs"][0]["name"]), (&serde_json::json!([]), &"features".into()));

    // Six layers of 384 with a feed-forward of 1,536, and two products of n x n in each.
    let mini = graph(&["all-minilm-l6-v2"]);
    let n = 128;
    let layer = n * 4 * 384 * 384 + n * 2 * 384 * 1536 + 2 * n * n * 384;
    assert_eq!(mini["flops"].as_u64().unwrap(), 2 * 6 * layer);
    assert_eq!(mini["sample"][0]["shape"], serde_json::json!([1, n]));
    // Its own table of sizes knows of another image size.
    assert_eq!(graph(&["efficientnet-lite2"])["sample"][0]["shape"], serde_json::json!([1, 3, 260, 260]));
}

#[test]
fn cuts_are_listed_with_what_is_above_and_what_travels_along() {
    let lite = graph(&["efficientnet-lite0", "--cuts"]);
    let cuts = lite["cuts"].as_array().unwrap();
    let at = |tensor: &str| cuts.iter().find(|cut| cut["tensor"] == tensor).unwrap_or_else(|| panic!("{tensor}"));
    // Between the blocks, not within one that has a residual.
    let block = at("block4/add");
    assert_eq!((&block["shape"], &block["bytes"]), (&serde_json::json!([1, 40, 28, 28]), &(40 * 28 * 28 * 4).into()));
    assert_eq!(block["companions"], serde_json::json!([]));
    assert!(!cuts.iter().any(|cut| cut["tensor"] == "block4/project"));
    let numbers = |key: &str| cuts.iter().map(|cut| cut[key].as_u64().unwrap()).collect::<Vec<_>>();
    for key in ["nodes_above", "parameters_above", "flops_above"] {
        let numbers = numbers(key);
        assert!(numbers.is_sorted() && numbers.last() > numbers.first(), "{key}: {numbers:?}");
    }
    // The features are an output themselves, so that the last cut is before them and the classifier behind.
    assert_eq!(numbers("flops_above").last().unwrap() + 2 * CLASSIFIER, lite["flops"].as_u64().unwrap());

    let tunable = lite["tunable"].as_array().unwrap();
    let last = tunable.iter().find(|cut| cut["blocks"] == 1).unwrap();
    assert_eq!((&last["tensor"], &last["cached_bytes"]), (&"block13/add".into(), &(192 * 7 * 7 * 4).into()));
    assert!(tunable.iter().all(|cut| cut["not_supported"].as_array().unwrap().is_empty()));

    // The mask goes to every layer of an encoder.
    let mini = graph(&["all-minilm-l6-v2"]);
    let cuts = mini["cuts"].as_array().unwrap();
    let with_mask = cuts.iter().filter(|cut| !cut["companions"].as_array().unwrap().is_empty()).count();
    assert!(cuts.len() >= 12 && with_mask >= 10, "{with_mask} of {}", cuts.len());
    let text = stdout(&engraft().args(["graph", "all-minilm-l6-v2", "--cuts"]).assert().success());
    for word in ["input_ids int64 [", "operations", "MatMul", "cut at", "[1, 128, 384]", "--blocks"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn any_model_will_do_and_open_sizes_can_be_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut builder = GraphBuilder::new("m");
    let (n, k) = (Dim::Named("n"), Dim::Named("k"));
    builder.input("a", DataType::Float, &[n, k]);
    builder.input("b", DataType::Float, &[k, Dim::Fixed(5)]);
    builder.node("MatMul", &["a", "b"], "c", vec![]);
    builder.node("Softmax", &["c"], "y", vec![attr_int("axis", 1)]);
    builder.output("y", DataType::Float, &[n, Dim::Fixed(5)]);
    write_model(&builder.finish(), &path).unwrap();
    let file = path.to_str().unwrap();
    let found = graph(&[file, "--shape", "a=7x3", "--shape", "b=3x5"]);
    assert_eq!(found["flops"], 2 * 7 * 3 * 5);
    assert_eq!(
        found["operators"],
        serde_json::json!([{"operator": "MatMul", "nodes": 1}, {"operator": "Softmax", "nodes": 1}])
    );
    assert_eq!(found["inputs"][0], serde_json::json!({"name": "a", "element": "float", "shape": ["n", "k"]}));
    // What cannot be tuned through is told before anything is tuned.
    let mut builder = GraphBuilder::new("m");
    builder.input("x", DataType::Float, &[n, Dim::Fixed(5)]);
    builder.node("Relu", &["x"], "h", vec![]);
    builder.node("Atan", &["h"], "s", vec![]);
    builder.node("Hardmax", &["s"], "y", vec![]);
    builder.output("y", DataType::Float, &[n, Dim::Fixed(5)]);
    let unusual = folder.path().join("unusual.onnx");
    write_model(&builder.finish(), &unusual).unwrap();
    let found = graph(&[unusual.to_str().unwrap(), "--shape", "x=1x5", "--cuts"]);
    assert_eq!(found["tunable"][0]["tensor"], "h");
    assert_eq!(found["tunable"][0]["not_supported"], serde_json::json!(["Atan", "Hardmax"]));
    // What does not run tells what it can, and why not the rest.
    let assert = engraft().args(["graph", file, "--shape", "a=7x3", "--shape", "b=4x5", "--json"]).assert().success();
    assert!(stdout(&assert).contains("\"flops\":null"));
    assert!(support::stderr(assert).contains("did not run"));

    says(engraft().args(["graph", file, "--shape", "z=1"]), 2, &["no input \"z\"; there are a, b"]);
    says(engraft().args(["graph", file, "--shape", "a"]), 2, &["x=1x3x224x224"]);
    says(engraft().args(["graph", "nowhere"]), 2, &["no model \"nowhere\""]);
    says(engraft().args(["graph", "nowhere.onnx"]), 1, &["nowhere.onnx"]);
    says(engraft().args(["graph", "vit-s14", "--onnx-file", "m.onnx"]), 2, &["leave out --onnx-file"]);
    std::fs::write(&path, b"no model").unwrap();
    says(engraft().args(["graph", file]), 1, &["m.onnx", "not an ONNX model"]);
}

#[test]
fn weights_beside_the_model_count() {
    let folder = tempfile::tempdir().unwrap();
    let backbone = registry::resolve("efficientnet-lite0", &Default::default(), &home(), &()).unwrap();
    let model = read_model(&backbone.model).unwrap();
    write_model_within(&model, &folder.path().join("model.onnx"), 1 << 20).unwrap();
    let [inside, outside] = [graph(&["efficientnet-lite0"]), graph(&[folder.path().to_str().unwrap()])];
    for key in ["parameters", "parameter_bytes", "flops", "cuts"] {
        assert_eq!(inside[key], outside[key], "{key}");
    }
    assert_eq!(outside["files"].as_array().unwrap().len(), 2);
    std::fs::remove_file(folder.path().join("model.onnx_data")).unwrap();
    says(engraft().arg("graph").arg(folder.path()), 1, &["model.onnx_data", "not beside it"]);
}
