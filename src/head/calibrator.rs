//! Calibration as part of a head: its logits to those whose softmax can be believed.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::logits::softmax;

/// What an isotonic probability is raised by before its logarithm: 0 in every class then means all are equally likely.
pub(super) const FLOOR: f32 = 1e-30;

/// A fitted calibration in single precision, as the head's graph computes it. Two classes have one curve, of the second
/// logit less the first; more have one each, against the rest, and their probabilities are divided by their sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// `softmax(z/T)`.
    Temperature {
        /// 1/T, above 0.
        inverse: f32,
    },
    /// `sigmoid(a·z + b)`: the pairs a, b.
    Platt(Vec<[f32; 2]>),
    /// Increasing functions by their corners (logit, probability): linear between them, constant beyond.
    Isotonic(Vec<Vec<[f32; 2]>>),
}

/// A calibrator and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// What the graph computes.
    pub calibrator: Calibrator,
    /// Rows whose out-of-fold logits it was fitted on.
    pub rows: usize,
    /// Of the uncalibrated probabilities of these rows.
    pub before: CalibrationFigures,
    /// Of their probabilities by calibrators that were fitted on other rows.
    pub after: CalibrationFigures,
}

/// How far probabilities can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationFigures {
    /// Mean of `−ln p(label)`, in nats.
    pub log_loss: f64,
    /// Expected calibration error in 15 bins.
    pub ece: f64,
}

/// The steps of increasing functions, padded to the same number: `first + Σ rise·clip((z − start)·steepness, 0, 1)`.
pub(super) struct Steps {
    pub(super) starts: Array2<f32>,
    pub(super) steepness: Array2<f32>,
    pub(super) rises: Array2<f32>,
    pub(super) first: Vec<f32>,
}

impl Steps {
    pub(super) fn of(curves: &[Vec<[f32; 2]>]) -> Self {
        let most = curves.iter().map(|corners| corners.len().saturating_sub(1)).max().unwrap_or(0).max(1);
        let zeros = || Array2::zeros((curves.len(), most));
        let (mut starts, mut steepness, mut rises) = (zeros(), zeros(), zeros());
        for (curve, corners) in curves.iter().enumerate() {
            for (step, pair) in corners.windows(2).enumerate() {
                starts[[curve, step]] = pair[0][0];
                // Corners that single precision cannot tell apart: a leap.
                steepness[[curve, step]] = 1.0 / (pair[1][0] - pair[0][0]).max(f32::MIN_POSITIVE);
                rises[[curve, step]] = pair[1][1] - pair[0][1];
            }
        }
        let first = curves.iter().map(|corners| corners.first().map_or(0.0, |corner| corner[1])).collect();
        Self { starts, steepness, rises, first }
    }

    fn apply(&self, curve: usize, z: f32) -> f32 {
        let rise = |((start, steepness), rise): ((&f32, &f32), &f32)| ((z - start) * steepness).clamp(0.0, 1.0) * rise;
        let [starts, steepness, rises] = [&self.starts, &self.steepness, &self.rises].map(|values| values.row(curve));
        (starts.iter().zip(steepness).zip(rises).map(rise).sum::<f32>() + self.first[curve]).min(1.0)
    }
}

impl Calibrator {
    /// Refuses parameters that are no calibration of `classes` classes.
    pub(super) fn check(&self, classes: usize) -> Result<(), String> {
        let curves = if classes == 2 { 1 } else { classes };
        let count = match self {
            Self::Temperature { inverse } if !(inverse.is_finite() && *inverse > 0.0) => {
                return Err(format!("the inverse temperature {inverse} is not above 0"));
            }
            Self::Temperature { .. } => return Ok(()),
            Self::Platt(pairs) => pairs.len(),
            Self::Isotonic(curves) => curves.len(),
        };
        if count != curves {
            return Err(format!("the calibration has {count} curves, {classes} classes need {curves}"));
        }
        let sound = match self {
            Self::Temperature { .. } => true,
            Self::Platt(pairs) => pairs.iter().flatten().all(|v| v.is_finite()),
            Self::Isotonic(curves) => curves.iter().all(|corners| {
                !corners.is_empty()
                    && corners.iter().all(|[z, p]| z.is_finite() && (0.0..=1.0).contains(p))
                    && corners.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1])
            }),
        };
        sound.then_some(()).ok_or_else(|| "the calibration's curves are not finite or do not increase".into())
    }

    /// The n×K probabilities of n×K `logits`: their softmax, calibrated where there is a calibrator.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn probabilities(calibrator: Option<&Self>, logits: Array2<f32>) -> Result<Array2<f32>> {
        Ok(softmax(match calibrator {
            Some(calibrator) => calibrator.apply(logits.view())?,
            None => logits,
        }))
    }

    /// n×K logits whose softmax are the calibrated probabilities of n×K `logits`.
    ///
    /// # Errors
    /// [`Error::Data`] when this is no calibration of K classes.
    pub fn apply(&self, logits: ArrayView2<f32>) -> Result<Array2<f32>> {
        self.check(logits.ncols()).map_err(Error::Data)?;
        Ok(match self {
            Self::Temperature { inverse } => &logits * *inverse,
            Self::Platt(pairs) => match pairs[..] {
                [[slope, intercept]] => {
                    let half = difference(logits).mapv(|z| (slope * z + intercept) / 2.0).insert_axis(Axis(1));
                    joined(&[(-&half).view(), half.view()])?
                }
                _ => Array2::from_shape_fn(logits.dim(), |(row, class)| {
                    let [slope, intercept] = pairs[class];
                    let u = slope * logits[[row, class]] + intercept;
                    // ln sigmoid(u), without overflow.
                    u.min(0.0) - (-u.abs()).exp().ln_1p()
                }),
            },
            Self::Isotonic(curves) => {
                let steps = Steps::of(curves);
                let p = if curves.len() == 1 {
                    let second = difference(logits).mapv(|z| steps.apply(0, z)).insert_axis(Axis(1));
                    joined(&[second.mapv(|p| 1.0 - p).view(), second.view()])?
                } else {
                    Array2::from_shape_fn(logits.dim(), |(row, class)| steps.apply(class, logits[[row, class]]))
                };
                p.mapv(|p| (p + FLOOR).ln())
            }
        })
    }
}

fn difference(logits: ArrayView2<f32>) -> ndarray::Array1<f32> {
    logits.map_axis(Axis(1), |row: ArrayView1<f32>| row[1] - row[0])
}

fn joined(columns: &[ArrayView2<f32>]) -> Result<Array2<f32>> {
    concatenate(Axis(1), columns).map_err(|e| Error::Data(e.to_string()))
}
