//! The layout as DESIGN draws it: data flows one way, and heavy dependencies stay behind their walls.
//!
//! The checker reads the source as text, tests included, and resolves `crate::…`, `super::…` and `use` groups.

mod support {
    pub mod rust_paths;
}

use std::path::Path;

use support::rust_paths::{Use, uses};

/// The modules in the order of the flow: each may use those before it, and itself.
const ORDER: [&str; 26] = [
    "error",
    "counted",
    "guard",
    "progress",
    "file",
    "footer",
    "eigen",
    "product",
    "cholesky",
    "logits",
    "onnx",
    "source",
    "preprocess",
    "backbone",
    "features",
    "extract",
    "head",
    "eval",
    "curate",
    "rank",
    "adapt",
    "tune",
    "export",
    "report",
    "serve",
    "cli",
];

/// Pairs that the order would allow: the first does not know the second.
const STRANGERS: [(&str, &str); 3] = [("adapt", "head"), ("serve", "head"), ("serve", "tune")];

/// Crates, and the files or folders that alone may name them.
const WALLS: [(&str, &[&str]); 9] = [
    (
        "ort",
        &[
            "src/backbone/session.rs",
            "src/backbone/provider.rs",
            "src/backbone/runtime.rs",
            "src/backbone/staging.rs",
            "src/backbone/evaluate.rs",
            "src/backbone/cuda.rs",
        ],
    ),
    ("prost", &["src/onnx/"]),
    ("linfa", &["src/head/"]),
    ("linfa_logistic", &["src/head/"]),
    ("clap", &["src/cli/", "src/main.rs"]),
    ("clap_complete", &["src/cli/", "src/main.rs"]),
    ("tokio", &["src/serve/"]),
    ("axum", &["src/serve/"]),
    ("indicatif", &["src/cli/"]),
];

/// What prints or exits, and so belongs to the command line.
const PRINTERS: [&str; 5] = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
const EXITS: [&str; 3] = ["process::exit", "io::stdout", "io::stderr"];

/// Every way in which these files, `(path from the root, text)`, break the layout.
fn violations<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let mut report = |what: String| found.push(format!("{path}: {what}"));
        let module = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
        for Use { path: used, depth } in uses(text) {
            let full = used.join("::");
            wall(path, &used, &full).into_iter().for_each(&mut report);
            // `lib.rs` names every module, and `main.rs` may.
            if let Some(target) = root_module(&used, file_depth(path) + depth).filter(|_| !is_root(path)) {
                arrow(module, target).into_iter().for_each(|what| report(format!("{what} (`{full}`)")));
            }
        }
        if !is_root(path) && !ORDER.contains(&module) {
            report(format!("the module {module} has no place in the order"));
        }
    }
    found
}

fn is_root(path: &str) -> bool {
    matches!(path, "src/lib.rs" | "src/main.rs")
}

/// How many modules deep a file lies: `src/a.rs` and `src/a/mod.rs` 1, `src/a/b.rs` 2.
fn file_depth(path: &str) -> usize {
    let parts = path.split('/').count() - 1;
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// The top module that a path leads to, if it goes through the root.
fn root_module(path: &[String], depth: usize) -> Option<&str> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let name = match path.first()?.as_str() {
        "crate" => path.get(1),
        "super" if supers == depth => path.get(supers),
        _ => None,
    }?;
    // `crate::Error` and `crate::Result` are re-exports of `error`; the tests' tolerance helper is no module.
    match name.as_str() {
        "close" => None,
        "Error" | "Result" => Some("error"),
        name => Some(name),
    }
}

fn arrow(from: &str, to: &str) -> Option<String> {
    let rank = |module| ORDER.iter().position(|name| *name == module);
    let Some(target) = rank(to) else {
        return Some(format!("uses {to}, which has no place in the order"));
    };
    if from == to {
        None
    } else if rank(from).is_some_and(|own| own < target) {
        Some(format!("{from} comes before {to} and may not use it"))
    } else if STRANGERS.contains(&(from, to)) {
        Some(format!("{from} may not know {to}"))
    } else if from == "eval" && !matches!(to, "error" | "eigen") {
        Some(format!("eval sees arrays and may use error and eigen alone, not {to}"))
    } else {
        None
    }
}

fn wall(path: &str, used: &[String], full: &str) -> Option<String> {
    let within = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    let root = used.first().map(String::as_str);
    if let Some((name, _)) = WALLS.iter().find(|(name, places)| root == Some(name) && !within(places)) {
        return Some(format!("{name} stays behind its wall (`{full}`)"));
    }
    if used.iter().any(|part| part == "proto") && !within(&["src/onnx/"]) {
        return Some(format!("the protobuf stays in onnx (`{full}`)"));
    }
    let prints = PRINTERS.contains(&full.rsplit("::").next().unwrap_or_default());
    let exits = EXITS.iter().any(|what| full == *what || full.ends_with(&format!("::{what}")));
    let cli = within(&["src/cli/", "src/main.rs"]);
    ((prints || exits) && !cli).then(|| format!("only the command line prints and exits (`{full}`)"))
}

#[test]
fn the_source_keeps_to_the_layout() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<(String, String)> = walkdir::WalkDir::new(root.join("src"))
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "rs"))
        .map(|entry| {
            let relative = entry.path().strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap());
            (relative.collect::<Vec<_>>().join("/"), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    assert!(files.len() > 20, "only {} files were found", files.len());
    let found = violations(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[track_caller]
fn breaks(path: &str, text: &str, expected: &str) {
    let found = violations([(path, text)]);
    assert!(found.len() == 1 && found[0].contains(expected), "{path}, {text}: {found:?}");
}

#[track_caller]
fn holds(path: &str, text: &str) {
    assert_eq!(violations([(path, text)]), Vec::<String>::new(), "{path}, {text}");
}

#[test]
fn arrows_against_the_flow_are_found() {
    breaks("src/source/table.rs", "use crate::features::FeatureSet;", "source comes before features");
    breaks("src/file.rs", "use crate::{\n    error::Error,\n    onnx::{build},\n};", "`crate::onnx::build`");
    breaks("src/error.rs", "fn f() -> crate::cli::Exit { g() }", "error comes before cli");
    breaks("src/onnx/model.rs", "#[cfg(test)] mod tests { use crate::head::Logistic; }", "onnx comes before head");
    breaks("src/onnx/mod.rs", "use super::head::Logistic;", "onnx comes before head");
    breaks("src/onnx/a/b.rs", "pub use super::super::super::head;", "onnx comes before head");
    breaks("src/onnx/mod.rs", "mod tests { use super::super::{head::Logistic}; }", "onnx comes before head");
    breaks("src/onnx/model.rs", "fn f(x: Vec<crate::head::Logistic>) {}", "onnx comes before head");
    breaks("src/onnx/model.rs", "fn f() { Vec::<crate::head::Logistic>::new(); }", "onnx comes before head");
    breaks("src/onnx/model.rs", "use crate :: /* a */ head :: X;", "onnx comes before head");
    breaks("src/misc/mod.rs", "", "misc has no place");
    breaks("src/cli/run.rs", "use crate::misc::x;", "misc, which has no place");
}

#[test]
fn strangers_are_kept_apart() {
    breaks("src/eval/metrics.rs", "use crate::features::FeatureSet;", "eval sees arrays");
    breaks("src/adapt/coral.rs", "use crate::head::Logistic;", "adapt may not know head");
    breaks("src/head/logistic.rs", "use crate::adapt::Coral;", "head comes before adapt");
    breaks("src/serve/app.rs", "use crate::head::Logistic;", "serve may not know head");
    breaks("src/serve/app.rs", "use crate::tune::Tape;", "serve may not know tune");
}

#[test]
fn broken_walls_are_found() {
    breaks("src/extract/run.rs", "use ort::session::Session;", "ort stays behind its wall");
    breaks("src/backbone/pooling.rs", "fn f(s: &ort::session::Session) {}", "ort stays behind its wall");
    breaks("src/extract/run.rs", "fn f(s: &::ort::Session) {}", "ort stays behind its wall");
    breaks("src/export/fuse.rs", "use prost::Message;", "prost stays behind its wall");
    breaks("src/export/fuse.rs", "use crate::onnx::{build, proto::ModelProto};", "the protobuf stays in onnx");
    breaks("src/eval/metrics.rs", "impl linfa::traits::Fit for X {}", "linfa stays behind its wall");
    breaks("src/features/set.rs", "#[derive(clap::Args)] struct A;", "clap stays behind its wall");
    breaks("src/report/html.rs", "fn f() { println!(\"x\") }", "only the command line prints");
    breaks("src/report/html.rs", "fn f() { std::eprintln!(\"x\") }", "only the command line prints");
    breaks("src/report/html.rs", "fn f() { std::process::exit(1) }", "only the command line prints and exits");
    breaks("src/report/html.rs", "use std::process::{Command, exit};", "only the command line prints and exits");
    breaks("src/report/html.rs", "use std::{io::{self, Write, stdout}};", "only the command line prints and exits");
    breaks("src/cli/serve.rs", "use tokio::runtime::Runtime;", "tokio stays behind its wall");
}

#[test]
fn what_is_allowed_is_not_reported() {
    holds("src/lib.rs", "pub mod cli;\npub use error::{Error, Result};");
    holds("src/main.rs", "use engraft::cli; fn main() { std::process::exit(cli::run()) }");
    holds("src/features/set.rs", "use crate::error::{Error, Result}; use crate::source; use super::Rows;");
    holds("src/progress.rs", "fn f() -> crate::Result<(), crate::Error> {} mod tests { use crate::close::Tolerance; }");
    holds("src/extract/mod.rs", "mod tests { use super::*; use super::cli; }");
    holds("src/backbone/session.rs", "use ort::session::Session;");
    holds("src/onnx/model.rs", "use prost::Message; use super::proto::ModelProto;");
    holds("src/cli/run.rs", "use clap::Parser; use crate::serve::App; fn f() { println!(\"x\"); process::exit(1) }");
    holds("src/serve/app.rs", "use axum::Router; use crate::export::Model;");
    // Words in comments, texts and longer names are no uses.
    holds("src/error.rs", "//! [`crate::cli`] println!\n/* use ort::X; /* crate::cli */ */ fn f() {}");
    holds(
        "src/error.rs",
        r####"const A: &str = "crate::cli \" println!()"; const B: &str = r##"use "# ort::X;"##;"####,
    );
    holds("src/error.rs", "fn f<'a>(c: &'a char) -> bool { *c == '\"' || *c == '\\'' } // crate::cli \"");
    holds("src/error.rs", "fn f() { x.ort::<u8>(); report::ort::y(); writeln!(out); self.println(); let sort = 1; }");
}
