//! Distance to the nearest class mean.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::super::folds::rows_of_classes;
use super::super::ledoit_wolf::ledoit_wolf;
use crate::eigen::eigen;
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mahalanobis {
    /// d×d: features times this have the identity as covariance.
    whiten: Array2<f64>,
    /// One row a class that has rows, whitened.
    means: Array2<f64>,
}

impl Mahalanobis {
    pub(super) fn fit(features: ArrayView2<f32>, labels: &[usize]) -> Result<Self> {
        let (n, d) = features.dim();
        let classes = rows_of_classes(labels);
        let (mut centered, mut means) = (features.mapv(f64::from), Array2::zeros((classes.len(), d)));
        for (rows, mut mean) in classes.values().zip(means.rows_mut()) {
            rows.iter().for_each(|&row| mean += &centered.row(row));
            mean /= rows.len() as f64;
            for &row in rows {
                let mut row = centered.row_mut(row);
                row -= &mean;
            }
        }
        let covariance = centered.t().dot(&centered) / n as f64;
        let scale = covariance.diag().sum() / d as f64;
        if scale <= 0.0 {
            return Err(Error::Data("the rows of each class are all alike: they have no covariance".to_string()));
        }
        let lengths = centered.mapv(|x| x * x).sum_axis(Axis(1));
        let shrinkage = ledoit_wolf(lengths.dot(&lengths), n, &covariance);
        let (values, vectors) = eigen(&covariance)?;
        let shrunk = values.mapv(|value| (1.0 - shrinkage) * value.max(0.0) + shrinkage * scale);
        // With no shrinkage a direction without variance would be infinitely strange.
        let floor = scale * 1e-12;
        let whiten = vectors / shrunk.mapv(|value| value.max(floor).sqrt());
        let means = means.dot(&whiten);
        Ok(Self { whiten, means })
    }

    pub(super) fn whiten(&self) -> ArrayView2<'_, f64> {
        self.whiten.view()
    }

    pub(super) fn means(&self) -> ArrayView2<'_, f64> {
        self.means.view()
    }

    pub(super) fn scores(&self, features: ArrayView2<f32>) -> Vec<f64> {
        let rows = features.mapv(f64::from).dot(&self.whiten);
        let nearest = |row| {
            let distances = (&self.means - &row).mapv(|x: f64| x * x).sum_axis(Axis(1));
            distances.into_iter().fold(f64::INFINITY, f64::min)
        };
        rows.rows().into_iter().map(nearest).collect()
    }
}
