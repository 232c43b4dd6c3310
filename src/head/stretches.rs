//! Rows summed in stretches, side by side.

use std::ops::Range;

/// Their number is fixed, so that sums over them do not depend on the threads.
const STRETCHES: usize = 4;

/// `sum` of each of four stretches of `rows` rows, in their order, on at most `threads` threads.
pub(crate) fn in_stretches<T: Send>(rows: usize, threads: usize, sum: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let stretch = |i: usize| i * rows / STRETCHES..(i + 1) * rows / STRETCHES;
    let together = threads.clamp(1, STRETCHES);
    let some = |first: usize| (first..STRETCHES).step_by(together).map(|i| (i, sum(stretch(i)))).collect::<Vec<_>>();
    let mut sums: Vec<(usize, T)> = std::thread::scope(|scope| {
        let some = &some;
        let others: Vec<_> = (1..together).map(|first| scope.spawn(move || some(first))).collect();
        let own = some(0);
        // A panic of a thread goes on here.
        let others = others
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        own.into_iter().chain(others).collect()
    });
    sums.sort_by_key(|(i, _)| *i);
    sums.into_iter().map(|(_, sum)| sum).collect()
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
