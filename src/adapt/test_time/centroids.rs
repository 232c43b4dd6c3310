//! Centroids of the target's own classes.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::super::adapted::Adapted;
use super::super::domains::Domains;
use super::super::linear::{Learn, Linear, entropy};
use super::{served_by, source_head};
use crate::error::{Error, Result};
use crate::logits::first_maximum;

/// What a class without target rows has for an intercept: it is never predicted.
const NEVER: f32 = -1e4;

/// The labels of SHOT (Liang, Hu & Feng, ICML 2020): centroids of the target rows, weighted by what the source's head says of them, and
/// then, in each round, of the rows nearest to each by the cosine. Rows of which the head is unsure form no centroid. Rows are lengthened
/// by a 1, as the published code has it, which makes the intercept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Centroids {
    /// The greatest entropy of a row that forms centroids, as a share of ln K, above 0; 0.9. SHOT itself has 1.
    pub entropy: f64,
    /// Rounds after the first centroids; 1.
    pub rounds: usize,
}

impl Default for Centroids {
    fn default() -> Self {
        Self { entropy: 0.9, rounds: 1 }
    }
}

impl Centroids {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn) -> Result<Adapted> {
        if !(self.entropy > 0.0 && self.entropy <= 1.0) {
            return Err(Error::Usage(format!(
                "the greatest entropy is a share above 0, at most 1, got {}",
                self.entropy
            )));
        }
        let head = source_head(domains, learn)?;
        let (found, sure) = self.found(&head, domains.target)?;
        let mut adapted = served_by(domains, found, &head);
        adapted.figures.push(("sure_rows", sure as f64));
        Ok(adapted)
    }

    /// The head of the centroids, and the number of rows that form them.
    fn found(self, head: &Linear, target: ArrayView2<f32>) -> Result<(Linear, usize)> {
        let probabilities = head.probabilities(target);
        let (m, classes) = probabilities.dim();
        // ln K itself must pass at a share of 1, however it is rounded.
        let limit = self.entropy * (classes as f64).ln() + 1e-9;
        let sure: Vec<usize> = (0..m).filter(|&row| entropy(probabilities.row(row)) <= limit).collect();
        if sure.is_empty() {
            return Err(Error::Data("the source's head is sure of no target row: allow for more entropy".into()));
        }
        let mut rows = Array2::<f64>::ones((sure.len(), target.ncols() + 1));
        for (mut row, &of) in rows.rows_mut().into_iter().zip(&sure) {
            row.slice_mut(s![..-1]).assign(&target.row(of).mapv(f64::from));
            let length = row.dot(&row).sqrt();
            row /= length;
        }
        let mut shares = probabilities.select(Axis(0), &sure);
        let mut there = vec![false; classes];
        shares.rows().into_iter().for_each(|row| there[first_maximum(row)] = true);
        let mut centroids = centroids(&rows, &shares);
        for _ in 0..self.rounds {
            let cosines = rows.dot(&unit(&centroids).t());
            shares.fill(0.0);
            for (mut share, cosines) in shares.rows_mut().into_iter().zip(cosines.rows()) {
                let only = Array1::from_shape_fn(classes, |c| if there[c] { cosines[c] } else { f64::NEG_INFINITY });
                share[first_maximum(only.view())] = 1.0;
            }
            centroids = self::centroids(&rows, &shares);
        }
        let unit = unit(&centroids);
        let weights = unit.slice(s![.., ..-1]).t().mapv(|v| v as f32);
        let intercept = |c: usize| if there[c] { unit[[c, unit.ncols() - 1]] as f32 } else { NEVER };
        Ok((Linear { weights, intercepts: Array1::from_shape_fn(classes, intercept) }, sure.len()))
    }
}

/// The K means of m×d rows weighted by m×K shares.
fn centroids(rows: &Array2<f64>, shares: &Array2<f64>) -> Array2<f64> {
    let mass = shares.sum_axis(Axis(0)).mapv(|mass| mass + 1e-8);
    shares.t().dot(rows) / mass.insert_axis(Axis(1))
}

/// Rows of unit length; zeros stay zeros.
fn unit(rows: &Array2<f64>) -> Array2<f64> {
    let lengths = rows.map_axis(Axis(1), |row| row.dot(&row).sqrt().max(1e-300));
    rows / &lengths.insert_axis(Axis(1))
}
