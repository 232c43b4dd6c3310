//! The nearest rows of each row.

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::error::Result;
use crate::product::product;
use crate::progress::{Progress, Workers};

/// Rows of a block.
const BLOCK: usize = 256;
/// So many more rows than wanted are looked at in f64: products in f32 may mistake their order.
const SPARE: usize = 8;

/// The `k` rows nearest to each row by the Euclidean distance, itself among them as a rule, nearest first; all rows where they are fewer.
pub(super) fn nearest(x: ArrayView2<f32>, k: usize, progress: &dyn Progress) -> Result<Vec<Vec<usize>>> {
    let n = x.nrows();
    // Around their mean, so that differences keep their digits.
    let mean = x.mapv(f64::from).sum_axis(Axis(0)) / n as f64;
    let centred = (x.mapv(f64::from) - &mean).mapv(|v| v as f32);
    let squares: Vec<f32> = centred.rows().into_iter().map(|row| row.dot(&row)).collect();
    let workers = Workers { progress, ..Workers::all() };
    let blocks = workers.by_blocks(n, BLOCK, |rows| {
        let mut products = Array2::<f32>::zeros((rows.len(), n));
        product(centred.slice(s![rows.clone(), ..]), centred.t(), products.view_mut());
        rows.zip(products.rows())
            .map(|(row, products)| {
                let mut rough: Vec<(f32, usize)> = products
                    .iter()
                    .zip(&squares)
                    .enumerate()
                    .map(|(other, (p, square))| (square - 2.0 * p, other))
                    .collect();
                let looked_at = (k + SPARE).min(n);
                if looked_at < n {
                    rough.select_nth_unstable_by(looked_at, |a, b| a.0.total_cmp(&b.0));
                    rough.truncate(looked_at);
                }
                let own = x.row(row);
                let exact = |other: usize| {
                    own.iter().zip(x.row(other)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>()
                };
                let mut near: Vec<(f64, usize)> = rough.into_iter().map(|(_, other)| (exact(other), other)).collect();
                near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                near.into_iter().take(k).map(|(_, other)| other).collect()
            })
            .collect::<Vec<Vec<usize>>>()
    })?;
    Ok(blocks.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_those_of_a_plain_search() {
        let mut rng = fastrand::Rng::with_seed(3);
        let x = Array2::from_shape_simple_fn((300, 6), || rng.f32() + 100.0);
        let found = nearest(x.view(), 5, &()).unwrap();
        for (row, found) in found.iter().enumerate() {
            let distance = |other: usize| {
                x.row(row).iter().zip(x.row(other)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
            };
            let mut all: Vec<usize> = (0..300).collect();
            all.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            assert_eq!(found, &all[..5]);
        }
        assert_eq!(nearest(x.slice(s![..3, ..]), 5, &()).unwrap()[1].len(), 3);
    }
}
