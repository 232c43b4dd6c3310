//! How unlike the rows that a head was trained on a row is, as part of the head. Higher is stranger.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::linear::check_dimension;
use crate::error::{Error, Result};

/// An out-of-distribution score in single precision, as the head's graph computes it, with its threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// What is computed.
    pub score: Strangeness,
    /// Rows that score above this are out of distribution.
    pub threshold: f64,
}

/// What a [`Detector`] computes of n×d embeddings and their n×K logits.
#[derive(Debug, Clone, PartialEq)]
pub enum Strangeness {
    /// `−ln Σ exp(logit)`.
    Energy,
    /// `min |(x − center)·whiten − mean|²` over classes: the squared Mahalanobis distance to the nearest class mean.
    Mahalanobis {
        /// d.
        center: Array1<f32>,
        /// d×d.
        whiten: Array2<f32>,
        /// One row of d for each class: centred and whitened.
        means: Array2<f32>,
    },
}

/// The part of a detector that is metadata; the arrays are constants of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct DetectorRecord {
    pub(super) score: ScoreName,
    pub(super) threshold: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScoreName {
    Energy,
    Mahalanobis,
}

impl Detector {
    pub(super) fn record(&self) -> DetectorRecord {
        let score = match self.score {
            Strangeness::Energy => ScoreName::Energy,
            Strangeness::Mahalanobis { .. } => ScoreName::Mahalanobis,
        };
        DetectorRecord { score, threshold: self.threshold }
    }

    /// Refuses parameters that do not fit embeddings of length `dimension`.
    pub(super) fn check(&self, dimension: usize) -> Result<(), String> {
        if !self.threshold.is_finite() {
            return Err(format!("the out-of-distribution threshold is {}", self.threshold));
        }
        match &self.score {
            Strangeness::Energy => Ok(()),
            Strangeness::Mahalanobis { center, whiten, means } => {
                let fits = center.len() == dimension
                    && whiten.dim() == (dimension, dimension)
                    && means.ncols() == dimension
                    && means.nrows() > 0;
                let finite = center.iter().chain(whiten).chain(means).all(|v| v.is_finite());
                let refused = || format!("the out-of-distribution score is not of {dimension} finite values a row");
                (fits && finite).then_some(()).ok_or_else(refused)
            }
        }
    }

    /// The score of each row of n×d embeddings `x` with n×K `logits`.
    ///
    /// # Errors
    /// When the sizes disagree.
    pub fn scores(&self, x: ArrayView2<f32>, logits: ArrayView2<f32>) -> Result<Array1<f32>> {
        match &self.score {
            Strangeness::Energy => Ok(logits.map_axis(Axis(1), |row| {
                let largest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
                -largest - row.mapv(|z| (z - largest).exp()).sum().ln()
            })),
            Strangeness::Mahalanobis { center, whiten, means } => {
                check_dimension(x, center.len())?;
                self.check(x.ncols()).map_err(Error::Data)?;
                let rows = (&x - center).dot(whiten);
                let squares = |rows: &Array2<f32>| rows.map_axis(Axis(1), |row| row.dot(&row));
                let beyond = rows.dot(&means.t()) * -2.0 + squares(means);
                Ok(beyond.map_axis(Axis(1), |row| row.fold(f32::INFINITY, |a, &b| a.min(b))) + squares(&rows))
            }
        }
    }
}
