//! Means and covariances of many rows.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::shrinkage::Shrinkage;
use crate::error::Result;
use crate::eval::ledoit_wolf;
use crate::product::add_gram;
use crate::progress::{Progress, Workers};

/// Rows that are in f64 at a time.
const BLOCK: usize = 512;
/// Sums are taken over so many stretches of rows, so that they do not depend on the number of threads.
const STRETCHES: usize = 4;

/// Means and deviations of the columns of n×d features, and the covariance of the standardised columns, all divided by n.
#[derive(Debug, Clone)]
pub(in crate::adapt) struct Moments {
    rows: usize,
    pub(in crate::adapt) mean: Array1<f64>,
    /// 1 where a column is constant.
    pub(in crate::adapt) deviation: Array1<f64>,
    correlation: Array2<f64>,
    /// The sum of the fourth powers of the standardised rows' lengths.
    fourth: f64,
}

/// A column that varies less than this share of the one that varies most is taken for constant: its variance would be rounding beside
/// the others.
const LEAST_DEVIATION: f64 = 1e-5;

/// Means and deviations of the columns, divided by n; the deviation of a constant column is 0.
pub(super) fn columns(x: ArrayView2<f32>, progress: &dyn Progress) -> Result<(Array1<f64>, Array1<f64>)> {
    let (n, d) = x.dim();
    // Against the first row: a mean far from zero would drown the variance.
    let origin = x.row(0).mapv(f64::from);
    let parts = stretches(n, progress, |rows| {
        let (mut sum, mut squares) = (Array1::<f64>::zeros(d), Array1::<f64>::zeros(d));
        for row in x.slice(s![rows, ..]).rows() {
            for (((sum, square), &v), &o) in sum.iter_mut().zip(squares.iter_mut()).zip(row).zip(&origin) {
                let v = f64::from(v) - o;
                *sum += v;
                *square += v * v;
            }
        }
        (sum, squares)
    })?;
    let (mut sum, mut squares) = (Array1::<f64>::zeros(d), Array1::<f64>::zeros(d));
    for part in parts {
        sum += &part.0;
        squares += &part.1;
    }
    let sum = sum / n as f64;
    let variance = squares / n as f64 - &sum * &sum;
    // What is left of a constant column is rounding.
    let deviation = ndarray::Zip::from(&variance).and(&sum).map_collect(|&v, &m| {
        let noise = 1e-14 * (m * m + v.abs());
        if v > noise { v.sqrt() } else { 0.0 }
    });
    let least = LEAST_DEVIATION * deviation.iter().copied().fold(0.0, f64::max);
    Ok((sum + origin, deviation.mapv_into(|deviation| if deviation < least { 0.0 } else { deviation })))
}

fn stretches<T: Send>(
    n: usize,
    progress: &dyn Progress,
    sum: impl Fn(std::ops::Range<usize>) -> T + Sync,
) -> Result<Vec<T>> {
    let workers = Workers { progress: &(), ..Workers::all() };
    let stretch = |i: usize| i * n / STRETCHES..(i + 1) * n / STRETCHES;
    if progress.interrupted() {
        return Err(crate::Error::Interrupted);
    }
    workers.by_blocks(STRETCHES, 1, |i| sum(stretch(i.start)))
}

impl Moments {
    pub(in crate::adapt) fn new(x: ArrayView2<f32>, progress: &dyn Progress) -> Result<Self> {
        let (n, d) = x.dim();
        let (mean, mut deviation) = columns(x, progress)?;
        deviation.mapv_inplace(|v| if v > 0.0 { v } else { 1.0 });
        let parts = stretches(n, progress, |rows| {
            let (mut gram, mut fourth) = (Array2::<f64>::zeros((d, d)), 0.0);
            for block in x.slice(s![rows, ..]).axis_chunks_iter(Axis(0), BLOCK) {
                let mut z = block.mapv(f64::from);
                for mut row in z.rows_mut() {
                    row -= &mean;
                    row /= &deviation;
                    fourth += row.dot(&row).powi(2);
                }
                add_gram(z.view(), &mut gram);
            }
            (gram, fourth)
        })?;
        let (mut correlation, mut fourth) = (Array2::<f64>::zeros((d, d)), 0.0);
        for part in parts {
            correlation += &part.0;
            fourth += part.1;
        }
        correlation /= n as f64;
        for i in 0..d {
            for j in 0..i {
                correlation[[j, i]] = correlation[[i, j]];
            }
        }
        Ok(Self { rows: n, mean, deviation, correlation, fourth })
    }

    /// The d×d covariance, divided by n, shrunk as asked.
    pub(in crate::adapt) fn covariance(&self, shrinkage: Shrinkage) -> Array2<f64> {
        let share = |covariance: Array2<f64>, share: f64| {
            let mut shrunk = covariance;
            let scale = shrunk.diag().mean().unwrap_or(0.0);
            shrunk *= 1.0 - share;
            shrunk.diag_mut().mapv_inplace(|v| v + share * scale);
            shrunk
        };
        match shrinkage {
            Shrinkage::None => self.scaled(self.correlation.clone()),
            Shrinkage::LedoitWolf => {
                let best = ledoit_wolf(self.fourth, self.rows, &self.correlation);
                self.scaled(share(self.correlation.clone(), best))
            }
            Shrinkage::Share(given) => share(self.scaled(self.correlation.clone()), given),
            Shrinkage::Ridge(ridge) => {
                let mut covariance = self.scaled(self.correlation.clone());
                covariance.diag_mut().mapv_inplace(|v| v + ridge);
                covariance
            }
        }
    }

    fn scaled(&self, mut correlation: Array2<f64>) -> Array2<f64> {
        correlation *= &self.deviation.view().insert_axis(Axis(0));
        correlation *= &self.deviation.view().insert_axis(Axis(1));
        correlation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn moments_far_from_zero_keep_their_digits() {
        let mut rng = fastrand::Rng::with_seed(5);
        let x = Array2::from_shape_fn((3000, 4), |(_, j)| if j == 3 { 7.7 } else { 1000.0 * j as f32 + rng.f32() });
        let moments = Moments::new(x.view(), &()).unwrap();
        let x = x.mapv(f64::from);
        let mean = x.mean_axis(Axis(0)).unwrap();
        let centred = &x - &mean;
        let covariance = centred.t().dot(&centred) / 3000.0;
        assert_close(moments.mean.iter().copied(), mean, Tolerance::Close);
        assert_close(moments.covariance(Shrinkage::None), covariance.iter().copied(), Tolerance::Within(1e-11));
        assert_eq!(moments.deviation[3], 1.0);
        let ridge = moments.covariance(Shrinkage::Ridge(0.5));
        assert_close(ridge, covariance + 0.5 * Array2::<f64>::eye(4), Tolerance::Within(1e-11));
    }
}
