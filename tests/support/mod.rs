//! What the end-to-end tests share: the binary, a home that is kept between runs, real photos, Python peers.
#![allow(dead_code)]

pub mod close;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use engraft::backbone::{Home, Package, PackageFile, PackageManager, fetch};

/// Where fetched things are kept between runs.
pub fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// engraft's folder for the tests, with ONNX Runtime in it.
pub fn home() -> Home {
    static READY: OnceLock<Home> = OnceLock::new();
    READY
        .get_or_init(|| {
            let home = Home::at(cache().join("home"));
            engraft::backbone::setup(&home, engraft::backbone::Flavour::Cpu, &()).expect("ONNX Runtime is fetched");
            home
        })
        .clone()
}

/// The engraft binary in the tests' home, on the CPU.
pub fn engraft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("ENGRAFT_") || n == "ORT_DYLIB_PATH") {
        command.env_remove(name);
    }
    command.env("ENGRAFT_HOME", home().path()).env("ENGRAFT_DEVICE", "cpu");
    command
}

/// The JSON that a successful command writes.
pub fn json(command: &mut Command) -> serde_json::Value {
    let output = command.arg("--json").assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).expect("the result is JSON")
}

/// Files of a wheel, by path inside and sha256; they are kept as `<folder>/<file name>`.
pub fn wheel_files(name: &str, version: &str, files: &[(&str, &str)], folder: &str) -> PathBuf {
    let folder = cache().join(folder);
    let lock = home().lock(name).expect("a lock");
    let files = files
        .iter()
        .map(|(path, sha256)| PackageFile {
            path: (*path).to_owned(),
            keep: Path::new(path).file_name().expect("a file name").to_string_lossy().into_owned(),
            sha256: (*sha256).to_owned(),
        })
        .collect();
    let package = Package { manager: PackageManager::Pip, name: name.into(), version: version.into(), files };
    fetch::fetch_package(&package, &folder, &()).expect("the package is fetched");
    drop(lock);
    folder
}

/// A Python with these packages, installed beside the tests and nowhere else. Runs `script` with `arguments`; returns
/// its standard output.
pub fn python(packages: &[&str], script: &str, arguments: &[&Path]) -> String {
    let folder = cache().join("python").join(packages.join("+"));
    let lock = home().lock("python").expect("a lock");
    if !folder.is_dir() {
        let staged = engraft::file::AtomicFolder::create(&folder).expect("a folder");
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(staged.staging());
        pip.args(packages).assert().success();
        staged.commit().expect("renamed");
    }
    drop(lock);
    let output =
        Command::new("python3").env("PYTHONPATH", &folder).arg("-c").arg(script).args(arguments).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).expect("UTF-8")
}
