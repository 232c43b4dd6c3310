//! What an adaptation costs beside skada's and POT's, on the same rows.
//!
//!     cargo bench --bench adapt -- PYTHON [ROWS]
//!
//! PYTHON has benches/peers/requirements.txt and skada 0.6.0, POT 0.9.7. Both take turns, three rounds; medians of wall seconds, of fitting and
//! of moving or weighing the source rows, for ROWS (1,000) rows of each domain and 384 columns. The last line is CORAL of 20,000 and 20,000
//! rows and 768 columns, without a peer.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use engraft::adapt::{
    Dimension, Domains, Kliep, Lesson, Linear, MeanMatching, Method, SubspaceAlignment, TransferComponents,
};
use engraft::features::{Existing, FeatureSet};
use engraft::head::{Logistic, Samples};
use ndarray::{Array2, ArrayView2};
use support::median;

const CLASSES: usize = 5;
const ROUNDS: usize = 3;
const COMPARED: [&str; 8] = ["coral", "linear-ot", "subspace", "tca", "discriminator", "kliep", "kmm", "sinkhorn"];

/// Rows of classes with correlated columns; those of the target are turned, shifted and stretched a little.
fn domain(rows: usize, columns: usize, target: bool) -> Array2<f32> {
    let mut rng = fastrand::Rng::with_seed(u64::from(target));
    let mut normal = move || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>() * 3.0_f32.sqrt();
    let mut x = Array2::from_shape_simple_fn((rows, columns), &mut normal);
    for (row, mut values) in x.rows_mut().into_iter().enumerate() {
        let mut before = 0.0;
        for (column, value) in values.iter_mut().enumerate() {
            let class = if column % CLASSES == row % CLASSES { 1.5 } else { 0.0 };
            *value = 0.7 * *value + 0.5 * before + class;
            before = *value;
            if target {
                *value = 0.3 + *value * (1.0 + 0.2 * (column % 3) as f32);
            }
        }
    }
    x
}

fn write(matrix: ArrayView2<f32>, path: &Path) {
    let rows = matrix.nrows();
    let features = FeatureSet {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        labels: vec![None; rows],
        contents: vec![None; rows],
        kept: Default::default(),
        matrix: matrix.to_owned(),
        provenance: None,
    };
    features.write(path, Existing::Refuse).expect("written");
}

fn logistic(Lesson { x, labels, weights }: Lesson) -> engraft::Result<Linear> {
    let samples = Samples::new(x, labels);
    let samples = weights.map_or(samples, |weights| samples.weighted(weights));
    let head = Logistic::new().fit_samples(samples, &())?.head;
    Ok(Linear { weights: head.weights().to_owned(), intercepts: head.intercepts().to_owned() })
}

fn seconds(method: &Method, domains: &Domains) -> f64 {
    let started = Instant::now();
    let adapted = method.fit(domains, &logistic, &()).expect("adapted");
    std::hint::black_box(adapted.source(domains, &()).expect("source rows"));
    started.elapsed().as_secs_f64()
}

/// The method as the peer has it: so many dimensions and such a width of kernels where it does not choose.
fn method(name: &str, gamma: f64) -> Method {
    let dimension = Dimension::Given(50);
    match name {
        "subspace" => Method::SubspaceAlignment(SubspaceAlignment { dimension }),
        "tca" => Method::TransferComponents(TransferComponents { dimension, ..Default::default() }),
        "kliep" => Method::Kliep(Kliep { gamma: Some(gamma), ..Default::default() }),
        "kmm" => Method::MeanMatching(MeanMatching { gamma: Some(gamma), ..Default::default() }),
        _ => Method::named(name).expect("a method"),
    }
}

fn compared(python: &str, rows: usize) {
    let (source, target) = (domain(rows, 384, false), domain(rows, 384, true));
    let labels: Vec<usize> = (0..rows).map(|row| row % CLASSES).collect();
    let domains = Domains::new(source.view(), &labels, target.view()).expect("domains");
    // That of the median distance, which engraft's own would be.
    let matched = Method::named("kmm").expect("a method").fit(&domains, &logistic, &()).expect("adapted");
    let gamma = matched.figures.iter().find(|(name, _)| *name == "gamma").expect("a gamma").1;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write(source.view(), &path("source.npy"));
    write(target.view(), &path("target.npy"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/adapters.py");
    let peer = |name: &str| {
        let mut peer = Command::new(python);
        peer.arg(&script)
            .args(["source.npy", "target.npy"].map(path))
            .args([CLASSES.to_string(), gamma.to_string()])
            .arg(name);
        let output = peer.output().expect("Python");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        told[name].as_f64().ok_or_else(|| told[name].to_string())
    };
    println!("| {rows} + {rows} × 384 | engraft, s | peer, s | × |\n| --- | --- | --- | --- |");
    for name in COMPARED {
        let (mut ours, mut theirs, mut failed) = (Vec::new(), Vec::new(), None);
        for _ in 0..ROUNDS {
            ours.push(seconds(&method(name, gamma), &domains));
            match peer(name) {
                Ok(seconds) => theirs.push(seconds),
                Err(why) => failed = Some(why),
            }
        }
        let ours = median(&ours);
        match failed {
            None => {
                let theirs = median(&theirs);
                println!("| {name} | {ours:.3} | {theirs:.3} | {:.1} |", theirs / ours);
            }
            Some(why) => println!("| {name} | {ours:.3} | {why} | |"),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(python) = arguments.first() {
        compared(python, arguments.get(1).map_or(1000, |rows| rows.parse().expect("rows")));
    }
    let (source, target) = (domain(20_000, 768, false), domain(20_000, 768, true));
    let labels: Vec<usize> = (0..source.nrows()).map(|row| row % CLASSES).collect();
    let domains = Domains::new(source.view(), &labels, target.view()).expect("domains");
    let taken: Vec<f64> = (0..ROUNDS).map(|_| seconds(&Method::named("coral").expect("a method"), &domains)).collect();
    println!("\ncoral, 20,000 + 20,000 × 768: {:.2} s", median(&taken));
}
