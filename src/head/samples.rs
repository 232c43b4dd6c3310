//! What a head is fitted on.

use ndarray::ArrayView2;

use super::training::count_classes;
use crate::error::{Error, Result};

/// Labelled rows, each with a weight perhaps.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    pub(crate) x: ArrayView2<'a, f32>,
    pub(crate) labels: &'a [usize],
    weights: Option<&'a [f64]>,
}

/// How much a class counts: what each of its rows' losses is multiplied by.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeight {
    /// 1 (the default).
    #[default]
    Uniform,
    /// `Σw / (K · Σ w of the class' rows)`, w being the rows' own weights: each class counts as much as any other, as
    /// scikit-learn's `class_weight="balanced"` has it.
    Balanced,
    /// These, by class.
    Given(Vec<f64>),
}

impl<'a> Samples<'a> {
    /// `x` n×d, and `labels` n class indices.
    pub fn new(x: ArrayView2<'a, f32>, labels: &'a [usize]) -> Self {
        Self { x, labels, weights: None }
    }

    /// Row i counts `weights[i]` times, 0 or more.
    pub fn weighted(self, weights: &'a [f64]) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// The number of classes.
    ///
    /// # Errors
    /// As [`count_classes`]; when there is another number of weights than rows, or one is negative or not finite, which is named.
    pub(crate) fn check(&self) -> Result<usize> {
        let classes = count_classes(self.x.view(), self.labels)?;
        if let Some(weights) = self.weights {
            same_length("feature rows and weights", self.labels.len(), weights.len())?;
            if let Some(row) = weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
                return Err(Error::Data(format!("the weight of row {row} is {}; rows count from 0", weights[row])));
            }
        }
        Ok(classes)
    }

    /// The weight of each row with that of its class in it; none where all are 1. What [`Samples::check`] checks is taken
    /// for granted.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when there is not one weight a class; [`Error::Data`] when one is negative or not finite, or all rows of
    /// a class weigh nothing.
    pub(crate) fn row_weights(&self, of_class: &ClassWeight, classes: usize) -> Result<Option<Vec<f64>>> {
        let own = |row: usize| self.weights.map_or(1.0, |weights| weights[row]);
        let mut sums = vec![0.0; classes];
        for (row, &label) in self.labels.iter().enumerate() {
            sums[label] += own(row);
        }
        let of_class: Vec<f64> = match of_class {
            ClassWeight::Uniform if self.weights.is_none() => return Ok(None),
            ClassWeight::Uniform => vec![1.0; classes],
            ClassWeight::Balanced => {
                let share = sums.iter().sum::<f64>() / classes as f64;
                sums.iter().map(|sum| share / sum).collect()
            }
            ClassWeight::Given(given) => {
                same_length("classes and class weights", classes, given.len())?;
                given.clone()
            }
        };
        for (class, (weight, sum)) in of_class.iter().zip(&sums).enumerate() {
            if !(weight * sum).is_finite() || weight * sum <= 0.0 {
                let reason = format!("class {class} weighs {}: it must be more than 0", weight * sum);
                return Err(Error::Data(reason));
            }
        }
        Ok(Some(self.labels.iter().enumerate().map(|(row, &label)| own(row) * of_class[label]).collect()))
    }
}

fn same_length(what: &str, expected: usize, got: usize) -> Result<()> {
    match expected == got {
        true => Ok(()),
        false => Err(Error::Mismatch {
            what: format!("the numbers of {what}"),
            expected: expected.to_string(),
            got: got.to_string(),
        }),
    }
}
