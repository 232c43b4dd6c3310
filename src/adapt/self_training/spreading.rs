//! Label spreading.

use ndarray::{Array2, Axis, concatenate};

use super::super::adapted::{Adapted, Serving, Training};
use super::super::domains::Domains;
use super::neighbours::nearest;
use crate::error::{Error, Result};
use crate::logits::first_maximum;
use crate::progress::Progress;

/// Labels spread from row to row along the graph of nearest neighbours (Zhou et al., NIPS 2003), with the graph and the stopping rule of
/// scikit-learn's `LabelSpreading(kernel="knn")`: `F ← α·S·F + (1 − α)·Y`, S being the adjacency divided by the roots of the degrees.
/// A head is then fitted on the source rows and on the target rows, each with its likeliest label and counting by how likely it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelSpreading {
    /// Nearest rows, the row itself among them, 2 or more; 7.
    pub neighbours: usize,
    /// α, how much a row takes from its neighbours, between 0 and 1; 0.2.
    pub alpha: f64,
    /// Iterations at most; 30.
    pub iterations: usize,
    /// The summed change at which they end; 0.001.
    pub tolerance: f64,
}

impl Default for LabelSpreading {
    fn default() -> Self {
        Self { neighbours: 7, alpha: 0.2, iterations: 30, tolerance: 1e-3 }
    }
}

impl LabelSpreading {
    pub(in crate::adapt) fn fit(self, domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
        if self.neighbours < 2 || !(self.alpha > 0.0 && self.alpha < 1.0) || self.tolerance.is_nan() {
            return Err(Error::Usage(
                "label spreading needs two neighbours and more, and an alpha between 0 and 1".into(),
            ));
        }
        let Domains { source, labels, classes, target, known, .. } = *domains;
        let x = concatenate(Axis(0), &[source, target]).map_err(|e| Error::Data(e.to_string()))?;
        let graph = Graph::new(nearest(x.view(), self.neighbours, progress)?);
        let mut given = Array2::<f64>::zeros((x.nrows(), classes));
        labels.iter().enumerate().for_each(|(row, &label)| given[[row, label]] = 1.0);
        known.iter().for_each(|&(row, class)| given[[source.nrows() + row, class]] = 1.0);
        let mut spread = given.clone();
        given *= 1.0 - self.alpha;
        let mut before = Array2::<f64>::zeros(spread.dim());
        let mut iterations = 0;
        while iterations < self.iterations && (&spread - &before).mapv(f64::abs).sum() >= self.tolerance {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let next = graph.times(&spread) * self.alpha + &given;
            before = std::mem::replace(&mut spread, next);
            iterations += 1;
        }
        let mut of_target = spread.slice_move(ndarray::s![source.nrows().., ..]);
        let mut reached = Vec::new();
        for (row, mut shares) in of_target.rows_mut().into_iter().enumerate() {
            let sum = shares.sum();
            if sum > 0.0 {
                shares /= sum;
                reached.push(row);
            }
        }
        let is_known = |row: &usize| known.iter().any(|(known, _)| known == row);
        // The known rows come to any training set by themselves.
        let learnt: Vec<usize> = reached.iter().copied().filter(|row| !is_known(row)).collect();
        let picked = target.select(Axis(0), &learnt);
        let rows = concatenate(Axis(0), &[source.view(), picked.view()]).map_err(|e| Error::Data(e.to_string()))?;
        let (mut all, mut weights) = (labels.to_vec(), vec![1.0; labels.len()]);
        for &row in &learnt {
            let class = first_maximum(of_target.row(row));
            all.push(class);
            weights.push(of_target[[row, class]]);
        }
        let mut adapted = Adapted::new(Training::Rows { x: rows, labels: all, weights }, Serving::AsIs);
        let unreached = target.nrows() - reached.len();
        adapted.figures = vec![("iterations", iterations as f64), ("unreached_rows", unreached as f64)];
        if unreached > 0 {
            adapted.notes.push(format!("no label spreads to {unreached} of {} target rows", target.nrows()));
        }
        adapted.labelled = Some(of_target);
        Ok(adapted)
    }
}

/// Edges from each row to its nearest others, and what each end divides by.
struct Graph {
    others: Vec<Vec<usize>>,
    /// One over the root of the number of rows that a row is a neighbour of; 1 where there are none.
    inverse_roots: Vec<f64>,
}

impl Graph {
    fn new(mut others: Vec<Vec<usize>>) -> Self {
        let mut degrees = vec![0_usize; others.len()];
        for (row, others) in others.iter_mut().enumerate() {
            others.retain(|&other| other != row);
            others.iter().for_each(|&other| degrees[other] += 1);
        }
        let inverse_roots = degrees.into_iter().map(|degree| 1.0 / (degree.max(1) as f64).sqrt()).collect();
        Self { others, inverse_roots }
    }

    fn times(&self, values: &Array2<f64>) -> Array2<f64> {
        let mut product = Array2::zeros(values.dim());
        for ((row, others), mut sum) in self.others.iter().enumerate().zip(product.rows_mut()) {
            for &other in others {
                sum.scaled_add(self.inverse_roots[row] * self.inverse_roots[other], &values.row(other));
            }
        }
        product
    }
}
