//! Out-of-distribution detectors for a head.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::eval::{KEPT, Ood, Score, percentile};
use crate::head::{Detector, Strangeness};

/// A detector by energy whose threshold keeps 95 % of the n×K out-of-fold `logits`.
///
/// # Errors
/// [`Error::Data`] when there are no rows or a logit is not finite.
pub fn energy_detector(logits: ArrayView2<f32>) -> Result<Detector> {
    let detector = Detector { score: Strangeness::Energy, threshold: 0.0 };
    // Energies see logits alone.
    let mut known: Vec<f64> = detector.scores(logits, logits)?.iter().copied().map(f64::from).collect();
    if known.is_empty() {
        return Err(Error::Data("an out-of-distribution score needs rows".into()));
    }
    if let Some(row) = known.iter().position(|score| !score.is_finite()) {
        return Err(Error::Data(format!("the energy of row {row} is {}", known[row])));
    }
    known.sort_by(f64::total_cmp);
    Ok(Detector { threshold: percentile(&known, KEPT), ..detector })
}

/// A detector by the Mahalanobis distance to the nearest of `classes` class means of n×d features `x`; its threshold keeps
/// 95 % of the rows, judged by distances that were fitted on others.
///
/// # Errors
/// As [`Ood::fit`].
pub fn mahalanobis_detector(x: ArrayView2<f32>, (labels, classes): (&[usize], usize)) -> Result<Detector> {
    // The distance sees features alone.
    let weights = Array2::zeros((x.ncols(), classes));
    let fitted = Ood::fit(Score::Mahalanobis, x, labels, weights.view(), Array1::zeros(classes).view())?;
    let (Some((whiten, means)), Some(center)) = (fitted.mahalanobis(), x.mean_axis(Axis(0))) else {
        return Err(Error::Data("the Mahalanobis distance was not fitted".into()));
    };
    // Centred, single precision keeps what tells rows apart.
    let means = &means - &center.mapv(f64::from).dot(&whiten);
    let single = |values: ArrayView2<f64>| values.mapv(|v| v as f32).as_standard_layout().into_owned();
    let score = Strangeness::Mahalanobis { center, whiten: single(whiten), means: single(means.view()) };
    Ok(Detector { score, threshold: fitted.threshold() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// Rows of three classes around places far from 0.
    fn rows(n: usize) -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(5);
        let labels: Vec<usize> = (0..n).map(|row| row % 3).collect();
        let x = Array2::from_shape_fn((n, 6), |(row, column)| {
            let place = if column == labels[row] { 4.0 } else { 0.0 };
            10.0 + place + rng.f32() + rng.f32()
        });
        (x, labels)
    }

    #[test]
    fn the_distance_is_the_evaluations() {
        let (x, labels) = rows(200);
        let weights = Array2::zeros((6, 3));
        let fitted = Ood::fit(Score::Mahalanobis, x.view(), &labels, weights.view(), Array1::zeros(3).view()).unwrap();
        let detector = mahalanobis_detector(x.view(), (&labels, 3)).unwrap();
        let logits = Array2::zeros((200, 3));
        let (got, want) = (detector.scores(x.view(), logits.view()), fitted.scores(x.view(), logits.view()));
        let scale = fitted.threshold();
        let scaled = want.unwrap().into_iter().map(|score| score / scale);
        assert_close(got.unwrap().iter().map(|&score| f64::from(score) / scale), scaled, Tolerance::Within(1e-4));
        let far = x.mapv(|v| -v);
        let far = detector.scores(far.view(), logits.view()).unwrap();
        assert!(far.iter().all(|&score| f64::from(score) > detector.threshold));
    }

    #[test]
    fn energies_keep_nineteen_of_twenty() {
        let (x, _) = rows(200);
        let detector = energy_detector(x.view()).unwrap();
        let scores = detector.scores(x.view(), x.view()).unwrap();
        let kept = scores.iter().filter(|&&score| f64::from(score) <= detector.threshold).count();
        assert_eq!(kept, 190);
        assert!(energy_detector(Array2::zeros((0, 3)).view()).is_err());
        assert!(energy_detector(Array2::from_elem((1, 3), f32::NAN).view()).is_err());
    }
}
