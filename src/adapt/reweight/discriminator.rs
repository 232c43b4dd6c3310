//! Weights from a classifier of the domains.

use super::super::adapted::Adapted;
use super::super::domains::{Domains, together};
use super::super::linear::{Learn, Lesson};
use super::super::out_of_fold::out_of_fold;
use super::weights::weighted;
use crate::error::Result;
use crate::progress::Progress;

/// A linear head tells the domains apart; a source row weighs `P(target|x)/P(source|x)`, which is the ratio of the densities up to a
/// factor (Bickel, Brückner & Scheffer, JMLR 10, 2009).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discriminator {
    /// Who judges a source row.
    pub judged: Judged,
    /// The greatest weight, in multiples of the mean; 10.
    pub most: f64,
}

/// By whom rows are judged that a head could have been fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// By a head that was fitted on them as well.
    InSample,
    /// By heads of other folds: features of many columns tell domains apart by heart.
    OutOfFold {
        /// 2 and more.
        folds: usize,
        /// Draws them.
        seed: u64,
    },
}

impl Default for Discriminator {
    fn default() -> Self {
        Self { judged: Judged::OutOfFold { folds: 5, seed: 0 }, most: 10.0 }
    }
}

impl Discriminator {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        domains.two_rows("telling the domains apart")?;
        let n = domains.source.nrows();
        let (x, labels) = together(domains.source, domains.target)?;
        let logits = match self.judged {
            Judged::InSample => learn(Lesson { x: x.view(), labels: &labels, weights: None })?.logits(domains.source),
            Judged::OutOfFold { folds, seed } => {
                out_of_fold(Lesson { x: x.view(), labels: &labels, weights: None }, 2, (folds, seed), learn, progress)?
            }
        };
        let ratios: Vec<f64> = logits.rows().into_iter().take(n).map(|z| f64::from(z[1]) - f64::from(z[0])).collect();
        // Only the ratios of the weights count: the greatest is 1 before they are divided by their mean.
        let greatest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        weighted(ratios.into_iter().map(|z| (z - greatest).exp()).collect(), self.most)
    }
}
