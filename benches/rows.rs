//! What engraft itself costs: a million rows through a backbone that does next to nothing, and one image from a cold start.
//!
//!     cargo bench --bench rows [-- ROWS]
//!
//! Runs the release binary as a user does and watches the peak of its resident memory (Linux).

mod support;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, registry};
use engraft::onnx::build::{Dim, attr_int};
use engraft::onnx::{DataType, GraphBuilder, write_model};
use support::median;

/// Words of the tiny tokenizer, and rows of the table of its backbone.
const WORDS: i64 = 1000;
const WIDTH: i64 = 8;

/// A table of word vectors as a backbone: `y[b, t] = table[input_ids[b, t]]`.
fn backbone(path: &Path) {
    let mut graph = GraphBuilder::new("words");
    let dims = [Dim::Named("batch"), Dim::Named("tokens")];
    graph.input("input_ids", DataType::Int64, &dims);
    graph.input("attention_mask", DataType::Int64, &dims);
    let values: Vec<f32> = (0..WORDS * WIDTH).map(|i| (i % 97) as f32 / 97.0 + 0.01).collect();
    let table = graph.tensor_f32("table", &[WORDS, WIDTH], &values);
    graph.node("Gather", &[&table, "input_ids"], "y", vec![attr_int("axis", 0)]);
    graph.output("y", DataType::Float, &[dims[0], dims[1], Dim::Fixed(WIDTH)]);
    write_model(&graph.finish(), path).expect("written");
}

/// Words between spaces, `w0` to `w999`.
fn tokenizer(path: &Path) {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        (0..WORDS).map(|i| (format!("w{i}"), i.into())).collect();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": { "strategy": "BatchLongest", "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "w0" },
        "added_tokens": [], "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null,
        "decoder": null, "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "w0" },
    });
    std::fs::write(path, json.to_string()).expect("written");
}

fn table(path: &Path, rows: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    writeln!(file, "text,label").expect("written");
    for row in 0..rows {
        let word = |k: usize| (row * 7 + k * 131) % WORDS as usize;
        writeln!(file, "w{} w{} w{} w{},{}", word(0), word(1), word(2), word(3), row % 3).expect("written");
    }
}

fn rows(home: &Path, most: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    backbone(&at("words.onnx"));
    tokenizer(&at("tokenizer.json"));
    println!("| rows | seconds | µs a row | peak memory | again, finished |\n| --- | --- | --- | --- | --- |");
    for rows in [most / 10, most] {
        table(&at("table.csv"), rows);
        let embed = || {
            let mut command = support::fetched::process(home);
            command.arg("embed").arg(at("table.csv")).arg("--model").arg(at("words.onnx"));
            command.args(["--modality", "text", "--pooling", "mean", "--normalize", "false", "--max-length", "64"]);
            command.arg("--tokenizer").arg(at("tokenizer.json")).arg("-o").arg(at("out/"));
            command
        };
        let (mut seconds, mut peaks, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let _ = std::fs::remove_dir_all(at("out"));
            let (wall, peak) = support::watched(&mut embed());
            seconds.push(wall);
            peaks.push(peak);
            again.push(support::watched(&mut embed()).0);
        }
        let (wall, peak, again) = (median(&seconds), median(&peaks), median(&again));
        println!("| {rows} | {wall:.2} | {:.2} | {peak:.0} MiB | {again:.2} s |", wall * 1e6 / rows as f64);
    }
}

fn cold(home: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("photo.jpg");
    std::fs::write(&photo, support::jpeg()).expect("written");
    let fetched = support::fetched::home();
    let runtime = Runtime::load(None, &fetched).expect("ONNX Runtime");
    let manifest = registry::find("efficientnet-lite0").expect("a known model");
    let backbone = registry::pull(&manifest, &fetched, &()).expect("the model");
    let (mut whole, mut session) = (Vec::new(), Vec::new());
    for _ in 0..11 {
        let mut command = support::fetched::process(home);
        command.arg("embed").arg(&photo).args(["--model", "efficientnet-lite0", "-o", "-"]);
        whole.push(support::watched(&mut command).0 * 1e3);
        let started = Instant::now();
        let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
        Session::open(runtime, &backbone.model, &backbone.output.tensor, &options).expect("a session");
        session.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let (whole, session) = (median(&whole), median(&session));
    println!(
        "\none image, cold: {whole:.0} ms; opening the session alone: {session:.0} ms; above it: {:.0} ms",
        whole - session
    );
}

fn main() {
    let most = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let home = support::fetched::home();
    rows(home.path(), most);
    cold(home.path());
}
