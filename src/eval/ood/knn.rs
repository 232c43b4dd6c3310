//! Distance to the k-th nearest neighbour.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Rows scored at a time, which bounds the memory for their distances.
const BLOCK: usize = 256;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Knn {
    k: usize,
    /// n×d, each row of unit length.
    rows: Array2<f32>,
}

impl Knn {
    pub(super) fn fit(features: ArrayView2<f32>, k: usize) -> Result<Self> {
        if k == 0 || k > features.nrows() {
            return Err(Error::Usage(format!("k is {k}: it must lie in 1..={}, the rows fitted on", features.nrows())));
        }
        Ok(Self { k, rows: unit(features)?.mapv(|x| x as f32) })
    }

    pub(super) fn scores(&self, features: ArrayView2<f32>) -> Result<Vec<f64>> {
        let (features, rows) = (unit(features)?, self.rows.mapv(f64::from));
        let mut scores = Vec::with_capacity(features.nrows());
        for block in features.axis_chunks_iter(Axis(0), BLOCK) {
            for cosines in block.dot(&rows.t()).rows() {
                let mut cosines = cosines.to_vec();
                let (_, cosine, _) = cosines.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
                // |x − y|² of unit vectors.
                scores.push((2.0 - 2.0 * *cosine).max(0.0).sqrt());
            }
        }
        Ok(scores)
    }
}

/// # Errors
/// [`Error::Data`] for a row of zeros, which has no direction.
fn unit(features: ArrayView2<f32>) -> Result<Array2<f64>> {
    let mut rows = features.mapv(f64::from);
    for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
        let length = row.dot(&row).sqrt();
        if length == 0.0 {
            return Err(Error::Data(format!("the features of row {i} are all zero: it has no direction")));
        }
        row /= length;
    }
    Ok(rows)
}
