//! Class means, refined by target rows.

use ndarray::{Array1, Array2, Axis};

use super::super::adapted::Adapted;
use super::super::domains::Domains;
use super::super::linear::{Learn, Linear};
use super::{served_by, source_head};
use crate::error::{Error, Result};
use crate::logits::softmax;

/// Prototypes refined by soft k-means (Ren et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018): each class's
/// prototype is the mean of its source rows, then, in each round, that of its source rows and of all target rows, which count by the
/// softmax of `−scale·‖x − p‖²`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prototypes {
    /// Rounds; 5.
    pub rounds: usize,
    /// By default `1/(2·s²)`, s² being the mean variance of a feature within the source's classes: the softmax is then that of equal
    /// round Gaussian distributions. The paper has 1.
    pub scale: Option<f64>,
    /// How much a source row counts in a prototype, 0 or more; a target row counts 1 in all; 1, as in the paper.
    pub source: f64,
}

impl Default for Prototypes {
    fn default() -> Self {
        Self { rounds: 5, scale: None, source: 1.0 }
    }
}

impl Prototypes {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn) -> Result<Adapted> {
        if self.scale.is_some_and(|s| !(s.is_finite() && s > 0.0)) || !(self.source.is_finite() && self.source >= 0.0) {
            return Err(Error::Usage("prototypes need a scale above 0, and source rows that count 0 or more".into()));
        }
        let Domains { source, labels, classes, target, .. } = *domains;
        let d = source.ncols();
        let (mut sums, mut counts) = (Array2::<f64>::zeros((classes, d)), Array1::<f64>::zeros(classes));
        for (row, &label) in source.rows().into_iter().zip(labels) {
            sums.row_mut(label).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
            counts[label] += 1.0;
        }
        let means = &sums / &counts.view().insert_axis(Axis(1));
        let scale = self.scale.unwrap_or_else(|| {
            let squares: f64 = source
                .rows()
                .into_iter()
                .zip(labels)
                .map(|(row, &label)| {
                    row.iter().zip(means.row(label)).map(|(&x, m)| (f64::from(x) - m).powi(2)).sum::<f64>()
                })
                .sum();
            let variance = squares / (labels.len() * d) as f64;
            if variance > 0.0 { 0.5 / variance } else { 1.0 }
        });
        let rows = target.mapv(f64::from);
        let mut prototypes = means;
        for _ in 0..self.rounds {
            let shares = softmax(logits(&rows, &prototypes, scale));
            let mass = &counts * self.source + shares.sum_axis(Axis(0));
            let moved = &sums * self.source + shares.t().dot(&rows);
            for (class, &mass) in mass.iter().enumerate() {
                // Without source rows a class that no target row is near keeps its prototype.
                if mass > 1e-8 {
                    prototypes.row_mut(class).assign(&(&moved.row(class) / mass));
                }
            }
        }
        let squares = prototypes.map_axis(Axis(1), |p| p.dot(&p));
        let found = Linear {
            weights: prototypes.t().mapv(|v| (2.0 * scale * v) as f32),
            intercepts: squares.mapv(|v| (-scale * v) as f32),
        };
        let mut adapted = served_by(domains, found, &source_head(domains, learn)?);
        adapted.figures.push(("scale", scale));
        Ok(adapted)
    }
}

/// `−scale·‖x − p‖²` without the part that all classes share.
fn logits(rows: &Array2<f64>, prototypes: &Array2<f64>, scale: f64) -> Array2<f64> {
    let squares = prototypes.map_axis(Axis(1), |p| p.dot(&p));
    (rows.dot(&prototypes.t()) * 2.0 - squares) * scale
}
