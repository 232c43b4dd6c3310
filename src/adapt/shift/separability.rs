//! How well a head tells the domains apart.

use ndarray::Axis;
use serde::Serialize;

use super::super::domains::{Domains, drawn, together};
use super::super::linear::{Learn, Lesson};
use super::super::out_of_fold::out_of_fold;
use super::ShiftOptions;
use crate::error::Result;
use crate::eval::{Interval, wilson};
use crate::progress::Progress;

/// How well a linear head tells the domains apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Separability {
    /// Of rows that the head has not seen, as many of each domain: 0.5 is chance.
    pub accuracy: f64,
    /// Wilson's, of 95 %.
    pub accuracy_interval: Interval,
    /// Rows of both domains that were judged.
    pub n: usize,
}

/// The accuracy of a domain classifier in stratified folds, on as many rows of either domain (Ben-David et al., Machine Learning 79, 2010,
/// whose proxy distance is `2·(2·accuracy − 1)`).
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when a domain has one row only; those of `learn`; [`Error::Interrupted`](crate::Error::Interrupted).
pub fn separability(
    domains: &Domains,
    learn: &Learn,
    options: ShiftOptions,
    progress: &dyn Progress,
) -> Result<Separability> {
    domains.two_rows("telling the domains apart")?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let each = domains.source.nrows().min(domains.target.nrows()).min(options.rows.max(2));
    let source = domains.source.select(Axis(0), &drawn(0..domains.source.nrows(), each, &mut rng));
    let target = domains.target.select(Axis(0), &drawn(0..domains.target.nrows(), each, &mut rng));
    let (x, labels) = together(source.view(), target.view())?;
    let logits = out_of_fold(
        Lesson { x: x.view(), labels: &labels, weights: None },
        2,
        (options.folds, options.seed),
        learn,
        progress,
    )?;
    // Rows of which a head can say nothing are right by half.
    let halves: u64 = logits
        .rows()
        .into_iter()
        .zip(&labels)
        .map(|(z, &label)| match z[label].total_cmp(&z[1 - label]) {
            std::cmp::Ordering::Greater => 2,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Less => 0,
        })
        .sum();
    let n = 2 * each;
    Ok(Separability { accuracy: halves as f64 / (2 * n) as f64, accuracy_interval: wilson(halves / 2, n as u64), n })
}
