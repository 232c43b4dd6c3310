//! Label shift: the classes' shares differ between the domains, and what a class looks like does not.

mod black_box;
mod likelihood;

pub use black_box::black_box_priors;
pub use likelihood::{Priors, likeliest_priors};

use ndarray::{Array2, ArrayView2, Axis};

use super::adapted::{Adapted, Serving, Training};
use super::domains::Domains;
use super::linear::{Learn, Lesson};
use super::out_of_fold::out_of_fold;
use crate::error::{Error, Result};
use crate::eval::{Calibration, Method};
use crate::logits::{first_maximum, softmax};
use crate::progress::Progress;

/// A class that seems to be absent in the target keeps this share, so that logits stay finite.
const LEAST_PRIOR: f64 = 1e-6;

/// Estimates the target's shares of the classes, and corrects the head by them. Its probabilities are calibrated by a temperature
/// first (Alexandari, Kundaje & Shrikumar, ICML 2020), on source rows that the head has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelShift {
    /// How the shares are estimated.
    pub estimator: PriorEstimator,
    /// Folds in which source rows are judged by heads that have not seen them; 5.
    pub folds: usize,
    /// Draws the folds; 0.
    pub seed: u64,
}

/// How the target's shares of the classes are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorEstimator {
    /// From the shares of predictions and the source's confusions: [`black_box_priors`].
    BlackBox,
    /// The likeliest ones: [`likeliest_priors`].
    Likelihood,
}

impl LabelShift {
    /// With default settings.
    pub fn new(estimator: PriorEstimator) -> Self {
        Self { estimator, folds: 5, seed: 0 }
    }

    pub(super) fn fit(&self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        let Domains { source, labels, classes, target, .. } = *domains;
        let unseen = out_of_fold(
            Lesson { x: source, labels, weights: None },
            classes,
            (self.folds, self.seed),
            learn,
            progress,
        )?;
        let calibration = Calibration::fit(Method::Temperature, unseen.view(), labels)?;
        let scale = calibration.temperature().map_or(1.0, |temperature| 1.0 / temperature);
        let head = learn(Lesson { x: source, labels, weights: None })?;
        let probabilities = softmax(head.logits(target).mapv(|z| scale * f64::from(z)));
        let own = domains.source_priors();
        let mut adapted = Adapted::new(Training::Source, Serving::AsIs);
        let priors = match self.estimator {
            PriorEstimator::BlackBox => {
                let joint = joint(unseen.view(), labels);
                black_box_priors(&joint, &shares(probabilities.view()))?
            }
            PriorEstimator::Likelihood => {
                let found = likeliest_priors(&own, probabilities.view())?;
                adapted.figures.push(("iterations", found.iterations as f64));
                found.shares
            }
        };
        adapted.figures.push(("temperature", 1.0 / scale));
        let floored: Vec<f64> = priors.iter().map(|p| p.max(LEAST_PRIOR)).collect();
        for (class, _) in priors.iter().enumerate().filter(|(_, p)| **p < LEAST_PRIOR) {
            adapted.notes.push(format!("class {class} seems to be absent in the target"));
        }
        let logarithms: Vec<f64> = floored.iter().zip(&own).map(|(target, source)| (target / source).ln()).collect();
        adapted.labelled = Some(corrected(probabilities, &logarithms));
        adapted.serving = Serving::Priors { scale, logarithms };
        adapted.priors = Some(priors);
        Ok(adapted)
    }
}

/// Probabilities for other priors: `p·exp(l)`, divided by their sum.
fn corrected(mut probabilities: Array2<f64>, logarithms: &[f64]) -> Array2<f64> {
    for mut row in probabilities.rows_mut() {
        row.iter_mut().zip(logarithms).for_each(|(p, l)| *p *= l.exp());
        let sum = row.sum();
        row /= sum;
    }
    probabilities
}

/// The share of rows that are predicted as the row's class and are of the column's.
fn joint(logits: ArrayView2<f32>, labels: &[usize]) -> Array2<f64> {
    let classes = logits.ncols();
    let mut joint = Array2::zeros((classes, classes));
    for (row, &label) in logits.rows().into_iter().zip(labels) {
        let predicted = first_maximum(row);
        joint[[predicted, label]] += 1.0 / labels.len() as f64;
    }
    joint
}

/// The share of rows predicted as each class.
fn shares(probabilities: ArrayView2<f64>) -> Vec<f64> {
    let mut shares = vec![0.0; probabilities.ncols()];
    probabilities.rows().into_iter().for_each(|row| shares[first_maximum(row)] += 1.0 / probabilities.nrows() as f64);
    shares
}

/// Fails unless n×K probabilities are such.
fn check_probabilities(probabilities: ArrayView2<f64>) -> Result<()> {
    for (i, row) in probabilities.axis_iter(Axis(0)).enumerate() {
        if !row.iter().all(|p| *p >= 0.0) || (row.sum() - 1.0).abs() > 1e-4 {
            return Err(Error::Data(format!("the probabilities of row {i} are not of 0..=1 with the sum 1")));
        }
    }
    Ok(())
}
