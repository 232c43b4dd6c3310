//! How features are scaled before a head is fitted.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use serde::{Deserialize, Serialize};

use super::linear::Input;
use super::real::Real;
use super::stretches::in_stretches;

/// How features are scaled before a head is fitted. The fitted head contains the scaling: it takes raw embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// Each column to mean 0 and standard deviation 1 over the training rows (the default). The penalty then weighs
    /// every column alike and one `alpha` means the same for every backbone, whether its embeddings are unit vectors
    /// of 384 numbers near 0.05 or 1280 activations between 0 and 6. Constant columns are only centred.
    #[default]
    Standardize,
    /// Each row to Euclidean length 1, for embeddings compared by cosine. Entries are then near `1/√d`, so a good
    /// `alpha` is some `d` times smaller than with [`Scaling::Standardize`].
    L2,
    /// As they are.
    None,
}

/// Rows shorter than this are divided by it instead of by their length: a zero row stays zero.
pub(crate) const MIN_LENGTH: f32 = 1e-12;

/// A [`Scaling`] with what it learned from the training rows: `(rows(x) − mean) · inverse`.
///
/// Columns are centred whatever the scaling. Where that is not asked for it only moves a constant between the weights
/// and the intercept, which is not penalised: the same optimum, reached in a fraction of the iterations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaler {
    pub(crate) input: Input,
    /// Per column, as is `inverse`. Both hold f32 values, so that f32 and f64 work on the same features.
    pub(crate) mean: Array1<f64>,
    pub(crate) inverse: Array1<f64>,
}

impl Scaler {
    pub(crate) fn fit(scaling: Scaling, x: ArrayView2<f32>) -> Self {
        Self::fit_on(1, scaling, x)
    }

    /// The same, bit for bit, on this many threads.
    pub(crate) fn fit_on(threads: usize, scaling: Scaling, x: ArrayView2<f32>) -> Self {
        let input = if scaling == Scaling::L2 { Input::UnitLength } else { Input::Raw };
        let (mean, deviation) = column_moments(threads, x, input);
        let inverse = match scaling {
            Scaling::Standardize => deviation.mapv(inverse_scale),
            Scaling::L2 | Scaling::None => Array1::ones(x.ncols()),
        };
        Self { input, mean: mean.mapv(|m| f64::from(m as f32)), inverse }
    }

    /// Writes the scaled rows of `x` (n×d) into `out` (n×d).
    #[inline(always)]
    pub(crate) fn apply<F: Real>(&self, x: ArrayView2<f32>, mut out: ArrayViewMut2<F>) {
        let typed = |values: &Array1<f64>| values.iter().map(|&v| F::of(v)).collect::<Vec<F>>();
        let (mean, inverse) = (typed(&self.mean), typed(&self.inverse));
        for (row, mut to) in x.rows().into_iter().zip(out.rows_mut()) {
            let factor = F::of(row_factor(row, self.input));
            let scale = |x: f32, mean: F, inverse: F| (F::of_f32(x) * factor - mean) * inverse;
            match (row.as_slice(), to.as_slice_mut()) {
                // Slices become vector instructions.
                (Some(row), Some(to)) => {
                    for (((to, &x), &mean), &inverse) in to.iter_mut().zip(row).zip(&mean).zip(&inverse) {
                        *to = scale(x, mean, inverse);
                    }
                }
                _ => {
                    for (((to, &x), &mean), &inverse) in to.iter_mut().zip(row).zip(&mean).zip(&inverse) {
                        *to = scale(x, mean, inverse);
                    }
                }
            }
        }
    }

    /// The greatest Euclidean length of a scaled row, and the mean square of each scaled column.
    pub(crate) fn sizes(&self, threads: usize, x: ArrayView2<f32>) -> (f64, Array1<f64>) {
        let sums = in_stretches(x.nrows(), threads, |rows| {
            let (mut longest, mut squares) = (0.0_f64, Array1::<f64>::zeros(x.ncols()));
            for rows in x.slice(s![rows, ..]).axis_chunks_iter(Axis(0), 64) {
                for row in self.scaled(rows).mapv_into(|v| v * v).rows() {
                    longest = longest.max(row.sum());
                    squares += &row;
                }
            }
            (longest, squares)
        });
        let none = (0.0, Array1::zeros(x.ncols()));
        let (longest, squares) = sums.into_iter().fold(none, |all, some| (f64::max(all.0, some.0), all.1 + some.1));
        (longest.sqrt(), squares / x.nrows() as f64)
    }

    /// Scaled `x`, n×d, in f64.
    pub(crate) fn scaled(&self, x: ArrayView2<f32>) -> Array2<f64> {
        let mut out = Array2::zeros(x.dim());
        self.apply(x, out.view_mut());
        out
    }
}

/// What a row is multiplied by before its columns are scaled.
fn row_factor(row: ArrayView1<f32>, input: Input) -> f64 {
    match input {
        Input::Raw => 1.0,
        Input::UnitLength => {
            let squares: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            1.0 / squares.sqrt().max(f64::from(MIN_LENGTH))
        }
    }
}

/// Sums over the rows of what `term` makes of a value and of its column's entry in `beside`.
fn column_sums(
    threads: usize,
    x: ArrayView2<f32>,
    input: Input,
    beside: &Array1<f64>,
    term: impl Fn(f64, f64) -> f64 + Sync,
) -> Array1<f64> {
    let sums = in_stretches(x.nrows(), threads, |rows| {
        let mut sums = Array1::<f64>::zeros(x.ncols());
        for row in x.slice(s![rows, ..]).rows() {
            let factor = row_factor(row, input);
            let all = ndarray::Zip::from(&mut sums).and(row).and(beside);
            all.for_each(|sum, &v, &beside| *sum += term(f64::from(v) * factor, beside));
        }
        sums
    });
    sums.into_iter().fold(Array1::zeros(x.ncols()), |all, some| all + some)
}

/// Mean and standard deviation (divisor n) of each column, summed in f64 in two passes; 0 for a constant column.
fn column_moments(threads: usize, x: ArrayView2<f32>, input: Input) -> (Array1<f64>, Array1<f64>) {
    let n = x.nrows() as f64;
    let zero = Array1::zeros(x.ncols());
    let mean = column_sums(threads, x, input, &zero, |v, _| v) / n;
    let variance = column_sums(threads, x, input, &mean, |v, mean| (v - mean) * (v - mean)) / n;
    let deviation = ndarray::Zip::from(&variance).and(&mean).map_collect(|&variance, &mean| {
        // Rounding alone gives a constant column this much variance (as in scikit-learn's StandardScaler).
        let rounding = n * f64::EPSILON * variance + (n * f64::EPSILON * mean).powi(2);
        if variance > rounding { variance.sqrt() } else { 0.0 }
    });
    (mean, deviation)
}

/// 1 for a constant column, and for one so narrow or so wide that f32 cannot hold the inverse.
fn inverse_scale(deviation: f64) -> f64 {
    let inverse = (1.0 / deviation) as f32;
    if inverse.is_normal() { f64::from(inverse) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn columns_get_mean_zero_and_deviation_one() {
        let x = array![[1e-6_f32, 3e6, 0.1], [2e-6, 1e6, 0.1], [6e-6, 5e6, 0.1]];
        let scaled = Scaler::fit(Scaling::Standardize, x.view()).scaled(x.view());
        for column in 0..2 {
            assert_close([scaled.column(column).sum()], [0.0], Tolerance::Within(1e-5));
            assert_close([scaled.column(column).std(0.0)], [1.0], Tolerance::Within(1e-6));
        }
        assert_close(scaled.column(2).to_vec(), [0.0; 3], Tolerance::Exact);
    }

    #[test]
    fn rows_get_length_one_and_zero_rows_stay() {
        let x = array![[3.0_f32, 4.0], [0.0, 0.0]];
        let scaler = Scaler::fit(Scaling::L2, x.view());
        assert_close(scaler.mean.to_vec(), [0.3, 0.4], Tolerance::Approximate);
        let rows = scaler.scaled(x.view()) + &scaler.mean;
        assert_close(rows.iter().copied(), [0.6, 0.8, 0.0, 0.0], Tolerance::Approximate);
    }
}
