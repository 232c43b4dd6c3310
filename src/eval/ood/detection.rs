//! How well a score tells strange rows from known ones.

use ndarray::ArrayView1;
use serde::Serialize;

use super::super::interval::percentile;
use super::super::ranking::Ranking;
use super::KEPT;
use crate::error::{Error, Result};

/// The two figures that papers report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// The chance that a strange row scores above a known one, a tie counting half.
    pub auroc: f64,
    /// Share of the strange rows that the threshold which keeps 95 % of the known ones lets pass.
    pub fpr95: f64,
}

impl Detection {
    /// Measures scores (higher is stranger) of `known`, in-distribution rows and of `strange` ones.
    ///
    /// # Errors
    /// [`Error::Data`] when either has no rows, or a score is NaN.
    pub fn new(known: &[f64], strange: &[f64]) -> Result<Self> {
        if known.is_empty() || strange.is_empty() {
            return Err(Error::Data(format!(
                "cannot tell {} strange rows from {} known ones",
                strange.len(),
                known.len()
            )));
        }
        let mut sorted = known.to_vec();
        sorted.sort_by(f64::total_cmp);
        let all = [known, strange].concat();
        if let Some(row) = all.iter().position(|score| score.is_nan()) {
            return Err(Error::Data(format!("the score of row {row} is NaN")));
        }
        let areas = Ranking::new(ArrayView1::from(&all), |row| row >= known.len()).areas(&vec![1; all.len()]);
        let threshold = percentile(&sorted, KEPT);
        let passed = strange.iter().filter(|score| **score <= threshold).count();
        Ok(Self { auroc: areas.roc.unwrap_or(f64::NAN), fpr95: passed as f64 / strange.len() as f64 })
    }
}
