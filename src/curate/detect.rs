//! Out-of-distribution detectors for a head.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::check::check_features;
use super::out_of_fold::{FitHead, out_of_fold_logits_shown};
use crate::error::{Error, Result};
use crate::eval::{Division, KEPT, Ood, Score, Vim, percentile};
use crate::head::{Candidates, Detector, Head, Input, Strangeness, search};
use crate::progress::Workers;

/// A detector by energy whose threshold keeps 95 % of the n×K out-of-fold `logits`.
///
/// # Errors
/// [`Error::Data`] when there are no rows or a logit is not finite.
pub fn energy_detector(logits: ArrayView2<f32>) -> Result<Detector> {
    let detector = Detector { score: Strangeness::Energy, threshold: 0.0 };
    // Energies see logits alone.
    let threshold = threshold(&detector.scores(logits, logits)?.to_vec())?;
    Ok(Detector { threshold, ..detector })
}

/// A detector by virtual-logit matching for the linear `head` of n×d features `x`. Its threshold keeps 95 % of the rows, each
/// judged by a head that `fit` fitted on the other parts of a division, and by their subspace. Beside it the n×K logits of the rows
/// by these heads, those of [`out_of_fold_logits`](super::out_of_fold_logits): what is calibrated too needs no other heads.
///
/// # Errors
/// [`Error::Usage`] when the head is not linear; [`Error::Data`] when the greatest logits are not above 0 on average, or all rows
/// lie in their principal subspace; as [`out_of_fold_logits`](super::out_of_fold_logits).
pub fn vim_detector(
    head: &Head,
    x: ArrayView2<f32>,
    labels: (&[usize], usize),
    fit: &FitHead,
    division: Division,
) -> Result<(Detector, Array2<f32>)> {
    // That of the rows of half of the data, for all.
    let dimension = Vim::usual_dimension(x.nrows() / 2, x.ncols());
    let mut known = Vec::with_capacity(x.nrows());
    let logits = out_of_fold_logits_shown(x, labels, fit, division, |head, seen, (others, logits)| {
        let detector = Detector { score: virtual_logit(head, seen, dimension)?, threshold: 0.0 };
        known.extend(detector.scores(others, logits)?);
        Ok(())
    })?;
    Ok((Detector { score: virtual_logit(head, x, dimension)?, threshold: threshold(&known)? }, logits))
}

fn virtual_logit(head: &Head, x: ArrayView2<f32>, dimension: usize) -> Result<Strangeness> {
    let Head::Linear(head) = head else {
        return Err(Error::Usage("virtual-logit matching needs a linear head".into()));
    };
    let input = head.input();
    let fitted = Vim::fit(input.of(x).view(), head.logits(x)?.view(), head.weights(), head.intercepts(), dimension)?;
    let (origin, rest, alpha) = fitted.parts();
    Ok(Strangeness::Vim { input, origin: origin.mapv(|v| v as f32), rest: single(rest), alpha: alpha as f32 })
}

/// A detector by the cosine to the `neighbours`-th (1 or more) most similar of n×d features `x`, or where there are more than `most`, 2 or
/// more, of so many drawn by `seed`, which travel with the head. The threshold keeps 95 % of these rows, each judged by the
/// others. Of no more others than `neighbours`, all count.
///
/// # Errors
/// [`Error::Data`] when there are fewer than two rows or a value is not finite; [`Error::Interrupted`].
pub fn knn_detector(
    x: ArrayView2<f32>,
    (neighbours, most): (usize, usize),
    seed: u64,
    workers: Workers,
) -> Result<Detector> {
    check_features(x)?;
    if x.nrows() < 2 {
        return Err(Error::Data("one row has no neighbours".into()));
    }
    let mut kept: Vec<usize> = (0..x.nrows()).collect();
    if kept.len() > most {
        fastrand::Rng::with_seed(seed).shuffle(&mut kept);
        kept.truncate(most.max(2));
        kept.sort_unstable();
    }
    let rows = Input::UnitLength.of(x.select(Axis(0), &kept).view()).into_owned();
    let neighbours = neighbours.clamp(1, kept.len() - 1);
    let found = search(rows.view(), rows.view(), neighbours, Candidates::Others, workers)?;
    let known: Vec<f32> = found.iter().filter_map(|found| Some(1.0 - found.last()?.1)).collect();
    Ok(Detector { threshold: threshold(&known)?, score: Strangeness::Knn { neighbours, rows } })
}

/// What 95 % of the scores do not exceed.
fn threshold(known: &[f32]) -> Result<f64> {
    if known.is_empty() {
        return Err(Error::Data("an out-of-distribution score needs rows".into()));
    }
    if let Some(row) = known.iter().position(|score| !score.is_finite()) {
        return Err(Error::Data(format!("the out-of-distribution score of row {row} is {}", known[row])));
    }
    let mut known: Vec<f64> = known.iter().copied().map(f64::from).collect();
    known.sort_by(f64::total_cmp);
    Ok(percentile(&known, KEPT))
}

/// In single precision, row-major.
fn single(values: ArrayView2<f64>) -> Array2<f32> {
    values.mapv(|v| v as f32).as_standard_layout().into_owned()
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
    let score = Strangeness::Mahalanobis { center, whiten: single(whiten), means: single(means.view()) };
    Ok(Detector { score, threshold: fitted.threshold() })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use ndarray::{ArrayView1, s};

    use super::super::out_of_fold::{Known, out_of_fold_logits};
    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::head::{Knn, Logistic};

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
    fn virtual_logits_are_the_evaluations() {
        let (all, labels) = rows(1200);
        let (x, labels) = (all.slice(s![..200, ..]).to_owned(), labels[..200].to_vec());
        let fit =
            |known: Known| -> Result<Head> { Ok(Logistic::new().fit_watched(known.x, known.labels, &())?.head.into()) };
        let head = fit(Known { x: x.view(), labels: &labels, groups: None }).unwrap();
        let Head::Linear(linear) = &head else { unreachable!() };
        let score = Score::Vim { dimension: Some(3) };
        let fitted = Ood::fit(score, x.view(), &labels, linear.weights(), linear.intercepts()).unwrap();
        let (detector, logits) = vim_detector(&head, x.view(), (&labels, 3), &fit, Division::new(5, 0)).unwrap();
        assert_eq!(logits, out_of_fold_logits(x.view(), (&labels, 3), &fit, Division::new(5, 0)).unwrap());
        let scores = |x: &Array2<f32>| detector.scores(x.view(), head.logits(x.view()).unwrap().view()).unwrap();
        let want = fitted.scores(x.view(), head.logits(x.view()).unwrap().view()).unwrap();
        let scale = detector.threshold.abs();
        assert_close(
            scores(&x).iter().map(|&score| f64::from(score) / scale),
            want.into_iter().map(|score| score / scale),
            Tolerance::Within(1e-5),
        );
        let new = scores(&all.slice(s![200.., ..]).to_owned());
        let kept = new.iter().filter(|&&score| f64::from(score) <= detector.threshold).count();
        assert!((900..990).contains(&kept), "{kept} of 1000");
        let knn = Knn::new().fit(x.view(), &labels).unwrap().head;
        assert!(matches!(vim_detector(&knn, x.view(), (&labels, 3), &fit, Division::new(5, 0)), Err(Error::Usage(_))));
    }

    #[test]
    fn cosines_to_neighbours_are_the_evaluations() {
        let (all, labels) = rows(1200);
        let (x, new) = (all.slice(s![..200, ..]), all.slice(s![200.., ..]));
        let (weights, logits) = (Array2::zeros((6, 3)), Array2::zeros((1000, 3)));
        let score = Score::Knn { k: 10 };
        let fitted = Ood::fit(score, x, &labels[..200], weights.view(), Array1::zeros(3).view()).unwrap();
        let of = |most, threads| {
            let workers = Workers { threads: NonZeroUsize::new(threads).unwrap(), progress: &() };
            knn_detector(x, (10, most), 7, workers).unwrap()
        };
        let detector = of(200, 1);
        assert_eq!(detector, of(10_000, 3));
        let got = detector.scores(new, logits.view()).unwrap();
        // The distance of unit vectors is √(2 − 2·cos).
        let want = fitted.scores(new, logits.view()).unwrap().into_iter().map(|distance| distance * distance / 2.0);
        assert_close(got.iter().copied(), want, Tolerance::Approximate);
        let kept = got.iter().filter(|&&score| f64::from(score) <= detector.threshold).count();
        assert!((900..990).contains(&kept), "{kept} of 1000");
        let Strangeness::Knn { neighbours, rows } = of(50, 1).score else { unreachable!() };
        assert_eq!((neighbours, rows.dim()), (10, (50, 6)));
        let drawn =
            |row: ArrayView1<f32>| x.rows().into_iter().any(|of| (&of / of.dot(&of).sqrt() - row).sum().abs() < 1e-5);
        assert!(rows.rows().into_iter().all(drawn));
        let two = knn_detector(x.slice(s![..2, ..]), (10, 10), 0, Workers::all()).unwrap();
        assert!(matches!(two.score, Strangeness::Knn { neighbours: 1, .. }));
        assert!(knn_detector(x.slice(s![..1, ..]), (10, 10), 0, Workers::all()).is_err());
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
