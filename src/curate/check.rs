//! What the methods ask of their arrays.

use ndarray::{ArrayView1, ArrayView2};

use crate::error::{Error, Result};

/// Fails unless there are rows, two classes and more, and every value is within 0..=1.
pub(super) fn check_probabilities(probabilities: ArrayView2<f32>) -> Result<()> {
    if probabilities.nrows() == 0 {
        return Err(Error::Data("there are no rows".into()));
    }
    if probabilities.ncols() < 2 {
        return Err(Error::Data("the probabilities are of fewer than two classes".into()));
    }
    let wrong = |row: ArrayView1<f32>| !row.iter().all(|p| (0.0..=1.0).contains(p));
    match probabilities.outer_iter().position(wrong) {
        Some(row) => Err(Error::Data(format!("row {row} has a probability that is not within 0..1"))),
        None => Ok(()),
    }
}

/// Fails unless there is one label for each row, below the number of classes.
pub(super) fn check_labels(labels: &[usize], rows: usize, classes: usize) -> Result<()> {
    if labels.len() != rows {
        return Err(Error::Data(format!("there are {} labels for {rows} rows", labels.len())));
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(Error::Data(format!("the label of row {row} is {}, not below {classes}", labels[row]))),
        None => Ok(()),
    }
}

/// Fails unless there are rows and columns and every value is finite.
pub(super) fn check_features(x: ArrayView2<f32>) -> Result<()> {
    if x.is_empty() {
        return Err(Error::Data(format!("there are no features: {} rows of {} values", x.nrows(), x.ncols())));
    }
    match x.outer_iter().position(|row| !row.iter().all(|v| v.is_finite())) {
        Some(row) => Err(Error::Data(format!("row {row} has a value that is not finite"))),
        None => Ok(()),
    }
}
