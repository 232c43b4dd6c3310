//! The k most similar rows, exactly.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::error::Result;
use crate::progress::Workers;

/// Queries, and candidates, that are compared at a time: their products fit the cache.
const QUERIES: usize = 64;
const CANDIDATES: usize = 2048;

/// A candidate's row and its product with the query.
pub(crate) type Neighbour = (u32, f32);

/// Which rows a query may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidates<'a> {
    All,
    /// Not the row of the query's own index: the queries are the candidates, each left out in turn.
    Others,
    /// No row of the query's own group, of these groups of the rows: the queries are the candidates, each group left out in turn.
    OtherGroups(&'a [usize]),
}

impl Candidates<'_> {
    fn allows(self, query: usize, candidate: usize) -> bool {
        match self {
            Self::All => true,
            Self::Others => candidate != query,
            Self::OtherGroups(groups) => groups[candidate] != groups[query],
        }
    }
}

/// For each of m×d queries the `k` of n×d candidates with the greatest product, greatest first, the lower row among equals.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted).
pub(crate) fn search(
    queries: ArrayView2<f32>,
    candidates: ArrayView2<f32>,
    k: usize,
    which: Candidates,
    workers: Workers,
) -> Result<Vec<Vec<Neighbour>>> {
    let found = workers.by_blocks(queries.nrows(), QUERIES, |range| {
        let mut found = vec![Vec::new(); range.len()];
        search_block(queries.slice(s![range.clone(), ..]), range.start, candidates, k, which, &mut found);
        found
    })?;
    Ok(found.into_iter().flatten().collect())
}

fn search_block(
    queries: ArrayView2<f32>,
    first_query: usize,
    candidates: ArrayView2<f32>,
    k: usize,
    which: Candidates,
    found: &mut [Vec<Neighbour>],
) {
    for (block, rows) in candidates.axis_chunks_iter(Axis(0), CANDIDATES).enumerate() {
        let products: Array2<f32> = queries.dot(&rows.t());
        for ((row, found), query) in products.rows().into_iter().zip(found.iter_mut()).zip(first_query..) {
            let worst = if found.len() == k { found.last().copied() } else { None };
            for (candidate, &product) in row.iter().enumerate() {
                let candidate = block * CANDIDATES + candidate;
                if worst.is_none_or(|(_, worst)| product > worst) && which.allows(query, candidate) {
                    found.push((candidate as u32, product));
                }
            }
            if found.len() > k {
                found.select_nth_unstable_by(k, better);
                found.truncate(k);
            }
            found.sort_unstable_by(better);
        }
    }
}

fn better(a: &Neighbour, b: &Neighbour) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    /// Small whole numbers: products are exact, and many are equal.
    fn table(n: usize, seed: u64) -> Array2<f32> {
        let mut rng = fastrand::Rng::with_seed(seed);
        Array2::from_shape_fn((n, 3), |_| rng.i32(-2..=2) as f32)
    }

    #[test]
    fn it_is_a_full_sort() {
        let (queries, candidates) = (table(150, 1), table(5000, 2));
        let groups: Vec<usize> = (0..5000).map(|row| row / 7 % 9).collect();
        let apart = Candidates::OtherGroups(&groups);
        for (k, which) in [(1, Candidates::All), (40, Candidates::Others), (5000, Candidates::All), (40, apart)] {
            let threads = |n| Workers { threads: NonZeroUsize::new(n).unwrap(), progress: &() };
            let search = |n| search(queries.view(), candidates.view(), k, which, threads(n)).unwrap();
            let got = search(1);
            let products = queries.dot(&candidates.t());
            for (i, (got, row)) in got.iter().zip(products.rows()).enumerate() {
                let allowed = |j: &u32| match which {
                    Candidates::All => true,
                    Candidates::Others => *j != i as u32,
                    Candidates::OtherGroups(_) => *j as usize / 7 % 9 != i / 7 % 9,
                };
                let mut want: Vec<u32> = (0..5000).filter(allowed).collect();
                want.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
                want.truncate(k);
                assert_eq!(got.iter().map(|n| n.0).collect::<Vec<_>>(), want, "query {i}, k {k}");
            }
            assert_eq!(got, search(3));
        }
    }
}
