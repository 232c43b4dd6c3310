//! How each class has moved.

use ndarray::{Array1, Array2, ArrayView2};
use serde::Serialize;

use super::super::domains::Domains;
use super::super::linear::{Learn, Lesson};
use crate::error::Result;
use crate::logits::first_maximum;

/// How a class has moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassShift {
    /// Its share of the source rows.
    pub source_share: f64,
    /// Its share of the target rows, as the source's head predicts them, where their class is not known.
    pub predicted_share: f64,
    /// The distance between the means of its source rows and of these target rows, in multiples of the root of the mean squared distance
    /// of source rows to the mean of their class; none without target rows, or where source rows are their class's mean.
    pub distance: Option<f64>,
}

/// The shift of each of the K classes.
///
/// # Errors
/// Those of `learn`.
pub fn class_shifts(domains: &Domains, learn: &Learn) -> Result<Vec<ClassShift>> {
    let Domains { source, labels, classes, target, known, .. } = *domains;
    let head = learn(Lesson { x: source, labels, weights: None })?;
    let mut predicted: Vec<usize> = head.probabilities(target).rows().into_iter().map(first_maximum).collect();
    known.iter().for_each(|&(row, class)| predicted[row] = class);
    let (own, counts) = means(source, labels, classes);
    let (moved, moved_counts) = means(target, &predicted, classes);
    let squares: f64 = source
        .rows()
        .into_iter()
        .zip(labels)
        .map(|(row, &label)| row.iter().zip(own.row(label)).map(|(&x, m)| (f64::from(x) - m).powi(2)).sum::<f64>())
        .sum();
    let unit = (squares / labels.len() as f64).sqrt();
    let shift = |class: usize| {
        let difference = &own.row(class) - &moved.row(class);
        ClassShift {
            source_share: counts[class] / labels.len() as f64,
            predicted_share: moved_counts[class] / predicted.len() as f64,
            distance: (moved_counts[class] > 0.0 && unit > 0.0).then(|| difference.dot(&difference).sqrt() / unit),
        }
    };
    Ok((0..classes).map(shift).collect())
}

/// The means of the rows of each class, zeros where there are none, and their numbers.
fn means(x: ArrayView2<f32>, labels: &[usize], classes: usize) -> (Array2<f64>, Array1<f64>) {
    let (mut sums, mut counts) = (Array2::<f64>::zeros((classes, x.ncols())), Array1::<f64>::zeros(classes));
    for (row, &label) in x.rows().into_iter().zip(labels) {
        sums.row_mut(label).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        counts[label] += 1.0;
    }
    let divisors = counts.mapv(|count| count.max(1.0));
    (sums / divisors.insert_axis(ndarray::Axis(1)), counts)
}
