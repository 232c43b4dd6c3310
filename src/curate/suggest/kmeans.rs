//! k-means.

use ndarray::{Array2, ArrayView2, Axis};

use super::k_centre::squared_distance;
use crate::curate::similarity::by_blocks;
use crate::error::Result;
use crate::progress::Workers;

/// Lloyd's iterations at most; they end earlier when no row changes its cluster.
const ITERATIONS: usize = 100;

/// The cluster, below `k`, of each row of `x`: k-means++ (Arthur and Vassilvitskii, SODA 2007) by `seed`, then Lloyd's iterations. A
/// cluster may be left empty where there are fewer than k different rows.
pub(super) fn kmeans(x: ArrayView2<f32>, k: usize, seed: u64, workers: Workers) -> Result<Vec<usize>> {
    lloyd(x, plus_plus(x, k.clamp(1, x.nrows()), seed), workers)
}

/// k rows, each drawn with a probability in proportion to its squared distance to those drawn before.
fn plus_plus(x: ArrayView2<f32>, k: usize, seed: u64) -> Array2<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut rows = vec![rng.u64(..x.nrows() as u64) as usize];
    let mut distance = vec![f64::INFINITY; x.nrows()];
    while rows.len() < k {
        let last = x.row(rows[rows.len() - 1]);
        for (distance, row) in distance.iter_mut().zip(x.outer_iter()) {
            *distance = distance.min(squared_distance(row, last));
        }
        let mut left = rng.f64() * distance.iter().sum::<f64>();
        let drawn = distance.iter().position(|&d| {
            left -= d;
            left < 0.0
        });
        // Nothing is drawn where all that is left are copies.
        rows.push(drawn.unwrap_or(rows.len()));
    }
    x.select(Axis(0), &rows)
}

/// Lloyd's iterations from these centres.
fn lloyd(x: ArrayView2<f32>, mut centers: Array2<f32>, workers: Workers) -> Result<Vec<usize>> {
    let mut clusters = assign(x, &centers, workers)?;
    for _ in 1..ITERATIONS {
        let mut sums = Array2::<f64>::zeros(centers.raw_dim());
        let mut sizes = vec![0_usize; centers.nrows()];
        for (row, &cluster) in x.outer_iter().zip(&clusters) {
            sizes[cluster] += 1;
            sums.row_mut(cluster).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        }
        for ((mut center, sum), &size) in centers.outer_iter_mut().zip(sums.outer_iter()).zip(&sizes) {
            // An empty cluster keeps its centre.
            if size > 0 {
                center.assign(&sum.mapv(|sum| (sum / size as f64) as f32));
            }
        }
        let next = assign(x, &centers, workers)?;
        if next == clusters {
            break;
        }
        clusters = next;
    }
    Ok(clusters)
}

/// The nearest centre of each row, the first among equals: the one with the greatest `x·c − ‖c‖²/2`.
fn assign(x: ArrayView2<f32>, centers: &Array2<f32>, workers: Workers) -> Result<Vec<usize>> {
    let half: Vec<f32> = centers.outer_iter().map(|c| c.dot(&c) / 2.0).collect();
    let nearest = by_blocks(x, centers.view(), workers, |_, products| {
        let nearest = |row: ndarray::ArrayView1<f32>| {
            let closer = |best: (usize, f32), (at, (&product, &half)): (usize, (&f32, &f32))| {
                if product - half > best.1 { (at, product - half) } else { best }
            };
            row.iter().zip(&half).enumerate().fold((0, f32::NEG_INFINITY), closer).0
        };
        products.outer_iter().map(nearest).collect::<Vec<usize>>()
    })?;
    Ok(nearest.concat())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn workers(threads: usize) -> Workers<'static> {
        Workers { threads: std::num::NonZeroUsize::new(threads).unwrap(), progress: &() }
    }

    #[test]
    fn scikit_learns_clusters_are_reached() {
        #[derive(Deserialize)]
        struct Case {
            columns: usize,
            x: Vec<f32>,
            start: Vec<usize>,
            clusters: Vec<usize>,
        }
        #[derive(Deserialize)]
        struct Golden {
            kmeans: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/curate/suggest.json")).unwrap();
        for case in golden.kmeans {
            let x = Array2::from_shape_vec((case.x.len() / case.columns, case.columns), case.x).unwrap();
            let centers = x.select(Axis(0), &case.start);
            assert_eq!(lloyd(x.view(), centers.clone(), workers(1)).unwrap(), case.clusters);
            assert_eq!(lloyd(x.view(), centers, workers(3)).unwrap(), case.clusters);
        }
    }

    #[test]
    fn separate_heaps_are_told_apart_under_any_seed() {
        let mut rng = fastrand::Rng::with_seed(5);
        let x = Array2::from_shape_fn((60, 2), |(i, j)| 0.1 * rng.f32() + if i % 3 == j { 5.0 } else { 0.0 });
        for seed in 0..20 {
            let clusters = kmeans(x.view(), 3, seed, workers(1)).unwrap();
            assert!((0..60).all(|i| clusters[i] == clusters[i % 3]), "{clusters:?}");
            assert!(clusters[0] != clusters[1] && clusters[1] != clusters[2] && clusters[0] != clusters[2]);
        }
    }

    #[test]
    fn copies_are_one_cluster() {
        let x = Array2::<f32>::ones((5, 2));
        assert_eq!(kmeans(x.view(), 3, 0, workers(1)).unwrap(), [0; 5]);
        assert_eq!(kmeans(x.view(), 99, 0, workers(1)).unwrap(), [0; 5]);
    }
}
