//! ONNX Runtime: found, fetched, or its absence explained; devices that cannot run are named.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;

use assert_cmd::Command;
use engraft::backbone::{PackageManager, fetch};
use serde_json::Value;
use support::{cache, command, engraft, home, json, no_programs, python_packages, says, stderr};

/// engraft on a machine where nothing was set up.
fn nothing_there() -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&folder.path().join("home"));
    command.env("PATH", no_programs());
    (folder, command)
}

/// What is told when there is no library: the places in their order, and the ways out.
const ABSENT: [&str; 7] = [
    "`engraft setup`",
    "--ort-lib",
    "ORT_DYLIB_PATH",
    "engraft's own folder",
    "beside the engraft binary",
    "the Python package onnxruntime",
    "the system's library folders",
];

/// The library that `setup` fetched.
fn library() -> String {
    json(engraft().arg("setup"))["library"].as_str().unwrap().to_owned()
}

#[test]
fn doctor_before_setup_tells_what_to_do() {
    let (folder, mut doctor) = nothing_there();
    let report = json(doctor.arg("doctor"));
    assert_eq!((&report["runtime"], &report["providers"]), (&Value::Null, &serde_json::json!([])));
    let problem = report["runtime_problem"].as_str().unwrap();
    assert!(ABSENT.iter().all(|word| problem.contains(word)), "{problem}");
    assert!(report["models"].as_array().unwrap().iter().all(|m| m["present"] == false));
    assert!(report["cores"].as_u64().unwrap() >= 1);
    assert!(!folder.path().join("home/models").exists(), "doctor only looks");
}

#[test]
fn doctor_after_setup_tells_what_runs() {
    let report = json(engraft().arg("doctor"));
    assert_eq!(report["runtime"]["version"], "1.32.0");
    assert_eq!(report["runtime"]["found"], "engraft's own folder");
    assert_eq!(report["runtime_problem"], Value::Null);
    assert!(report["cache_bytes"]["runtime"].as_u64().unwrap() > 10_000_000);
    let providers = report["providers"].as_array().unwrap();
    let names: Vec<&str> = providers.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cpu", "cuda", "tensorrt", "openvino", "coreml", "directml", "xnnpack"]);
    assert_eq!((&providers[0]["runs"], &providers[0]["problem"]), (&true.into(), &Value::Null));
    for provider in &providers[1..] {
        let runs = provider["runs"].as_bool().unwrap();
        assert_eq!(runs, provider["problem"].is_null(), "{provider}");
    }
    let text = support::stdout(&engraft().arg("doctor").assert().success());
    assert!(text.contains("ONNX Runtime 1.32.0") && text.contains("not compiled into this ONNX Runtime"), "{text}");
}

#[test]
fn doctor_counts_where_a_models_nodes_run() {
    json(engraft().args(["models", "pull", "efficientnet-lite0"]));
    let report = json(engraft().args(["doctor", "--model", "efficientnet-lite0"]));
    let cpu = &report["providers"][0];
    assert_eq!(cpu["nodes"]["cpu"], 1, "{cpu}");
    // 49 convolutions at the least, whatever is fused into them.
    assert!(cpu["model"]["nodes"]["nodes"]["cpu"].as_u64().unwrap() >= 49, "{cpu}");
    assert!(report["providers"].as_array().unwrap()[1..].iter().all(|p| p["runs"] == true || p["model"].is_null()));
    let (folder, mut doctor) = nothing_there();
    says(doctor.args(["doctor", "--model", "vit-s14"]), 1, &["vit-s14 is not here", "engraft models pull vit-s14"]);
    assert!(!folder.path().join("home/models").exists(), "doctor only looks");
}

/// A driver's tool that lists two cards, and one that finds none.
#[test]
fn doctor_tells_of_the_cards() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("nvidia-smi");
    let report = |script: &str| {
        std::fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        json(engraft().arg("doctor").env("PATH", folder.path()))
    };
    let two =
        report("echo '0, NVIDIA H100 80GB HBM3, 580.95.05, 9.0, 81559'; echo '1, NVIDIA A10, 580.95.05, 8.6, 23028'");
    assert_eq!(two["gpu_problem"], Value::Null);
    let card = serde_json::json!({
        "index": 1, "name": "NVIDIA A10", "driver": "580.95.05", "compute_capability": "8.6", "memory_mib": 23028
    });
    assert_eq!(two["gpus"][1], card);
    let none = report("echo 'No devices were found'; exit 6");
    assert_eq!(
        (&none["gpus"], &none["gpu_problem"]),
        (&serde_json::json!([]), &"nvidia-smi: No devices were found".into())
    );
}

#[test]
fn work_without_a_runtime_says_the_same_as_doctor() {
    let (folder, mut embed) = nothing_there();
    let output = folder.path().join("x.parquet");
    embed.args(["embed", "-", "-m", "all-minilm-l6-v2", "-o"]).arg(&output).write_stdin("hello\n");
    says(&mut embed, 1, &ABSENT);
    assert!(!output.exists());
}

#[test]
fn setup_is_done_once_and_says_what_it_lacks() {
    let first = json(engraft().arg("setup"));
    assert!(std::path::Path::new(first["library"].as_str().unwrap()).starts_with(home().path()));
    let again = json(engraft().arg("setup").env("PATH", no_programs()));
    assert_eq!((&again["already"], &again["library"]), (&true.into(), &first["library"]));
    let (_folder, mut setup) = nothing_there();
    says(setup.arg("setup"), 1, &["onnxruntime 1.32.0", "pip was not found", "install it"]);
}

#[test]
fn a_library_that_is_named_is_used() {
    let (_folder, mut doctor) = nothing_there();
    let report = json(doctor.args(["doctor", "--ort-lib", &library()]));
    assert_eq!((&report["runtime"]["found"], &report["runtime"]["library"]), (&"--ort-lib".into(), &library().into()));
    let (_folder, mut doctor) = nothing_there();
    let report = json(doctor.arg("doctor").env("ORT_DYLIB_PATH", library()));
    assert_eq!(report["runtime"]["found"], "ORT_DYLIB_PATH");
    // The flag goes before the variable.
    let (_folder, mut doctor) = nothing_there();
    let report = json(doctor.args(["doctor", "--ort-lib", &library()]).env("ORT_DYLIB_PATH", "/nowhere.so"));
    assert_eq!(report["runtime"]["found"], "--ort-lib");
}

#[test]
fn an_installed_python_package_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut doctor = command(folder.path());
    let report = json(doctor.arg("doctor").env("PYTHONPATH", python_packages(&support::PEERS)));
    assert_eq!(report["runtime"]["found"], "the Python package onnxruntime");
    assert_eq!(report["runtime"]["version"], "1.32.0");
}

/// The models verb needs the runtime only; what it says of a bad library is what every verb says.
fn with_library(path: &str) -> Command {
    let mut verify = engraft();
    verify.args(["models", "verify", "all-minilm-l6-v2-int8", "--ort-lib", path]);
    verify
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    for content in ["", "this is a text and not a library\n"] {
        std::fs::write(&text, content).unwrap();
        says(&mut with_library(text.to_str().unwrap()), 1, &["--ort-lib names", text.to_str().unwrap()]);
    }
    says(&mut with_library("/nowhere/libonnxruntime.so"), 1, &["--ort-lib names /nowhere/libonnxruntime.so"]);
    let mut variable = engraft();
    variable.args(["models", "verify", "all-minilm-l6-v2-int8"]).env("ORT_DYLIB_PATH", &text);
    says(&mut variable, 1, &["ORT_DYLIB_PATH names", text.to_str().unwrap()]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_foreign_library_is_refused() {
    says(&mut with_library("libc.so.6"), 1, &["--ort-lib names libc.so.6", "it is not ONNX Runtime"]);
}

/// The shared library of a release of 2024, for x86-64 Linux.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn old_library() -> PathBuf {
    let path = cache().join("old/libonnxruntime.so.1.20.1");
    let _alone = home().lock("old-onnxruntime", &()).unwrap();
    if !path.is_file() {
        let options = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311"];
        let options = [&options[..], &["--platform=manylinux_2_28_x86_64"]].concat();
        let (_temp, wheel) = fetch::download(PackageManager::Pip, "onnxruntime", "1.20.1", &options, &()).unwrap();
        let bytes = fetch::read_member(&wheel, "onnxruntime/capi/libonnxruntime.so.1.20.1").unwrap();
        engraft::file::write_atomic(&path, &bytes).unwrap();
    }
    path
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn a_library_that_is_too_old_is_refused_by_its_version() {
    let old = old_library();
    says(&mut with_library(old.to_str().unwrap()), 1, &["version 1.20.1", "too old", "1.24"]);
    // In engraft's own folder it is passed over, and told of.
    let (folder, mut doctor) = nothing_there();
    let runtime = folder.path().join("home/runtime/cpu-1.20.1");
    std::fs::create_dir_all(&runtime).unwrap();
    std::os::unix::fs::symlink(&old, runtime.join("libonnxruntime.so.1.20.1")).unwrap();
    let report = json(doctor.arg("doctor"));
    let problem = report["runtime_problem"].as_str().unwrap();
    assert!(problem.contains("version 1.20.1, too old") && problem.contains("`engraft setup`"), "{problem}");
}

fn one_line(device: &str) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut embed = engraft();
    embed.args(["embed", "-", "-m", "all-minilm-l6-v2-int8", "--device", device, "-o"]);
    embed.arg(folder.path().join("x.npy")).write_stdin("hello\n");
    (folder, embed)
}

#[test]
fn a_device_that_cannot_run_is_an_error_with_its_cause() {
    for device in ["cuda", "cuda:1", "tensorrt", "openvino", "directml"] {
        let (folder, mut embed) = one_line(device);
        let said = says(&mut embed, 1, &[&format!("device {device} cannot run here")]);
        println!("{said}");
        assert_eq!(support::sorted(folder.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn auto_says_what_it_chose_and_why() {
    let (_folder, mut embed) = one_line("auto");
    let said = stderr(embed.assert().success());
    assert!(said.contains("auto chose cpu") && said.contains("cuda"), "{said}");
    assert!(said.contains("has no cuda"), "{said}");
    let (_folder, mut embed) = one_line("auto");
    let summary = json(&mut embed);
    assert_eq!(summary["provider"], "cpu");
    let (_folder, mut embed) = one_line("auto");
    assert_eq!(stderr(embed.arg("--quiet").assert().success()), "");
}
