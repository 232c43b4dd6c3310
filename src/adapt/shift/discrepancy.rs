//! The maximum mean discrepancy.

use ndarray::{Array1, Array2, Axis, s};
use serde::Serialize;

use super::super::domains::{Domains, drawn, together};
use super::super::kernel::{Centred, Gaussian, origin};
use super::ShiftOptions;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// How far apart the means of the domains are in a kernel's space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Discrepancy {
    /// The unbiased estimate of the squared distance; below 0 where the domains are nearer than by chance.
    pub squared: f64,
    /// γ of the Gaussian kernel, of the median distance.
    pub gamma: f64,
    /// The share of permutations of the rows with as great a value, the domains themselves being one.
    pub p_value: f64,
    /// Rows of both domains.
    pub n: usize,
}

/// The unbiased squared maximum mean discrepancy with a Gaussian kernel of the median distance, and its permutation test (Gretton et al.,
/// JMLR 13, 2012, lemma 6).
///
/// # Errors
/// [`Error::Data`] when a domain has one row only; [`Error::Interrupted`].
pub fn mean_discrepancy(domains: &Domains, options: ShiftOptions, progress: &dyn Progress) -> Result<Discrepancy> {
    domains.two_rows("the mean discrepancy")?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let most = options.rows.max(2);
    let source = domains.source.select(Axis(0), &drawn(0..domains.source.nrows(), most, &mut rng));
    let target = domains.target.select(Axis(0), &drawn(0..domains.target.nrows(), most, &mut rng));
    let kernel = Gaussian::median(source.view(), target.view(), options.seed);
    let (x, _) = together(source.view(), target.view())?;
    let centred = Centred::new(x.view(), &origin(x.view(), x.slice(s![..0, ..])));
    let mut values = kernel.matrix(&centred, &centred, progress)?;
    // Of a row with itself nothing is to be learnt.
    values.diag_mut().fill(0.0);
    let (n, m) = (source.nrows(), target.nrows());
    let mut ours: Vec<bool> = (0..n + m).map(|row| row < n).collect();
    let squared = unbiased(&values, &ours);
    let mut as_great = 1;
    for _ in 0..options.permutations {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        rng.shuffle(&mut ours);
        as_great += usize::from(unbiased(&values, &ours) >= squared);
    }
    let p_value = as_great as f64 / (options.permutations + 1) as f64;
    Ok(Discrepancy { squared, gamma: kernel.gamma, p_value, n: n + m })
}

/// From kernel values with zeros in the diagonal, and which rows are of the first domain.
fn unbiased(values: &Array2<f64>, first: &[bool]) -> f64 {
    let ones: Array1<f64> = first.iter().map(|&is| f64::from(u8::from(is))).collect();
    let to_first = values.dot(&ones);
    let to_all = values.sum_axis(Axis(1));
    let (n, total) = (ones.sum(), values.sum());
    let m = first.len() as f64 - n;
    let within = ones.dot(&to_first);
    let between = ones.dot(&to_all) - within;
    let others = total - within - 2.0 * between;
    within / (n * (n - 1.0)) + others / (m * (m - 1.0)) - 2.0 * between / (n * m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_estimate_is_the_double_sum() {
        let mut rng = fastrand::Rng::with_seed(1);
        let source = Array2::from_shape_simple_fn((9, 3), || rng.f32());
        let target = Array2::from_shape_simple_fn((7, 3), || rng.f32() + 0.4);
        let labels = [0, 1, 0, 1, 0, 1, 0, 1, 0];
        let domains = Domains::new(source.view(), &labels, target.view()).unwrap();
        let got = mean_discrepancy(&domains, ShiftOptions::default(), &()).unwrap();
        let k = |a: ndarray::ArrayView1<f32>, b: ndarray::ArrayView1<f32>| {
            let square: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
            (-got.gamma * square).exp()
        };
        let sum = |a: &Array2<f32>, b: &Array2<f32>, same: bool| {
            let pairs = (0..a.nrows()).flat_map(|i| (0..b.nrows()).map(move |j| (i, j)));
            pairs.filter(|(i, j)| !same || i != j).map(|(i, j)| k(a.row(i), b.row(j))).sum::<f64>()
        };
        let want = sum(&source, &source, true) / 72.0 + sum(&target, &target, true) / 42.0
            - 2.0 * sum(&source, &target, false) / 63.0;
        assert_close([got.squared], [want], Tolerance::Within(1e-10));
        assert!(got.p_value < 0.05 && got.n == 16, "{got:?}");
    }
}
