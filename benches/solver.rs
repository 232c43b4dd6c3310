//! Time for a fit of the linear probe, up to its certificate.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engraft::head::Logistic;
use ndarray::Array2;

/// Classes that overlap: noise of one standard deviation around centres that are about four apart. The columns share
/// a component, as those of embeddings do.
fn mixture(rows: usize, columns: usize, classes: usize) -> (Array2<f32>, Vec<usize>) {
    let mut rng = fastrand::Rng::with_seed(1);
    // A sum of four uniform numbers is near enough to a Gaussian.
    let mut normal = move || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>() * 3.0_f32.sqrt();
    let spread = 4.0 / (2.0 * columns as f32).sqrt();
    let centres = Array2::from_shape_simple_fn((classes, columns), || spread * normal());
    let mut x = Array2::from_shape_simple_fn((rows, columns), &mut normal);
    let labels: Vec<usize> = (0..rows).map(|row| row % classes).collect();
    for (mut row, &label) in x.rows_mut().into_iter().zip(&labels) {
        let shared = normal();
        row += &centres.row(label);
        row += shared;
    }
    (x, labels)
}

fn logistic(c: &mut Criterion) {
    let mut group = c.benchmark_group("logistic");
    group.sample_size(10);
    for [rows, columns, classes] in [[2_000, 384, 10], [20_000, 384, 10]] {
        let (x, labels) = mixture(rows, columns, classes);
        group.bench_function(BenchmarkId::from_parameter(format!("{rows}x{columns}x{classes}")), |b| {
            b.iter(|| {
                let fitted = Logistic::new().alpha(10.0).fit_watched(x.view(), &labels, &()).expect("a fit");
                assert!(fitted.certificate.converged);
                fitted
            });
        });
    }
}

criterion_group!(benches, logistic);
criterion_main!(benches);
