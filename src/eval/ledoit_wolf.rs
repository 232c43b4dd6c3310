//! How much a covariance of few rows is to be shrunk.

use ndarray::Array2;

/// The share of the identity times the mean variance that makes a covariance nearest to the true one in expectation (Ledoit & Wolf,
/// J. Multivariate Analysis 88, 2004). `covariance` is d×d, of `n` centred rows and divided by n; `fourth` is the sum of the fourth
/// powers of the rows' lengths.
pub(crate) fn ledoit_wolf(fourth: f64, n: usize, covariance: &Array2<f64>) -> f64 {
    let (n, d) = (n as f64, covariance.nrows() as f64);
    let scale = covariance.diag().sum() / d;
    let squares = covariance.iter().map(|c| c * c).sum::<f64>();
    let noise = (fourth / n - squares) / (n * d);
    let spread = squares / d - scale * scale;
    if spread <= 0.0 { 1.0 } else { (noise / spread).clamp(0.0, 1.0) }
}
