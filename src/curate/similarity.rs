//! Cosines of all pairs of rows, a block at a time.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

use crate::error::Result;
use crate::progress::Workers;

/// Values of one block of cosines: 64 MiB.
const BLOCK_VALUES: usize = 1 << 24;
/// Rows of a block at most: enough for the product to run at full speed.
const BLOCK_ROWS: usize = 256;

/// Rows divided by their Euclidean length; a row of zeros stays so, and has the cosine 0 to every row.
pub(super) fn unit_rows(x: ArrayView2<f32>) -> Array2<f32> {
    let mut unit = x.as_standard_layout().into_owned();
    for mut row in unit.outer_iter_mut() {
        // In f64: squares of large values overflow f32.
        let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.mapv_inplace(|v| (f64::from(v) / length) as f32);
        }
    }
    unit
}

/// The Euclidean distance of two rows of unit length with this cosine.
pub(super) fn chord(cosine: f32) -> f64 {
    (2.0 - 2.0 * f64::from(cosine)).max(0.0).sqrt()
}

/// Calls `visit` with stretches of the rows of `queries`, and their cosines to all rows of `base`; returns what it gives in the
/// order of the rows, whatever the number of threads. Both are of unit length.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn by_blocks<T: Send>(
    queries: ArrayView2<f32>,
    base: ArrayView2<f32>,
    workers: Workers,
    visit: impl Fn(Range<usize>, ArrayView2<f32>) -> T + Sync,
) -> Result<Vec<T>> {
    let rows = (BLOCK_VALUES / base.nrows().max(1)).clamp(1, BLOCK_ROWS);
    workers.by_blocks(queries.nrows(), rows, |range| {
        let cosines = queries.slice(s![range.clone(), ..]).dot(&base.t());
        visit(range, cosines.view())
    })
}
