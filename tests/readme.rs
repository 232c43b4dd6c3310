//! The README's commands do what it says, in a folder such as it describes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use assert_cmd::Command;
use support::{emoji, home, sorted, tweets};

/// The lines of the README's ```sh blocks.
fn shell_lines() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// `photos/` with three classes, `new-photos/`, and `reviews.csv`.
fn prepare(folder: &Path) {
    for class in ["Animals & Nature", "Food & Drink", "Objects"] {
        let to = folder.join("photos").join(class.split(' ').next().unwrap().to_lowercase());
        std::fs::create_dir_all(&to).unwrap();
        std::fs::create_dir_all(folder.join("new-photos")).unwrap();
        let images = sorted(&emoji().join(class));
        for image in &images[..8] {
            std::fs::copy(image, to.join(image.file_name().unwrap())).unwrap();
        }
        std::fs::copy(&images[8], folder.join("new-photos").join(images[8].file_name().unwrap())).unwrap();
    }
    let mut all = csv::Reader::from_path(tweets()).unwrap();
    let mut reviews = csv::Writer::from_path(folder.join("reviews.csv")).unwrap();
    reviews.write_record(["text", "label"]).unwrap();
    for record in all.records().take(24) {
        let record = record.unwrap();
        reviews.write_record([&record[2], &record[1]]).unwrap();
    }
    reviews.flush().unwrap();
}

#[test]
fn every_command_works() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let binary = Path::new(env!("CARGO_BIN_EXE_engraft")).parent().unwrap().display().to_string();
    let path = format!("{binary}:{}", std::env::var("PATH").unwrap());
    let mut run = 0;
    for line in shell_lines() {
        if line.starts_with("engraft ") || line.contains("| engraft ") {
            println!("$ {line}");
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).current_dir(folder.path());
            shell.env("PATH", &path).env("ENGRAFT_HOME", home().path()).env_remove("ORT_DYLIB_PATH");
            for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("ENGRAFT_") && n != "ENGRAFT_HOME") {
                shell.env_remove(name);
            }
            let output = shell.assert().success().get_output().clone();
            println!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
            run += 1;
        } else {
            // Nothing that a reader would type stays untried without being known here.
            let known = ["cargo run --release -- demo", "cargo test", "cargo install --path ."];
            assert!(line.trim().is_empty() || known.iter().any(|k| line.starts_with(k)), "{line:?} is not tried");
        }
    }
    assert!(run >= 5, "{run} commands");
    for written in ["photos.parquet", "head.onnx"] {
        assert!(folder.path().join(written).is_file(), "{written}");
    }
}

#[test]
fn the_two_commands_come_first() {
    let lines = shell_lines();
    assert!(lines[0].starts_with("cargo run --release -- demo"), "{lines:?}");
    assert!(lines[1].starts_with("cargo test"), "{lines:?}");
}
