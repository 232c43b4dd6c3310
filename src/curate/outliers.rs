//! Samples that are like no other.

use std::num::NonZeroUsize;

use ndarray::ArrayView2;

use super::check::check_features;
use super::similarity::{chord, unit_rows};
use crate::error::{Error, Result};
use crate::eval::percentile;
use crate::head::{Candidates, search};
use crate::progress::Workers;

/// How far a row lies from its neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Isolation {
    /// Euclidean distance of the unit-length row to its k-th nearest neighbour, 0..=2.
    pub distance: f64,
    /// The distance as a robust z-score over all rows: [`robust_z`]. Above 3.5 counts as an outlier.
    pub z: f64,
}

/// The distance of each row of the n×d `x` to its `k`-th nearest neighbour, rows divided by their length (Sun et al.,
/// "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022). Where there are fewer than k others, to the
/// farthest of them.
///
/// # Errors
/// [`Error::Data`] when there are fewer than two rows, no columns, or a value is not finite; [`Error::Interrupted`].
pub fn isolation(x: ArrayView2<f32>, k: NonZeroUsize, workers: Workers) -> Result<Vec<Isolation>> {
    check_features(x)?;
    if x.nrows() < 2 {
        return Err(Error::Data("one row has no neighbours".into()));
    }
    let k = k.get().min(x.nrows() - 1);
    let unit = unit_rows(x);
    let found = search(unit.view(), unit.view(), k, Candidates::Others, workers)?;
    let distances: Vec<f64> = found.iter().filter_map(|found| Some(chord(found.last()?.1))).collect();
    let z = robust_z(&distances);
    Ok(distances.into_iter().zip(z).map(|(distance, z)| Isolation { distance, z }).collect())
}

/// `(x − median) / (1.4826·MAD)` of each value, MAD being the median absolute deviation; where that is 0,
/// `(x − median) / (1.2533·mean absolute deviation)` (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993), and 0
/// where all values are equal.
pub fn robust_z(values: &[f64]) -> Vec<f64> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        percentile(&values, 0.5)
    };
    let center = median(values.to_vec());
    let deviations: Vec<f64> = values.iter().map(|v| (v - center).abs()).collect();
    let mean = deviations.iter().sum::<f64>() / values.len() as f64;
    let scale = match 1.482_602_218_505_602 * median(deviations) {
        mad if mad > 0.0 => mad,
        _ => 1.253_314_137_315_5 * mean,
    };
    values.iter().map(|v| if scale > 0.0 { (v - center) / scale } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::close::{Tolerance, assert_close};

    const ONE: Workers = Workers { threads: NonZeroUsize::MIN, progress: &() };

    fn at(degrees: &[f64]) -> Array2<f32> {
        let value = |(i, j): (usize, usize)| {
            let angle = degrees[i].to_radians();
            (if j == 0 { angle.cos() } else { angle.sin() } * (i + 1) as f64) as f32
        };
        Array2::from_shape_fn((degrees.len(), 2), value)
    }

    #[test]
    fn distances_are_chords_to_the_kth_neighbour() {
        let chord = |degrees: f64| 2.0 * (degrees.to_radians() / 2.0).sin();
        let x = at(&[0.0, 10.0, 25.0, 180.0]);
        let distances = |k| {
            let found = isolation(x.view(), NonZeroUsize::new(k).unwrap(), ONE).unwrap();
            found.into_iter().map(|row| row.distance).collect::<Vec<_>>()
        };
        assert_close(distances(1), [10.0, 10.0, 15.0, 155.0].map(chord), Tolerance::Approximate);
        assert_close(distances(2), [25.0, 15.0, 25.0, 170.0].map(chord), Tolerance::Approximate);
        assert_eq!(distances(3), distances(99));
    }

    #[test]
    fn a_stranger_stands_out() {
        let mut degrees: Vec<f64> = (0..60).map(|i| f64::from(i * i % 61) * 0.3).collect();
        degrees.push(170.0);
        let found = isolation(at(&degrees).view(), NonZeroUsize::new(5).unwrap(), ONE).unwrap();
        assert!(found[60].z > 3.5);
        assert!(found[..60].iter().all(|row| row.z < 20.0 && row.z < found[60].z / 5.0));
    }

    #[test]
    fn z_scores_are_the_formulas() {
        // Median 3, absolute deviations 2 1 0 1 97: MAD 1.
        let scale = 1.482_602_218_505_602;
        assert_close(
            robust_z(&[1.0, 2.0, 3.0, 4.0, 100.0]),
            [-2.0, -1.0, 0.0, 1.0, 97.0].map(|v| v / scale),
            Tolerance::Close,
        );
        // MAD 0, mean absolute deviation 2.
        let scale = 1.253_314_137_315_5 * 2.0;
        assert_close(robust_z(&[5.0, 5.0, 5.0, 5.0, 15.0]), [0.0, 0.0, 0.0, 0.0, 10.0 / scale], Tolerance::Close);
        assert_eq!(robust_z(&[2.0, 2.0]), [0.0, 0.0]);
        assert_eq!(robust_z(&[]), [] as [f64; 0]);
    }

    #[test]
    fn neighbours_there_must_be() {
        let (one, workers) = (NonZeroUsize::MIN, ONE);
        assert!(matches!(isolation(array![[1.0_f32]].view(), one, workers), Err(Error::Data(_))));
        assert!(matches!(isolation(array![[1.0_f32], [f32::NAN]].view(), one, workers), Err(Error::Data(_))));
        assert!(matches!(isolation(Array2::zeros((0, 3)).view(), one, workers), Err(Error::Data(_))));
    }
}
