//! How well a map keeps neighbourhoods, against scikit-learn's TSNE: `tests/golden/report/make_tsne.py`.

use ndarray::{Array2, ArrayView2, Axis};
use serde::Deserialize;

use super::*;
use crate::close::{Tolerance, assert_close};

#[derive(Deserialize)]
struct Golden {
    embedding: Vec<[f64; 2]>,
    kl: f64,
    trustworthiness: f64,
}

fn squared_distances(x: ArrayView2<f64>) -> Array2<f64> {
    let distance = |(i, j): (usize, usize)| x.row(i).iter().zip(x.row(j)).map(|(a, b)| (a - b) * (a - b)).sum();
    Array2::from_shape_fn((x.nrows(), x.nrows()), distance)
}

/// The joint probabilities of van der Maaten & Hinton (J. Mach. Learn. Res. 9, 2008): Gaussians of this perplexity around each row.
fn joint(x: ArrayView2<f64>, perplexity: f64) -> Array2<f64> {
    let n = x.nrows();
    let mut p = squared_distances(x);
    for (i, mut row) in p.outer_iter_mut().enumerate() {
        row[i] = f64::INFINITY;
        let nearest = row.iter().copied().fold(f64::INFINITY, f64::min);
        let (mut low, mut high) = (0.0, 1e3 / nearest);
        for _ in 0..200 {
            let beta = 0.5 * (low + high);
            let likely = row.mapv(|d| (-beta * (d - nearest)).exp());
            let shares = &likely / likely.sum();
            let entropy: f64 = shares.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
            if entropy > perplexity.ln() { low = beta } else { high = beta }
        }
        row.mapv_inplace(|d| (-low * (d - nearest)).exp());
        let sum = row.sum();
        row /= sum;
    }
    (&p + &p.t()) / (2.0 * n as f64)
}

/// Σ p·ln(p/q), q of the map's Student distribution.
fn divergence(p: &Array2<f64>, at: ArrayView2<f64>) -> f64 {
    let mut q = squared_distances(at).mapv(|d| 1.0 / (1.0 + d));
    q.diag_mut().fill(0.0);
    let sum = q.sum();
    p.indexed_iter().filter(|((i, j), p)| i != j && **p > 0.0).map(|(place, p)| p * (p / (q[place] / sum)).ln()).sum()
}

/// `1 − 2/(n·k·(2n − 3k − 1)) · Σ (rank − k)` over the k neighbours on the map that are not among the k nearest rows (Venna & Kaski,
/// ICANN 2001).
fn trustworthiness(x: ArrayView2<f64>, at: ArrayView2<f64>, k: usize) -> f64 {
    let others = |x: ArrayView2<f64>| -> Vec<Vec<usize>> {
        let of = |(i, row): (usize, ndarray::ArrayView1<f64>)| {
            let mut others: Vec<usize> = (0..row.len()).filter(|&j| j != i).collect();
            others.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
            others
        };
        squared_distances(x).axis_iter(Axis(0)).enumerate().map(of).collect()
    };
    let (n, nearest, on_map) = (x.nrows(), others(x), others(at));
    let penalty: usize = (0..n)
        .map(|i| {
            let rank = |j: &usize| 1 + nearest[i].iter().position(|other| other == j).unwrap();
            on_map[i][..k].iter().map(|j| rank(j).saturating_sub(k)).sum::<usize>()
        })
        .sum();
    1.0 - 2.0 / (n * k * (2 * n - 3 * k - 1)) as f64 * penalty as f64
}

#[test]
fn neighbourhoods_are_kept_as_well_as_by_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/report/tsne.json")).unwrap();
    let (digits, _) = crate::head::goldens::digits();
    let x = digits.select(Axis(0), &(0..1797).step_by(3).collect::<Vec<_>>());
    let (scores, _) = principal_components(x.mapv(f64::from)).unwrap();
    let p = joint(scores.view(), 30.0);
    let theirs = Array2::from(golden.embedding);
    // Both measures are scikit-learn's, whose probabilities are f32 and of a perplexity to within 1e-5.
    assert_close([divergence(&p, theirs.view())], [golden.kl], Tolerance::Within(1e-4));
    assert_close(
        [trustworthiness(scores.view(), theirs.view(), 12)],
        [golden.trustworthiness],
        Tolerance::Within(1e-9),
    );
    let ours = EmbeddingMap::new(x.view(), 0).unwrap().tsne.unwrap();
    let (kl, trusted) = (divergence(&p, ours.view()), trustworthiness(scores.view(), ours.view(), 12));
    assert!(kl <= 1.1 * golden.kl, "{kl}, and scikit-learn's {}", golden.kl);
    assert!(trusted >= golden.trustworthiness - 0.005, "{trusted}, and scikit-learn's {}", golden.trustworthiness);
}
