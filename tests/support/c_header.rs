//! `onnxruntime_c_api.h`, as far as programs in C need it: the registries have no package of it, but ort-sys declares the same
//! interface, function by function, and cbindgen writes it as C.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// Writes the header into `folder`.
pub fn write(folder: &Path) {
    let language = cbindgen::Language::C;
    let mut config =
        cbindgen::Config { language, include_guard: Some("ONNXRUNTIME_C_API_H".into()), ..Default::default() };
    let defines =
        [("target_os = windows", "_WIN32"), ("target_family = wasm", "__wasm__"), ("target_os = unknown", "__wasm__")];
    config.defines = defines.map(|(cfg, define)| (cfg.to_owned(), define.to_owned())).into();
    // C names structures by their typedefs alone, as the header does.
    config.style = cbindgen::Style::Both;
    let lib = ort_sys().join("src/lib.rs");
    let version = lib.with_file_name("version.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(lib).with_src(version).generate().unwrap();
    assert!(bindings.write_to_file(folder.join("onnxruntime_c_api.h")));
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
