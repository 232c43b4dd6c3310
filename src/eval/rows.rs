//! What each row's probabilities say of its label.

use ndarray::{ArrayView1, ArrayView2};

/// The likeliest class of each row, the first among equals.
pub fn argmax(probabilities: ArrayView2<f32>) -> Vec<usize> {
    let first = |row: ArrayView1<f32>| {
        row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, &p)| if p > best.1 { (i, p) } else { best }).0
    };
    probabilities.rows().into_iter().map(first).collect()
}

/// Each row's `−ln p(label)` in nats, with `p` clipped to `[ε, 1 − ε]`, ε = 2⁻²³, as scikit-learn clips f32
/// probabilities: a certain error costs 15.9, not infinity.
pub(super) fn log_losses(labels: &[usize], probabilities: ArrayView2<f32>) -> Vec<f64> {
    let epsilon = f64::from(f32::EPSILON);
    let loss = |(row, &label): (ArrayView1<f32>, &usize)| -f64::from(row[label]).clamp(epsilon, 1.0 - epsilon).ln();
    probabilities.rows().into_iter().zip(labels).map(loss).collect()
}

/// How many classes stand before the label, 0 being the best; among equal probabilities the lower index stands first, as
/// in [`argmax`]. Top-k accuracy is the share of rows with a rank below k.
pub(super) fn ranks(labels: &[usize], probabilities: ArrayView2<f32>) -> Vec<usize> {
    let rank = |(row, &label): (ArrayView1<f32>, &usize)| {
        let own = row[label];
        row.iter().enumerate().filter(|&(i, &p)| p > own || (p == own && i < label)).count()
    };
    probabilities.rows().into_iter().zip(labels).map(rank).collect()
}

/// Each row's `Σ (pₖ − [k = label])²`, halved for two classes, as scikit-learn's `brier_score_loss` has it: 0..=1 for
/// two classes, 0..=2 for more.
pub(super) fn brier_scores(labels: &[usize], probabilities: ArrayView2<f32>) -> Vec<f64> {
    let scale = if probabilities.ncols() == 2 { 0.5 } else { 1.0 };
    let score = |(row, &label): (ArrayView1<f32>, &usize)| {
        let squares =
            row.iter().enumerate().map(|(class, &p)| (f64::from(p) - f64::from(u8::from(class == label))).powi(2));
        scale * squares.sum::<f64>()
    };
    probabilities.rows().into_iter().zip(labels).map(score).collect()
}

/// The mean of `values` when row i counts `times[i]` times.
pub(super) fn weighted_mean(values: &[f64], times: &[u32]) -> f64 {
    let (sum, count) = values
        .iter()
        .zip(times)
        .fold((0.0, 0_u64), |(sum, count), (value, &t)| (sum + value * f64::from(t), count + u64::from(t)));
    sum / count as f64
}
