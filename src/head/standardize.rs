//! How features are scaled before a head is fitted.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use super::real::Real;

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

/// A [`Scaling`] with what it learned from the training rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scaler {
    /// `(x − mean) · inverse`, per column. Both are f32 values, so that f32 and f64 work on the same features.
    Columns { mean: Array1<f64>, inverse: Array1<f64> },
    /// `x / max(‖x‖, MIN_LENGTH)`, per row.
    UnitRows,
    /// `x`.
    Identity,
}

impl Scaler {
    pub(crate) fn fit(scaling: Scaling, x: ArrayView2<f32>) -> Self {
        match scaling {
            Scaling::Standardize => {
                let (mean, inverse) = column_scales(x);
                Scaler::Columns { mean, inverse }
            }
            Scaling::L2 => Scaler::UnitRows,
            Scaling::None => Scaler::Identity,
        }
    }

    /// Writes the scaled rows of `x` (n×d) into `out` (n×d).
    pub(crate) fn apply<F: Real>(&self, x: ArrayView2<f32>, mut out: ArrayViewMut2<F>) {
        match self {
            Scaler::Columns { mean, inverse } => {
                let mean = mean.mapv(F::of);
                let inverse = inverse.mapv(F::of);
                for (row, mut to) in x.rows().into_iter().zip(out.rows_mut()) {
                    ndarray::Zip::from(&mut to)
                        .and(row)
                        .and(&mean)
                        .and(&inverse)
                        .for_each(|to, &x, &mean, &inverse| *to = (F::of_f32(x) - mean) * inverse);
                }
            }
            Scaler::UnitRows => {
                for (row, mut to) in x.rows().into_iter().zip(out.rows_mut()) {
                    let squares: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
                    let inverse = F::of(1.0 / squares.sqrt().max(f64::from(MIN_LENGTH)));
                    to.zip_mut_with(&row, |to, &x| *to = F::of_f32(x) * inverse);
                }
            }
            Scaler::Identity => out.zip_mut_with(&x, |to, &x| *to = F::of_f32(x)),
        }
    }

    /// Scaled `x`, n×d, in f64.
    pub(crate) fn scaled(&self, x: ArrayView2<f32>) -> Array2<f64> {
        let mut out = Array2::zeros(x.dim());
        self.apply(x, out.view_mut());
        out
    }
}

/// Mean and inverse standard deviation (divisor n) of each column, summed in f64 in two passes.
fn column_scales(x: ArrayView2<f32>) -> (Array1<f64>, Array1<f64>) {
    let n = x.nrows() as f64;
    let mut mean = Array1::<f64>::zeros(x.ncols());
    for row in x.rows() {
        mean.zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
    }
    mean /= n;
    let mut variance = Array1::<f64>::zeros(x.ncols());
    for row in x.rows() {
        ndarray::Zip::from(&mut variance).and(row).and(&mean).for_each(|sum, &v, &mean| {
            let from_mean = f64::from(v) - mean;
            *sum += from_mean * from_mean;
        });
    }
    variance /= n;
    let inverse = ndarray::Zip::from(&variance).and(&mean).map_collect(|&variance, &mean| {
        // Rounding alone gives a constant column this much variance (as in scikit-learn's StandardScaler).
        let rounding = n * f64::EPSILON * variance + (n * f64::EPSILON * mean).powi(2);
        let inverse = (1.0 / variance.sqrt()) as f32;
        if variance > rounding && inverse.is_normal() { f64::from(inverse) } else { 1.0 }
    });
    (mean.mapv(|m| f64::from(m as f32)), inverse)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis, array};

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
        let mut scaled = Array2::<f32>::zeros((2, 2));
        Scaler::fit(Scaling::L2, x.view()).apply(x.view(), scaled.view_mut());
        assert_close(scaled.index_axis(Axis(0), 0).to_vec(), [0.6, 0.8], Tolerance::Approximate);
        assert_close(scaled.index_axis(Axis(0), 1).to_vec(), [0.0, 0.0], Tolerance::Exact);
    }
}
