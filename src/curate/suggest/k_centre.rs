//! Farthest first.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::{Suggestion, check_rows};
use crate::curate::check::check_features;
use crate::curate::similarity::unit_rows;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Up to `count` of the `candidates`, each the farthest from the `labelled` rows and from those chosen before it: the greedy
/// k-centre, within twice the least possible radius (Gonzalez, Theor. Comput. Sci. 38, 1985; as active learning: Sener and
/// Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018).
///
/// Distances are Euclidean between rows of the n×d `x` divided by their length; the score is the distance at the time of the
/// choice, 0..=2. Of equally far rows the first among the candidates is taken. Where nothing is labelled, the first choice is the
/// candidate nearest to the mean, with the score 2. Costs `count·n·d`.
///
/// # Errors
/// [`Error::Data`] when there are no values, one is not finite, or a row is given twice or not below n;
/// [`Error::Interrupted`].
pub fn k_centre(
    x: ArrayView2<f32>,
    labelled: &[usize],
    candidates: &[usize],
    count: usize,
    progress: &dyn Progress,
) -> Result<Vec<Suggestion>> {
    check_features(x)?;
    check_rows("labelled", labelled, x.nrows())?;
    check_rows("candidate", candidates, x.nrows())?;
    let pool = unit_rows(x.select(Axis(0), candidates).view());
    let labelled = unit_rows(x.select(Axis(0), labelled).view());
    // No two rows of length 1 are farther apart than 2.
    let mut distance = vec![4.0_f64; candidates.len()];
    let mut free = vec![true; candidates.len()];
    for center in labelled.outer_iter() {
        approach(&mut distance, &pool, center);
    }
    let mut chosen = Vec::new();
    while chosen.len() < count.min(candidates.len()) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let next = match (labelled.is_empty(), chosen.is_empty()) {
            (true, true) => central(&pool),
            _ => farthest(&distance, &free),
        };
        chosen.push(Suggestion { row: candidates[next], score: distance[next].sqrt() });
        free[next] = false;
        approach(&mut distance, &pool, pool.row(next));
    }
    Ok(chosen)
}

/// Lowers the squared distances to those to `center`, where they are less.
fn approach(distance: &mut [f64], pool: &Array2<f32>, center: ArrayView1<f32>) {
    for (distance, row) in distance.iter_mut().zip(pool.outer_iter()) {
        *distance = distance.min(squared_distance(row, center));
    }
}

/// ‖a − b‖², by differences: 2 − 2·cosine would lose what is near.
pub(super) fn squared_distance(a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

fn farthest(distance: &[f64], free: &[bool]) -> usize {
    let open = (0..distance.len()).filter(|&at| free[at]);
    open.fold(None, |best: Option<usize>, at| match best {
        Some(best) if distance[best] >= distance[at] => Some(best),
        _ => Some(at),
    })
    .unwrap_or(0)
}

/// The row nearest to the mean.
fn central(pool: &Array2<f32>) -> usize {
    let mean = pool.mean_axis(Axis(0)).unwrap_or_default();
    let distance: Vec<f64> = pool.outer_iter().map(|row| squared_distance(row, mean.view())).collect();
    (1..distance.len()).fold(0, |best, at| if distance[at] < distance[best] { at } else { best })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[derive(Deserialize)]
    struct Case {
        columns: usize,
        x: Vec<f32>,
        labelled: Vec<usize>,
        candidates: Vec<usize>,
        chosen: Vec<usize>,
        scores: Vec<f64>,
    }

    #[test]
    fn numpys_greedy_choice_is_made() {
        #[derive(Deserialize)]
        struct Golden {
            k_centre: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/curate/suggest.json")).unwrap();
        assert!(golden.k_centre.len() > 2);
        for case in golden.k_centre {
            let x = Array2::from_shape_vec((case.x.len() / case.columns, case.columns), case.x).unwrap();
            let got = k_centre(x.view(), &case.labelled, &case.candidates, case.chosen.len(), &()).unwrap();
            assert_eq!(got.iter().map(|s| s.row).collect::<Vec<_>>(), case.chosen);
            assert_close(got.iter().map(|s| s.score), case.scores, Tolerance::Approximate);
        }
    }

    #[test]
    fn the_candidates_end_the_choice() {
        let x = ndarray::array![[1.0_f32, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let rows = |labelled: &[usize], candidates: &[usize], count| {
            k_centre(x.view(), labelled, candidates, count, &()).unwrap().into_iter().map(|s| s.row).collect::<Vec<_>>()
        };
        assert_eq!(rows(&[0], &[1, 2], 9), [2, 1]);
        assert_eq!(rows(&[], &[0, 1, 2], 1), [1]);
        assert_eq!(rows(&[], &[], 5), [] as [usize; 0]);
        assert!(k_centre(x.view(), &[0], &[3], 1, &()).is_err());
    }
}
