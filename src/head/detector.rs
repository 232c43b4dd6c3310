//! How unlike the rows that a head was trained on a row is, as part of the head. Higher is stranger.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::fitted::Head;
use super::linear::Input;
use super::search::{Candidates, search};
use crate::error::{Error, Result};
use crate::progress::Workers;

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
    /// `alpha·|(input(x) − origin)·rest| − ln Σ exp(logit)`: virtual-logit matching (Wang et al., CVPR 2022), for linear
    /// heads.
    Vim {
        /// What the head does to embeddings before its product.
        input: Input,
        /// d: where the logits are nearest to 0.
        origin: Array1<f32>,
        /// d×(d − D): an orthonormal basis of what lies outside the principal subspace of dimension D.
        rest: Array2<f32>,
        /// Above 0.
        alpha: f32,
    },
    /// `1 − cos` to the k-th most similar row: half the squared distance to the k-th nearest at unit length (Sun et al., ICML
    /// 2022).
    Knn {
        /// k, from 1 to m.
        neighbours: usize,
        /// m×d, of length 1 (or 0).
        rows: Array2<f32>,
    },
}

/// The part of a detector that is metadata; the arrays are constants of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct DetectorRecord {
    #[serde(flatten)]
    pub(super) score: ScoreRecord,
    pub(super) threshold: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "score", rename_all = "snake_case")]
pub(super) enum ScoreRecord {
    Energy,
    Mahalanobis,
    /// Of the principal subspace.
    Vim {
        dimension: usize,
    },
    Knn {
        k: usize,
        rows: usize,
    },
}

impl Detector {
    pub(super) fn record(&self) -> DetectorRecord {
        let score = match &self.score {
            Strangeness::Energy => ScoreRecord::Energy,
            Strangeness::Mahalanobis { .. } => ScoreRecord::Mahalanobis,
            Strangeness::Vim { rest, .. } => ScoreRecord::Vim { dimension: rest.nrows().saturating_sub(rest.ncols()) },
            Strangeness::Knn { neighbours, rows } => ScoreRecord::Knn { k: *neighbours, rows: rows.nrows() },
        };
        DetectorRecord { score, threshold: self.threshold }
    }

    /// Refuses parameters that do not fit the head.
    pub(super) fn check(&self, head: &Head) -> Result<(), String> {
        if !self.threshold.is_finite() {
            return Err(format!("the out-of-distribution threshold is {}", self.threshold));
        }
        match (&self.score, head) {
            (Strangeness::Vim { input, .. }, Head::Linear(linear)) if linear.input() == *input => {}
            (Strangeness::Vim { .. }, _) => return Err("virtual-logit matching is of another head".into()),
            _ => {}
        }
        self.check_sizes(head.dimension())
    }

    /// Refuses parameters that do not fit embeddings of length `dimension`.
    fn check_sizes(&self, dimension: usize) -> Result<(), String> {
        let sound = match &self.score {
            Strangeness::Energy => true,
            Strangeness::Mahalanobis { center, whiten, means } => {
                center.len() == dimension
                    && whiten.dim() == (dimension, dimension)
                    && means.ncols() == dimension
                    && means.nrows() > 0
                    && center.iter().chain(whiten).chain(means).all(|v| v.is_finite())
            }
            Strangeness::Vim { origin, rest, alpha, .. } => {
                origin.len() == dimension
                    && rest.nrows() == dimension
                    && (1..=dimension).contains(&rest.ncols())
                    && alpha.is_finite()
                    && *alpha > 0.0
                    && origin.iter().chain(rest).all(|v| v.is_finite())
            }
            Strangeness::Knn { neighbours, rows } => {
                rows.ncols() == dimension
                    && (1..=rows.nrows()).contains(neighbours)
                    && rows.iter().all(|v| v.is_finite())
            }
        };
        let refused = || format!("the out-of-distribution score is not of {dimension} finite values a row");
        sound.then_some(()).ok_or_else(refused)
    }

    /// The score of each row of n×d embeddings `x` with n×K `logits`.
    ///
    /// # Errors
    /// When the sizes disagree.
    pub fn scores(&self, x: ArrayView2<f32>, logits: ArrayView2<f32>) -> Result<Array1<f32>> {
        if x.nrows() != logits.nrows() {
            let (expected, got) = (x.nrows().to_string(), logits.nrows().to_string());
            return Err(Error::Mismatch { what: "the numbers of embeddings and of logits".into(), expected, got });
        }
        self.check_sizes(x.ncols()).map_err(Error::Data)?;
        let squares = |rows: &Array2<f32>| rows.map_axis(Axis(1), |row| row.dot(&row));
        Ok(match &self.score {
            Strangeness::Energy => energies(logits),
            Strangeness::Mahalanobis { center, whiten, means } => {
                let rows = (&x - center).dot(whiten);
                let beyond = rows.dot(&means.t()) * -2.0 + squares(means);
                beyond.map_axis(Axis(1), |row| row.fold(f32::INFINITY, |a, &b| a.min(b))) + squares(&rows)
            }
            Strangeness::Vim { input, origin, rest, alpha } => {
                let outside = (&input.of(x) - origin).dot(rest);
                squares(&outside).mapv(f32::sqrt) * *alpha + energies(logits)
            }
            Strangeness::Knn { neighbours, rows } => {
                let unit = Input::UnitLength.of(x);
                let found = search(unit.view(), rows.view(), *neighbours, Candidates::All, Workers::all())?;
                found.iter().map(|found| 1.0 - found.last().map_or(0.0, |neighbour| neighbour.1)).collect()
            }
        })
    }
}

/// `−ln Σ exp(logit)` of each row.
fn energies(logits: ArrayView2<f32>) -> Array1<f32> {
    logits.map_axis(Axis(1), |row| {
        let largest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        -largest - row.mapv(|z| (z - largest).exp()).sum().ln()
    })
}
