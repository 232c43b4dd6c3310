//! `onnxruntime_c_api.h`, as far as programs in C need it: the registries have no package of it, but ort-sys declares the same
//! interface, function by function, and cbindgen writes it as C.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// What C programs name; cbindgen writes what these need besides.
const NAMED: [&str; 6] =
    ["OrtApiBase", "OrtApi", "OrtAllocatorType", "OrtMemType", "OrtLoggingLevel", "ONNXTensorElementDataType"];
/// What ort-sys has in another form.
const BESIDES: &str = "#define ORT_API_VERSION 24\nconst OrtApiBase *OrtGetApiBase(void);";

/// Writes the header into `folder`.
pub fn write(folder: &Path) {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        include_guard: Some("ONNXRUNTIME_C_API_H".into()),
        header: Some("struct OrtApi;".into()),
        trailer: Some(BESIDES.into()),
        documentation: false,
        style: cbindgen::Style::Both,
        ..Default::default()
    };
    let defines =
        [("target_os = windows", "_WIN32"), ("target_family = wasm", "__wasm__"), ("target_os = unknown", "__wasm__")];
    config.defines = defines.map(|(cfg, define)| (cfg.to_owned(), define.to_owned())).into();
    config.export.include = NAMED.map(str::to_owned).to_vec();
    config.export.exclude = vec!["ORT_API_VERSION".to_owned()];
    let source = folder.join("ort_sys.rs");
    std::fs::write(&source, for_c(&std::fs::read_to_string(ort_sys().join("src/lib.rs")).unwrap())).unwrap();
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate().unwrap();
    assert!(bindings.write_to_file(folder.join("onnxruntime_c_api.h")));
}

/// The source without what cbindgen cannot read: fields of a build for the web, which return futures, and functions that may be null.
fn for_c(source: &str) -> String {
    let (mut kept, mut of_the_web) = (String::new(), false);
    for line in source.lines() {
        of_the_web |= line.contains("cfg(all(target_family = \"wasm\"");
        if !of_the_web {
            kept += line;
            kept.push('\n');
        }
        of_the_web &= !line.starts_with("\t) ->");
    }
    kept.replace("Option<OrtLoggingFunction>", "OrtLoggingFunction")
}

/// Where cargo keeps the source of ort-sys.
fn ort_sys() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--manifest-path"]);
    let found = cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).assert().success();
    let metadata: Value = serde_json::from_slice(&found.get_output().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "ort-sys").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_path_buf()
}
