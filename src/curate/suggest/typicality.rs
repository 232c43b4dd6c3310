//! The cold start: typical samples of different clusters.

use std::cmp::Reverse;

use ndarray::{Array2, ArrayView2, Axis};

use super::kmeans::kmeans;
use super::{Suggestion, check_rows};
use crate::curate::check::check_features;
use crate::curate::similarity::{chord, unit_rows};
use crate::error::Result;
use crate::head::{Candidates, Neighbour, search};
use crate::progress::Workers;

/// Clusters at most, of this size or less left out, and neighbours that tell how typical a row is: the values of the paper.
const MOST_CLUSTERS: usize = 500;
const SMALL_CLUSTER: usize = 5;
const NEIGHBOURS: usize = 20;

/// Up to `count` unlabelled rows of the n×d `x`, each the most typical of a cluster: TypiClust (Hacohen, Dekel and Weinshall,
/// "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets", ICML 2022).
///
/// k-means makes as many clusters as there will be labels, 500 at most. Those with the fewest labelled rows come first, of these
/// the largest. The score, the typicality, is one over the mean distance to the 20 nearest neighbours in the cluster, or to half of
/// a smaller one. Rows are divided by their length.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when there are no values, one is not finite, or a labelled row is given twice or not below n;
/// [`Error::Interrupted`](crate::Error::Interrupted).
pub fn typicality(
    x: ArrayView2<f32>,
    labelled: &[usize],
    count: usize,
    seed: u64,
    workers: Workers,
) -> Result<Vec<Suggestion>> {
    check_features(x)?;
    let known = check_rows("labelled", labelled, x.nrows())?;
    let unit = unit_rows(x);
    let clusters = kmeans(unit.view(), (labelled.len() + count).min(MOST_CLUSTERS), seed, workers)?;
    most_typical(&unit, &clusters, known, count, workers)
}

/// What is left of a cluster.
struct Cluster {
    labelled: usize,
    size: usize,
    rows: Vec<usize>,
}

fn most_typical(
    unit: &Array2<f32>,
    clusters: &[usize],
    known: Vec<bool>,
    count: usize,
    workers: Workers,
) -> Result<Vec<Suggestion>> {
    let number = clusters.iter().max().map_or(0, |last| last + 1);
    let mut all: Vec<Cluster> = (0..number).map(|_| Cluster { labelled: 0, size: 0, rows: Vec::new() }).collect();
    for (row, &cluster) in clusters.iter().enumerate() {
        let cluster = &mut all[cluster];
        cluster.size += 1;
        match known[row] {
            true => cluster.labelled += 1,
            false => cluster.rows.push(row),
        }
    }
    // Small clusters are outliers; they are asked about when there is nothing else.
    let (mut order, mut small): (Vec<Cluster>, Vec<Cluster>) =
        all.into_iter().partition(|cluster| cluster.size > SMALL_CLUSTER);
    let mut chosen = Vec::new();
    for group in [&mut order, &mut small] {
        group.sort_by_key(|cluster| (cluster.labelled, Reverse(cluster.size)));
        while chosen.len() < count && group.iter().any(|cluster| !cluster.rows.is_empty()) {
            for cluster in group.iter_mut().filter(|cluster| !cluster.rows.is_empty()) {
                if chosen.len() == count {
                    break;
                }
                let (at, score) = typical(unit, &cluster.rows, workers)?;
                chosen.push(Suggestion { row: cluster.rows.remove(at), score });
            }
        }
    }
    Ok(chosen)
}

/// The place of the most typical of these rows, the first among equals, and its typicality.
fn typical(unit: &Array2<f32>, rows: &[usize], workers: Workers) -> Result<(usize, f64)> {
    let own = unit.select(Axis(0), rows);
    let neighbours = NEIGHBOURS.min(rows.len() / 2).max(1).min(rows.len() - 1);
    if neighbours == 0 {
        return Ok((0, 0.0));
    }
    let found = search(own.view(), own.view(), neighbours, Candidates::Others, workers)?;
    let distance = |found: &Vec<Neighbour>| found.iter().map(|&(_, cosine)| chord(cosine)).sum::<f64>();
    let typicality: Vec<f64> = found.iter().map(|found| 1.0 / (distance(found) / neighbours as f64 + 1e-5)).collect();
    let best = (1..rows.len()).fold(0, |best, at| if typicality[at] > typicality[best] { at } else { best });
    Ok((best, typicality[best]))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    fn workers(threads: usize) -> Workers<'static> {
        Workers { threads: std::num::NonZeroUsize::new(threads).unwrap(), progress: &() }
    }

    #[test]
    fn the_papers_choice_is_made_of_given_clusters() {
        #[derive(Deserialize)]
        struct Case {
            columns: usize,
            x: Vec<f32>,
            clusters: Vec<usize>,
            labelled: Vec<usize>,
            chosen: Vec<usize>,
            scores: Vec<f64>,
        }
        #[derive(Deserialize)]
        struct Golden {
            typicality: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/curate/suggest.json")).unwrap();
        assert!(golden.typicality.len() > 1);
        for case in golden.typicality {
            let x = Array2::from_shape_vec((case.x.len() / case.columns, case.columns), case.x).unwrap();
            let known = check_rows("labelled", &case.labelled, x.nrows()).unwrap();
            let got = most_typical(&unit_rows(x.view()), &case.clusters, known, case.chosen.len(), workers(1)).unwrap();
            assert_eq!(got.iter().map(|s| s.row).collect::<Vec<_>>(), case.chosen);
            assert_close(got.iter().map(|s| s.score), case.scores, Tolerance::Within(1e-4));
        }
    }

    #[test]
    fn each_heap_is_asked_about_once() {
        let mut rng = fastrand::Rng::with_seed(2);
        let x = Array2::from_shape_fn((80, 4), |(i, j)| 0.2 * rng.f32() + if i % 4 == j { 1.0 } else { 0.0 });
        let ask =
            |labelled: &[usize], count, threads| typicality(x.view(), labelled, count, 0, workers(threads)).unwrap();
        let mut heaps: Vec<usize> = ask(&[], 4, 1).iter().map(|s| s.row % 4).collect();
        heaps.sort_unstable();
        assert_eq!(heaps, [0, 1, 2, 3]);
        // Of a heap that has a label nothing is asked.
        assert!(ask(&[5, 10], 2, 1).iter().all(|s| s.row % 4 == 0 || s.row % 4 == 3));
        assert_eq!(ask(&[1, 2], 10, 1), ask(&[1, 2], 10, 3));
        // Never more than there are, none twice, none that has a label.
        let mut all: Vec<usize> = ask(&[7], 500, 2).iter().map(|s| s.row).collect();
        all.sort_unstable();
        assert_eq!(all, (0..80).filter(|&row| row != 7).collect::<Vec<_>>());
    }
}
