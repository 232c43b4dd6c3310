//! The nearest class mean: no solver, no penalty, and a fit of one pass.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::linear::{Input, LinearHead};
use super::standardize::Scaler;
use super::training::count_classes;
use crate::error::Result;

/// How near an embedding is to a centroid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distance {
    /// Angles: embeddings and centroids have length 1, and the logit is their product (the default). These are the
    /// prototypes of few-shot learning.
    #[default]
    Cosine,
    /// Straight lines, as scikit-learn's `NearestCentroid`: `‖x − c‖² = ‖x‖² − (2·x·c − ‖c‖²)`, and the logit is what
    /// is in brackets.
    Euclidean,
}

/// Nearest-centroid classification, a linear head. The logits rank the classes; their softmax is no calibrated probability.
///
/// ```
/// use engraft::head::Centroid;
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.9], [1.0, 0.1], [0.8, 0.0]];
/// let head = Centroid::new().fit(x.view(), &[0, 0, 1, 1])?;
/// assert_eq!(head.classify(x.view())?, array![0, 0, 1, 1]);
/// # Ok::<(), engraft::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Centroid {
    distance: Distance,
}

impl Centroid {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How near is measured; by cosine unless told otherwise.
    pub fn distance(mut self, distance: Distance) -> Self {
        self.distance = distance;
        self
    }

    /// Fits a head on n×d features and n class indices `0..K` that each occur. A centroid of length 0 stays 0.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when there are no rows, no columns, fewer than two classes, a class without rows, or a value
    /// that is not finite; [`crate::Error::Mismatch`] when there is another number of labels than rows.
    pub fn fit(&self, x: ArrayView2<f32>, labels: &[usize]) -> Result<LinearHead> {
        let classes = count_classes(x, labels)?;
        let input = match self.distance {
            Distance::Cosine => Input::UnitLength,
            Distance::Euclidean => Input::Raw,
        };
        let centroids = means(x, labels, classes, input);
        let (weights, intercepts) = match self.distance {
            Distance::Cosine => {
                let scaler = rows_alone(input, centroids.ncols());
                let unit = scaler.scaled(centroids.mapv(|v| v as f32).view());
                (unit.reversed_axes(), Array1::zeros(classes))
            }
            Distance::Euclidean => {
                let squares = centroids.map_axis(Axis(1), |c| c.dot(&c));
                (2.0 * centroids.reversed_axes(), -squares)
            }
        };
        LinearHead::new(weights.mapv(|v| v as f32), intercepts.mapv(|v| v as f32), input)
    }
}

/// Leaves columns as they are.
fn rows_alone(input: Input, d: usize) -> Scaler {
    Scaler { input, mean: Array1::zeros(d), inverse: Array1::ones(d) }
}

/// K×d, summed in f64.
fn means(x: ArrayView2<f32>, labels: &[usize], classes: usize, input: Input) -> Array2<f64> {
    let scaler = rows_alone(input, x.ncols());
    let mut sums = Array2::<f64>::zeros((classes, x.ncols()));
    let mut counts = Array1::<f64>::zeros(classes);
    for (rows, labels) in x.axis_chunks_iter(Axis(0), 256).zip(labels.chunks(256)) {
        for (row, &label) in scaler.scaled(rows).rows().into_iter().zip(labels) {
            sums.row_mut(label).scaled_add(1.0, &row);
            counts[label] += 1.0;
        }
    }
    sums / &counts.insert_axis(Axis(1))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[derive(Deserialize)]
    struct Golden {
        euclidean: Vec<usize>,
        cosine: Vec<usize>,
        centroids: Vec<f64>,
        rows: Vec<usize>,
        distances: Vec<f64>,
    }

    #[test]
    fn every_row_is_classified_as_scikit_learn_does() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/head/centroid.json")).unwrap();
        let (x, labels) = super::super::goldens::digits();
        let euclidean = Centroid::new().distance(Distance::Euclidean).fit(x.view(), &labels).unwrap();
        assert_eq!(euclidean.classify(x.view()).unwrap().to_vec(), golden.euclidean);
        assert_close(means(x.view(), &labels, 10, Input::Raw), golden.centroids.iter().copied(), Tolerance::Close);
        let some = x.select(Axis(0), &golden.rows);
        let lengths = some.map_axis(Axis(1), |row| row.dot(&row)).insert_axis(Axis(1));
        let distances = (lengths - euclidean.logits(some.view()).unwrap()).mapv(f32::sqrt);
        assert_close(distances, golden.distances, Tolerance::Approximate);
        let cosine = Centroid::new().fit(x.view(), &labels).unwrap();
        assert_eq!(cosine.classify(x.view()).unwrap().to_vec(), golden.cosine);
    }

    #[test]
    fn a_class_of_zero_vectors_keeps_its_centroid_at_zero() {
        let x = ndarray::array![[0.0_f32, 0.0], [3.0, 4.0]];
        let head = Centroid::new().fit(x.view(), &[0, 1]).unwrap();
        assert_close(head.weights().iter().copied(), [0.0, 0.6, 0.0, 0.8], Tolerance::Approximate);
    }
}
