//! Pseudo-labels.

use ndarray::{Array2, Axis, concatenate};

use super::super::adapted::{Adapted, Serving, Training};
use super::super::domains::Domains;
use super::super::linear::{Learn, Lesson};
use crate::error::{Error, Result};
use crate::logits::first_maximum;
use crate::progress::Progress;

/// In each round a head is fitted on the source rows and the target rows that have a label by then, and labels those of the others that
/// it is sure of (Yarowsky, ACL 1995); of the rows it takes for a class, only the surest share, so that an easy class does not drown the
/// others (Zou et al., ECCV 2018).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PseudoLabels {
    /// Only rows whose class is likelier than this, 0 up to below 1; 0.8.
    pub threshold: f64,
    /// The share of the rows of each predicted class that a round may label, above 0; 0.5. With 1 classes are not balanced.
    pub share: f64,
    /// Rounds at most; 5.
    pub rounds: usize,
}

impl Default for PseudoLabels {
    fn default() -> Self {
        Self { threshold: 0.8, share: 0.5, rounds: 5 }
    }
}

impl PseudoLabels {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        if !((0.0..1.0).contains(&self.threshold) && self.share > 0.0 && self.share <= 1.0) {
            let reason = "pseudo-labels need a threshold of 0 up to below 1, and a share above 0, at most 1";
            return Err(Error::Usage(reason.into()));
        }
        let Domains { source, labels, classes, target, known, .. } = *domains;
        let mut given: Vec<Option<usize>> = vec![None; target.nrows()];
        known.iter().for_each(|&(row, class)| given[row] = Some(class));
        let (mut rounds, mut head) = (0, None);
        while rounds < self.rounds && given.contains(&None) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            rounds += 1;
            let (x, all) = together(domains, &given)?;
            let fitted = learn(Lesson { x: x.view(), labels: &all, weights: None })?;
            let mut sure: Vec<Vec<(f64, usize)>> = vec![Vec::new(); classes];
            let open: Vec<usize> = (0..given.len()).filter(|&row| given[row].is_none()).collect();
            let said = fitted.probabilities(target.select(Axis(0), &open).view());
            for (said, &row) in said.rows().into_iter().zip(&open) {
                let class = first_maximum(said);
                sure[class].push((said[class], row));
            }
            let mut changed = false;
            for (class, mut rows) in sure.into_iter().enumerate() {
                let most = (self.share * rows.len() as f64).ceil() as usize;
                rows.sort_by(|a, b| b.0.total_cmp(&a.0));
                for (_, row) in rows.into_iter().take(most).take_while(|(p, _)| *p > self.threshold) {
                    given[row] = Some(class);
                    changed = true;
                }
            }
            head = Some(fitted);
            if !changed {
                break;
            }
        }
        // The known rows come to any training set by themselves.
        known.iter().for_each(|&(row, _)| given[row] = None);
        let (x, all) = together(domains, &given)?;
        let own = all.len() - labels.len();
        let weights = vec![1.0; all.len()];
        let mut adapted = Adapted::new(Training::Rows { x, labels: all, weights }, Serving::AsIs);
        adapted.figures = vec![("pseudo_labels", own as f64), ("rounds", rounds as f64)];
        adapted.labelled = head.map(|head| head.probabilities(target));
        if own == 0 {
            adapted.notes.push(format!(
                "no target row is likelier than {} of a class: {} source rows alone count",
                self.threshold,
                source.nrows()
            ));
        }
        Ok(adapted)
    }
}

/// The source rows, and the target rows that have a label.
fn together(domains: &Domains, given: &[Option<usize>]) -> Result<(Array2<f32>, Vec<usize>)> {
    let rows: Vec<usize> = (0..given.len()).filter(|&row| given[row].is_some()).collect();
    let picked = domains.target.select(Axis(0), &rows);
    let x = concatenate(Axis(0), &[domains.source.view(), picked.view()]).map_err(|e| Error::Data(e.to_string()))?;
    let labels = domains.labels.iter().copied().chain(given.iter().copied().flatten()).collect();
    Ok((x, labels))
}
