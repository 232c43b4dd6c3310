//! Exported models outside engraft: Node, a browser, C, and a minimal Rust program, on real images. Python is in `export.rs`.
#![cfg(unix)]

#[path = "support/c_header.rs"]
mod c_header;
#[path = "support/close.rs"]
mod close;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use close::{Tolerance, assert_close};
use engraft::backbone::Runtime;
use serde_json::Value;
use support::{engraft, npm_packages, some_emoji, sorted};

const F32: &[&str] = &["--precision", "f32"];
/// The same on every processor.
const INT8: &[&str] = &["--precision", "int8", "--reduce-range"];

/// A model that takes decoded images, some of which are in a folder, and what engraft says of each by its file name.
struct Prepared {
    folder: tempfile::TempDir,
    expected: BTreeMap<String, (String, f64)>,
    /// Of probabilities: other versions and processors round the products of bytes differently.
    tolerance: f64,
}

impl Prepared {
    /// Exported with these flags of precision.
    fn new(precision: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        some_emoji(&path("train"), 0..10);
        some_emoji(&path("classes"), 10..13);
        std::fs::create_dir(path("images")).unwrap();
        for image in sorted(&path("classes")).iter().flat_map(|class| sorted(class)) {
            std::fs::copy(&image, path("images").join(image.file_name().unwrap())).unwrap();
        }
        let model = ["--model", "efficientnet-lite0", "-o"];
        engraft().arg("train").arg(path("train")).args(model).arg(path("head.onnx")).assert().success();
        let mut export = engraft();
        export.arg("export").arg(path("head.onnx")).arg("-o").arg(path("model.onnx")).arg("--with-preprocess");
        let most: &[&str] = if precision == F32 { &[] } else { &["--max-drop", "20"] };
        export.args(precision).args(most).arg("--samples").arg(path("train")).assert().success();
        let mut predict = engraft();
        let predicted =
            predict.arg("predict").arg(path("model.onnx")).arg(path("images")).arg("--json").assert().success();
        let text = String::from_utf8(predicted.get_output().stdout.clone()).unwrap();
        let prediction = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            (word("id"), (word("label"), line["probability"].as_f64().unwrap()))
        };
        let expected: BTreeMap<String, (String, f64)> = text.lines().map(prediction).collect();
        assert_eq!(expected.len(), 21);
        Self { folder, expected, tolerance: if precision == F32 { 1e-4 } else { 0.05 } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn images(&self) -> Vec<PathBuf> {
        sorted(&self.path("images"))
    }

    /// Lines of path, label and probability, as the example programs write them.
    fn assert_lines(&self, output: &[u8]) {
        let text = String::from_utf8_lossy(output);
        let found = text.lines().map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let name = Path::new(fields[0]).file_name().unwrap().to_string_lossy().into_owned();
            (name, (fields[1].to_owned(), fields[2].parse().unwrap()))
        });
        self.assert_found(found.collect());
    }

    fn assert_found(&self, found: BTreeMap<String, (String, f64)>) {
        assert_eq!(found.len(), self.expected.len());
        for (name, (label, probability)) in &self.expected {
            assert_eq!(&found[name].0, label, "{name}");
            assert_close([found[name].1], [*probability], Tolerance::Within(self.tolerance));
        }
    }

    /// What the page showed.
    fn assert_view(&self, view: &Value) {
        assert_eq!(view["errors"], serde_json::json!([]), "{view}");
        assert_eq!(view["status"], "model.onnx is ready.");
        let item = |item: &Value| {
            let word = |key: &str| item[key].as_str().unwrap().to_owned();
            let logits: Vec<f64> = serde_json::from_str(&word("logits")).unwrap();
            let most = logits.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = logits.iter().map(|z| (z - most).exp()).sum();
            assert!(word("shown").contains(&word("label")), "{item}");
            (word("name"), (word("label"), 1.0 / sum))
        };
        self.assert_found(view["items"].as_array().unwrap().iter().map(item).collect());
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn node_says_the_same() {
    let packages = npm_packages("onnxruntime-node", &["onnxruntime-node@1.30.0", "pngjs@7.0.0"]);
    // Node looks for packages beside the script.
    let script = packages.join("classify.mjs");
    std::fs::copy(example("node/classify.mjs"), &script).unwrap();
    for precision in [F32, INT8] {
        let prepared = Prepared::new(precision);
        let mut node = Command::new("node");
        let run = node.arg(&script).arg(prepared.path("model.onnx")).args(prepared.images()).assert().success();
        prepared.assert_lines(&run.get_output().stdout);
    }
}

#[test]
fn a_browser_says_the_same() {
    let (packages, runtime) = (support::browser(), npm_packages("onnxruntime-web", &["onnxruntime-web@1.30.0"]));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/classify_page.mjs");
    let pictures = support::cache().join("web-pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    for precision in [F32, INT8] {
        let prepared = Prepared::new(precision);
        let [model, images] = ["model.onnx", "images"].map(|name| prepared.path(name));
        let lock = support::home().lock("browser-runs", &()).unwrap();
        let mut node = support::browsing(&packages);
        node.arg(&script).args([&packages, &runtime, &example("web"), &model, &images, &pictures]);
        let run = node.assert().success();
        drop(lock);
        let views: Vec<Value> = serde_json::from_slice(&run.get_output().stdout).unwrap();
        assert_eq!(views.len(), 2);
        views.iter().for_each(|view| prepared.assert_view(view));
    }
}

#[test]
fn a_minimal_rust_program_says_the_same() {
    let prepared = Prepared::new(F32);
    let target = support::cache().join("rust-minimal");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(example("rust-minimal/Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", &target).env_remove("RUSTFLAGS").assert().success();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let mut classify = Command::new(target.join("debug/classify"));
    classify.env("ORT_DYLIB_PATH", &runtime.library).arg(prepared.path("model.onnx")).args(prepared.images());
    prepared.assert_lines(&classify.assert().success().get_output().stdout);
}

#[test]
fn a_program_in_c_says_the_same() {
    let prepared = Prepared::new(F32);
    let runtime = Runtime::load(None, &support::home()).unwrap();
    c_header::write(prepared.folder.path());
    let program = prepared.path("classify");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"]).arg(prepared.folder.path());
    compiler.arg(example("c/classify.c")).arg(&runtime.library).arg("-o").arg(&program).assert().success();
    std::fs::create_dir(prepared.path("ppm")).unwrap();
    // Under the name that the loader looks for.
    std::fs::create_dir(prepared.path("lib")).unwrap();
    std::os::unix::fs::symlink(&runtime.library, prepared.path("lib/libonnxruntime.so.1")).unwrap();
    let images: Vec<PathBuf> = prepared.images().iter().map(|image| as_ppm(image, &prepared.path("ppm"))).collect();
    let classify = |model: &Path| {
        let mut classify = Command::new(&program);
        classify.env("LD_LIBRARY_PATH", prepared.path("lib")).arg(model).args(&images);
        classify.assert()
    };
    prepared.assert_lines(&classify(&prepared.path("model.onnx")).success().get_output().stdout);
    let refused = classify(&images[0]).failure();
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).starts_with("classify: "));
}

/// The image on a white ground as a binary PPM of the same name in `folder`.
fn as_ppm(image: &Path, folder: &Path) -> PathBuf {
    let decoded = image::open(image).unwrap().to_rgba8();
    let mut bytes = format!("P6\n{} {}\n255\n", decoded.width(), decoded.height()).into_bytes();
    for image::Rgba([r, g, b, alpha]) in decoded.pixels() {
        let blend = |c: &u8| ((u32::from(*c) * u32::from(*alpha) + 255 * (255 - u32::from(*alpha)) + 127) / 255) as u8;
        bytes.extend([r, g, b].map(blend));
    }
    let path = folder.join(image.file_name().unwrap());
    std::fs::write(&path, bytes).unwrap();
    path
}
