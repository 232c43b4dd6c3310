//! Rows summed in stretches, side by side.

use std::num::NonZeroUsize;
use std::ops::Range;

use crate::progress::Workers;

/// Their number is fixed, so that sums over them do not depend on the threads.
const STRETCHES: usize = 4;

/// `sum` of each of four stretches of `rows` rows, in their order, on at most `threads` threads.
pub(crate) fn in_stretches<T: Send>(rows: usize, threads: usize, sum: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let stretch = |i: usize| i * rows / STRETCHES..(i + 1) * rows / STRETCHES;
    let workers = Workers { threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN), progress: &() };
    // Nobody interrupts it.
    workers.by_blocks(STRETCHES, 1, |i| sum(stretch(i.start))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_all_rows_in_order_on_any_number_of_threads() {
        for (rows, threads) in [(0, 1), (3, 2), (10, 3), (11, 9)] {
            let parts = in_stretches(rows, threads, |rows| rows.collect::<Vec<_>>());
            assert_eq!(parts.len(), STRETCHES);
            assert_eq!(parts.concat(), (0..rows).collect::<Vec<_>>());
        }
    }
}
