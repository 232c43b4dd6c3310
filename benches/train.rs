//! What a probe costs beside its data: the peak of memory over the features, and a sweep of 45 penalties over a fit.
//!
//!     cargo bench --bench train [-- ROWS]
//!
//! Runs the release binary as a user does and watches the peak of its resident memory (Linux).

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use engraft::features::{Existing, FeatureSet};
use engraft::head::{Logistic, Samples};
use ndarray::{Array2, s};

const COLUMNS: usize = 768;
const CLASSES: usize = 100;

/// Classes that overlap: unit noise around centres that are about five apart.
fn mixture(rows: usize) -> FeatureSet {
    let mut rng = fastrand::Rng::with_seed(1);
    // A sum of four uniform numbers is near enough to a Gaussian.
    let mut normal = move || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>() * 3.0_f32.sqrt();
    let centres = Array2::from_shape_simple_fn((CLASSES, COLUMNS), || 0.13 * normal());
    let mut matrix = Array2::from_shape_simple_fn((rows, COLUMNS), &mut normal);
    for (row, mut values) in matrix.rows_mut().into_iter().enumerate() {
        values += &centres.row(row % CLASSES);
    }
    FeatureSet {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        labels: (0..rows).map(|row| Some((row % CLASSES).to_string())).collect(),
        contents: vec![None; rows],
        kept: Default::default(),
        matrix,
        provenance: None,
    }
}

fn train(features: &Path, head: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    command.arg("train").arg(features).args(["--tolerance", "1e-3", "--overwrite", "-o"]).arg(head);
    command
}

fn memory(features: &FeatureSet) {
    let folder = tempfile::tempdir().expect("a folder");
    let size = (features.matrix.len() * 4) as f64 / f64::from(1 << 20);
    println!("| {} rows of {COLUMNS}, {size:.0} MiB | peak memory | over the features |", features.len());
    println!("| --- | --- | --- |");
    let half = features.len() / 2;
    let halves = [("shards/a.parquet", 0..half), ("shards/b.parquet", half..features.len())];
    for (name, rows) in halves {
        let rows: Vec<usize> = rows.collect();
        features.select(&rows).write(&folder.path().join(name), Existing::Refuse).expect("written");
    }
    for name in ["features.npy", "features.parquet", "shards"] {
        let path = folder.path().join(name);
        if !path.exists() {
            features.write(&path, Existing::Refuse).expect("written");
        }
        let (_, peak) = support::watched(&mut train(&path, &folder.path().join("head.onnx")));
        println!("| {name} | {peak:.0} MiB | {:.2} |", peak / size);
    }
}

fn sweep(features: &FeatureSet) {
    let labels: Vec<usize> = (0..features.len()).map(|row| row % CLASSES).collect();
    let x = features.matrix.slice(s![..features.len().min(50_000), ..]);
    let samples = Samples::new(x, &labels[..x.nrows()]);
    let alphas: Vec<f64> = (0..45).map(|i| 10_f64.powf(-6.0 + 11.0 * f64::from(i) / 44.0)).collect();
    let started = Instant::now();
    let swept = Logistic::new().sweep(samples, &alphas, &()).expect("a sweep");
    let sweep = started.elapsed().as_secs_f64();
    let iterations: usize = swept.iter().map(|swept| swept.iterations).sum();
    let started = Instant::now();
    let fitted = Logistic::new().alpha(100.0).fit_samples(samples, &()).expect("a fit");
    let fit = started.elapsed().as_secs_f64();
    println!(
        "\n45 penalties swept: {sweep:.2} s, {iterations} iterations; one fit with alpha 100: {fit:.2} s, {} iterations; \
         {:.1} times",
        fitted.certificate.iterations,
        sweep / fit
    );
}

fn main() {
    let rows = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(100_000);
    let features = mixture(rows);
    memory(&features);
    sweep(&features);
}
