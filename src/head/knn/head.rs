//! The fitted k-NN head.

use ndarray::{Array1, Array2, ArrayView2};

use super::super::linear::{Input, check_dimension};
use super::super::search::{Candidates, Neighbour, search};
use super::super::training::positive;
use crate::error::{Error, Result};
use crate::progress::Workers;

/// Share of the vote that is added to every class, so that one without a vote has a finite logit.
pub(crate) const FLOOR: f32 = 1e-6;

/// The vote of the k most similar training rows, by cosine.
///
/// A neighbour of similarity s votes with `exp(s/T)` for its class; the logits are `ln(share of the vote + 1e-6)`, so that
/// their softmax is the share of the vote itself (but for the floor). Equal similarities are taken by the lower row.
#[derive(Debug, Clone, PartialEq)]
pub struct KnnHead {
    /// n×d, of length 1 (or 0).
    rows: Array2<f32>,
    labels: Vec<usize>,
    classes: usize,
    neighbours: usize,
    temperature: f32,
}

impl KnnHead {
    /// A head of n×d embeddings, which are brought to unit length, their n classes below `classes`, the number of
    /// neighbours k, and the temperature T.
    ///
    /// # Errors
    /// When there are no rows or columns, fewer than two classes, another number of labels than rows, a label that is no
    /// class, a value that is not finite, k is not from 1 to n, or T is not above 0.
    pub fn new(
        rows: ArrayView2<f32>,
        labels: Vec<usize>,
        classes: usize,
        neighbours: usize,
        temperature: f32,
    ) -> Result<Self> {
        Self::of_unit_rows(Input::UnitLength.of(rows).into_owned(), labels, classes, neighbours, temperature)
    }

    /// As [`KnnHead::new`], and refuses rows that are neither of length 1 nor 0.
    pub(crate) fn of_unit_rows(
        rows: Array2<f32>,
        labels: Vec<usize>,
        classes: usize,
        neighbours: usize,
        temperature: f32,
    ) -> Result<Self> {
        let (n, d) = rows.dim();
        if n == 0 || d == 0 || classes < 2 || labels.len() != n || n > u32::MAX as usize {
            return Err(Error::Data(format!(
                "a k-NN head needs rows [n, d] with n ≥ 1, d ≥ 1, n labels and K ≥ 2, got [{n}, {d}], {} and {classes}",
                labels.len()
            )));
        }
        if let Some(row) = labels.iter().position(|&label| label >= classes) {
            return Err(Error::Data(format!("row {row} is of class {}, and there are {classes}", labels[row])));
        }
        if let Some(row) = rows.rows().into_iter().position(|row| !row.iter().all(|v| v.is_finite())) {
            return Err(Error::Data(format!("row {row} of the head is not finite")));
        }
        let is_unit = |square: f32| square < 1e-4 || (square - 1.0).abs() < 1e-4;
        if let Some(row) = rows.rows().into_iter().position(|row| !is_unit(row.dot(&row))) {
            return Err(Error::Data(format!("row {row} of the head has a length that is neither 1 nor 0")));
        }
        if neighbours == 0 || neighbours > n {
            return Err(Error::Data(format!("{neighbours} neighbours cannot be had of {n} rows")));
        }
        positive("the temperature", f64::from(temperature))?;
        Ok(Self { rows: rows.as_standard_layout().into_owned(), labels, classes, neighbours, temperature })
    }

    /// Length of the embeddings it takes.
    pub fn dimension(&self) -> usize {
        self.rows.ncols()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The training rows, n×d, of length 1.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// The class of each training row.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// k.
    pub fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// T.
    pub fn temperature(&self) -> f32 {
        self.temperature
    }

    /// The n×K logits of n×d embeddings.
    ///
    /// # Errors
    /// When the number of columns is not the head's dimension, or a value is not finite.
    pub fn logits(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        check_dimension(x, self.dimension())?;
        if let Some(row) = x.rows().into_iter().position(|row| !row.iter().all(|v| v.is_finite())) {
            return Err(Error::Data(format!("embedding {row} is not finite; rows count from 0")));
        }
        let queries = Input::UnitLength.of(x);
        let found = search(queries.view(), self.rows.view(), self.neighbours, Candidates::All, Workers::all())?;
        let mut logits = Array2::zeros((x.nrows(), self.classes));
        for (found, mut row) in found.iter().zip(logits.rows_mut()) {
            row.assign(&vote(found, &self.labels, self.classes, self.temperature).mapv(|v| (v + FLOOR).ln()));
        }
        Ok(logits)
    }
}

/// Share of each class in the vote of `found`, most similar first.
pub(super) fn vote(found: &[Neighbour], labels: &[usize], classes: usize, temperature: f32) -> Array1<f32> {
    let best = found.first().map_or(0.0, |n| n.1);
    let mut shares = Array1::zeros(classes);
    let mut total = 0.0;
    for &(row, similarity) in found {
        let weight = ((similarity - best) / temperature).exp();
        shares[labels[row as usize]] += weight;
        total += weight;
    }
    shares / total
}
