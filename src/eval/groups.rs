//! Metrics of each group of rows: a site, a device, a language.

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use serde::Serialize;

use super::confusion::Confusion;
use super::interval::{Interval, wilson};
use super::report::check_rows;
use super::rows::argmax;
use crate::error::{Error, Result};

/// The metrics of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupScores {
    /// Its name.
    pub group: String,
    /// Number of rows.
    pub n: u64,
    /// Share of rows whose likeliest class is the label.
    pub accuracy: f64,
    /// Wilson's 95 % interval.
    pub accuracy_interval: Interval,
    /// Mean F1 of the classes that have rows in the group or are predicted there.
    pub macro_f1: f64,
}

/// The scores of each group, by name, of n×K `probabilities` on rows of the true classes `truth` (n indices below K).
///
/// # Errors
/// [`Error::Data`] when there are no rows, the sizes disagree, a class is not below K, or a probability is not in 0..=1.
pub fn group_scores<G: AsRef<str>>(
    groups: &[G],
    truth: &[usize],
    probabilities: ArrayView2<f32>,
) -> Result<Vec<GroupScores>> {
    check_rows(truth, probabilities)?;
    if groups.len() != truth.len() {
        return Err(Error::Data(format!("there are {} groups for {} rows", groups.len(), truth.len())));
    }
    let predicted = argmax(probabilities);
    let mut members: BTreeMap<&str, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for ((group, &truth), &predicted) in groups.iter().zip(truth).zip(&predicted) {
        let (truths, predictions) = members.entry(group.as_ref()).or_default();
        truths.push(truth);
        predictions.push(predicted);
    }
    let scores = |(group, (truth, predicted)): (&str, (Vec<usize>, Vec<usize>))| {
        let confusion = Confusion::new(&truth, &predicted, &vec![1; truth.len()], probabilities.ncols());
        let n = truth.len() as u64;
        GroupScores {
            group: group.to_string(),
            n,
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson(confusion.correct(), n),
            macro_f1: confusion.macro_f1(),
        }
    };
    Ok(members.into_iter().map(scores).collect())
}
