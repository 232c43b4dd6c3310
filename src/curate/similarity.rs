//! Cosines of all pairs of rows, a block at a time.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::error::{Error, Result};
use crate::progress::Progress;

/// Values of one block of cosines: 64 MiB.
const BLOCK_VALUES: usize = 1 << 24;
/// Rows of a block at most: enough for the product to run at full speed.
const BLOCK_ROWS: usize = 256;

/// Who compares all rows with all.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    /// How many threads; the results do not depend on it.
    pub threads: NonZeroUsize,
    /// Is told of the rows that are done, and may stop the work.
    pub progress: &'a dyn Progress,
}

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
    let blocks = queries.nrows().div_ceil(rows);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks || workers.progress.interrupted() {
                return done;
            }
            let range = block * rows..queries.nrows().min((block + 1) * rows);
            let cosines = queries.slice(s![range.clone(), ..]).dot(&base.t());
            let rows = range.len() as u64;
            done.push((block, visit(range, cosines.view())));
            workers.progress.advance(rows);
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..workers.threads.get().min(blocks)).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for helper in helpers {
            match helper.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    if workers.progress.interrupted() {
        return Err(Error::Interrupted);
    }
    all.sort_by_key(|&(block, _)| block);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}

/// The row of `base` nearest to each row of `queries` with its cosine, the first among equals. Both are of unit length.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn nearest(queries: ArrayView2<f32>, base: ArrayView2<f32>, workers: Workers) -> Result<Vec<(usize, f32)>> {
    let best = |_, cosines: ArrayView2<f32>| -> Vec<(usize, f32)> {
        let best =
            |(best, cosine): (usize, f32), (at, &c): (usize, &f32)| if c > cosine { (at, c) } else { (best, cosine) };
        cosines.axis_iter(Axis(0)).map(|row| row.iter().enumerate().fold((0, f32::NEG_INFINITY), best)).collect()
    };
    Ok(by_blocks(queries, base, workers, best)?.concat())
}
