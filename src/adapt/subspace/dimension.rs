//! How many dimensions are kept.

use ndarray::Array2;

use super::super::domains::Domains;
use super::super::linear::{Learn, Lesson};
use super::super::out_of_fold::out_of_fold;
use crate::error::{Error, Result};
use crate::logits::first_maximum;
use crate::progress::Progress;

/// How many dimensions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// So many, 1 or more.
    Given(usize),
    /// The first of 2, 4, 8, … and all with which the most source rows are classified rightly by heads of other folds.
    CrossValidated {
        /// 2 and more.
        folds: usize,
        /// Draws them.
        seed: u64,
    },
}

impl Default for Dimension {
    fn default() -> Self {
        Self::CrossValidated { folds: 5, seed: 0 }
    }
}

impl Dimension {
    /// The number for what `mapped` makes of the source rows: n×k features for k dimensions, of which there are `most`.
    ///
    /// # Errors
    /// [`Error::Usage`] when more are asked for than there are; those of [`out_of_fold`] and of `mapped`.
    pub(super) fn choose(
        self,
        most: usize,
        domains: &Domains,
        learn: &Learn,
        progress: &dyn Progress,
        mapped: impl Fn(usize) -> Result<Array2<f32>>,
    ) -> Result<usize> {
        let (folds, seed) = match self {
            Dimension::Given(k) if (1..=most).contains(&k) => return Ok(k),
            Dimension::Given(k) => {
                return Err(Error::Usage(format!("{k} dimensions of {most} that the domains have")));
            }
            Dimension::CrossValidated { folds, seed } => (folds, seed),
        };
        let mut best = (0, most);
        for k in (1..).map(|power| 1 << power).take_while(|&k| k < most).chain([most]) {
            let x = mapped(k)?;
            let lesson = Lesson { x: x.view(), labels: domains.labels, weights: None };
            let logits = out_of_fold(lesson, domains.classes, (folds, seed), learn, progress)?;
            let predicted = logits.rows().into_iter().map(first_maximum);
            let right = predicted.zip(domains.labels).filter(|(said, label)| said == *label).count();
            if right > best.0 {
                best = (right, k);
            }
        }
        Ok(best.1)
    }
}
