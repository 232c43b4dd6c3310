//! Test-time template adjustment.

use ndarray::{Array1, Array2, Axis, concatenate};

use super::super::adapted::Adapted;
use super::super::domains::Domains;
use super::super::linear::{Learn, Linear, entropy};
use super::{served_by, source_head};
use crate::error::{Error, Result};
use crate::logits::first_maximum;

/// T3A (Iwasawa & Matsuo, "Test-Time Classifier Adjustment Module for Model-Agnostic Domain Generalization", NeurIPS 2021): each class's
/// template is the mean direction of its supports, which are the head's own weights and those target rows predicted as the class of which
/// the head is surest. All target rows are seen at once; in the published code, which gets them in batches, a row that was dropped never
/// comes back, and so the supports after the last batch are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Templates {
    /// The supports of a class, at most; none for all; 100.
    pub supports: Option<usize>,
}

impl Default for Templates {
    fn default() -> Self {
        Self { supports: Some(100) }
    }
}

impl Templates {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn) -> Result<Adapted> {
        if self.supports == Some(0) {
            return Err(Error::Usage("a class needs a support and more".into()));
        }
        let head = source_head(domains, learn)?;
        Ok(served_by(domains, self.adjusted(&head, domains.target)?, &head))
    }

    fn adjusted(self, head: &Linear, target: ndarray::ArrayView2<f32>) -> Result<Linear> {
        let (d, classes) = head.weights.dim();
        let rows = concatenate(Axis(0), &[head.weights.t(), target.view()]).map_err(|e| Error::Data(e.to_string()))?;
        let probabilities = head.probabilities(rows.view());
        let mut supports: Vec<Vec<(f64, usize)>> = vec![Vec::new(); classes];
        for (row, said) in probabilities.rows().into_iter().enumerate() {
            supports[first_maximum(said)].push((entropy(said), row));
        }
        let mut weights = Array2::zeros((d, classes));
        for (class, mut supports) in supports.into_iter().enumerate() {
            supports.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut template = Array1::<f64>::zeros(d);
            for &(_, row) in supports.iter().take(self.supports.unwrap_or(usize::MAX)) {
                let row = rows.row(row).mapv(f64::from);
                let length = row.dot(&row).sqrt();
                template.scaled_add(1.0 / length.max(1e-12), &row);
            }
            let length = template.dot(&template).sqrt();
            weights.column_mut(class).assign(&template.mapv(|v| (v / length.max(1e-12)) as f32));
        }
        Ok(Linear { weights, intercepts: Array1::zeros(classes) })
    }
}
