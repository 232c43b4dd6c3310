//! How the domains differ, measured before anything is adapted.

mod classes;
mod discrepancy;
mod separability;

pub use classes::{ClassShift, class_shifts};
pub use discrepancy::{Discrepancy, mean_discrepancy};
pub use separability::{Separability, separability};

use serde::Serialize;

use super::domains::Domains;
use super::label_shift::{LabelShift, PriorEstimator};
use super::linear::Learn;
use crate::error::Result;
use crate::progress::Progress;

/// How a shift is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShiftOptions {
    /// Folds in which rows are judged by heads that have not seen them, 2 and more; 5.
    pub folds: usize,
    /// Permutations of the test; 200.
    pub permutations: usize,
    /// Rows of each domain that are looked at in the test and told apart, at most; 2000.
    pub rows: usize,
    /// Draws rows, folds and permutations; 0.
    pub seed: u64,
}

impl Default for ShiftOptions {
    fn default() -> Self {
        Self { folds: 5, permutations: 200, rows: 2000, seed: 0 }
    }
}

/// How two domains differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shift {
    /// How well a head tells them apart.
    pub separability: Separability,
    /// How far apart their means are in a kernel's space.
    pub discrepancy: Discrepancy,
    /// How each class has moved.
    pub classes: Vec<ClassShift>,
    /// The target's shares of the classes by maximum likelihood; none where a class has one source row only.
    pub priors: Option<Vec<f64>>,
    /// Half the sum of the differences between these and the source's shares, 0 to 1.
    pub label_shift: Option<f64>,
    /// Whether every target row is a source row at the same place.
    pub identical: bool,
}

impl Shift {
    /// Whether the domains are told apart no better than classes of other shares alone could be: with equally many rows of both, by
    /// (1 + d)/2 of the rows where d is [`Shift::label_shift`]. Rows that are moved then are moved for nothing.
    pub fn is_of_shares_alone(&self) -> bool {
        self.separability.accuracy_interval[0] <= 0.5 * (1.0 + self.label_shift.unwrap_or(0.0))
    }

    /// Measures all of it.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) when a domain has one row only; those of `learn`;
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    pub fn measure(domains: &Domains, learn: &Learn, options: ShiftOptions, progress: &dyn Progress) -> Result<Self> {
        let separability = separability(domains, learn, options, progress)?;
        let discrepancy = mean_discrepancy(domains, options, progress)?;
        let classes = class_shifts(domains, learn)?;
        let mut counts = vec![0_usize; domains.classes];
        domains.labels.iter().for_each(|&label| counts[label] += 1);
        let priors = match counts.iter().all(|&count| count > 1) {
            false => None,
            true => {
                let shift = LabelShift {
                    folds: options.folds,
                    seed: options.seed,
                    ..LabelShift::new(PriorEstimator::Likelihood)
                };
                shift.fit(domains, learn, progress)?.priors
            }
        };
        let label_shift = priors.as_ref().map(|priors| {
            0.5 * priors
                .iter()
                .zip(domains.source_priors())
                .map(|(target, source)| (target - source).abs())
                .sum::<f64>()
        });
        let identical = domains.source == domains.target;
        Ok(Self { separability, discrepancy, classes, priors, label_shift, identical })
    }
}
