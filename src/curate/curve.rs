//! What more labels would bring: heads fitted to a few rows of each class, to more, and to all.

use ndarray::{ArrayView2, Axis};

use super::{FitHead, Known};
use crate::error::{Error, Result};
use crate::eval::{CurvePoint, DrawnAccuracy, FewShot, LearningCurve};
use crate::progress::Progress;

/// How many curves are fitted to resampled residuals for a forecast's interval.
const RESAMPLES: usize = 300;

/// Which parts of the rows heads are fitted to.
#[derive(Debug, Clone, Copy)]
pub struct Shots<'a> {
    /// Rows of each class, or all that it has, ascending.
    pub sizes: &'a [usize],
    /// Draws of each size.
    pub draws: usize,
    /// Of the draws.
    pub seed: u64,
}

/// How heads do that were fitted to so many rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ShotPoint {
    /// Rows of each class, or all that it has; none for all rows.
    pub shots: Option<usize>,
    /// Rows in all.
    pub rows: usize,
    /// Over the draws; all rows are one draw.
    pub measured: DrawnAccuracy,
    /// Of each draw.
    accuracies: Vec<f64>,
}

/// Fits heads to draws of the known rows and measures each on the other rows, whose classes are `truth`. The last point is of
/// all rows; sizes that would take all are left out.
///
/// # Errors
/// [`Error::Usage`] without draws; [`Error::Data`] when there are no other rows, or as `fit`, naming the size; [`Error::Interrupted`].
pub fn few_shot_curve(
    known: Known,
    (others, truth): (ArrayView2<f32>, &[usize]),
    fit: &FitHead,
    shots: Shots,
    progress: &dyn Progress,
) -> Result<Vec<ShotPoint>> {
    if shots.draws == 0 {
        return Err(Error::Usage("a learning curve needs at least one draw".into()));
    }
    let n = known.labels.len();
    let mut rng = fastrand::Rng::with_seed(shots.seed);
    let seeds: Vec<u64> = (0..shots.draws).map(|_| rng.u64(..)).collect();
    let draws = seeds.iter().map(|&seed| FewShot::new(known.labels, seed)).collect::<Result<Vec<_>>>()?;
    let mut sizes = Vec::new();
    for &size in shots.sizes {
        let rows = draws[0].draw(size)?.len();
        if rows < n {
            sizes.push((Some(size), rows));
        }
    }
    sizes.push((None, n));

    let right = |rows: &[usize]| -> Result<Vec<bool>> {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let picked;
        let x = if rows.len() == n {
            known.x.view()
        } else {
            picked = known.x.select(Axis(0), rows);
            picked.view()
        };
        let labels: Vec<usize> = rows.iter().map(|&row| known.labels[row]).collect();
        let groups: Option<Vec<usize>> = known.groups.map(|groups| rows.iter().map(|&row| groups[row]).collect());
        let head = fit(Known { x, labels: &labels, groups: groups.as_deref() })?;
        let right = head.classify(others)?.iter().zip(truth).map(|(got, want)| got == want).collect();
        progress.advance(1);
        Ok(right)
    };
    progress.begin("fitting heads", Some(((sizes.len() - 1) * shots.draws + 1) as u64));
    let point = |(shot, rows): (Option<usize>, usize)| {
        let right = match shot {
            Some(size) => draws.iter().map(|draw| right(&draw.draw(size)?)).collect::<Result<Vec<_>>>(),
            None => right(&(0..n).collect::<Vec<_>>()).map(|right| vec![right]),
        };
        let right = right.map_err(|e| match (e, shot) {
            (Error::Data(reason), Some(size)) => {
                Error::Data(format!("with {size} a class no head can be fitted, take more: {reason}"))
            }
            (e, _) => e,
        })?;
        let accuracy = |right: &Vec<bool>| right.iter().filter(|&&right| right).count() as f64 / right.len() as f64;
        Ok(ShotPoint {
            shots: shot,
            rows,
            measured: DrawnAccuracy::new(&right)?,
            accuracies: right.iter().map(accuracy).collect(),
        })
    };
    let points = sizes.into_iter().map(point).collect();
    progress.end();
    points
}

/// The curve through the errors of the draws, by the number of rows in all, to be read at more rows than there are. A size
/// counts by the inverse of its variance: that from draw to draw, and that of a share of `tested` rows, with a row added to
/// both sides, so that it is never 0.
///
/// # Errors
/// As [`LearningCurve::fit`].
pub fn forecast(points: &[ShotPoint], tested: usize, seed: u64) -> Result<LearningCurve> {
    let of_size = |point: &ShotPoint| {
        let tested = tested as f64;
        let share = (point.measured.accuracy * tested + 1.0) / (tested + 2.0);
        let weight = 1.0 / (point.measured.draw_variance + share * (1.0 - share) / tested);
        let n = point.rows as f64;
        let of_draw = move |&accuracy: &f64| CurvePoint { n, error: 1.0 - accuracy, weight };
        point.accuracies.iter().map(of_draw).collect::<Vec<_>>()
    };
    let points: Vec<CurvePoint> = points.iter().flat_map(of_size).collect();
    LearningCurve::fit(&points, RESAMPLES, seed)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::head::{Centroid, Head};

    /// Rows around three corners, and their classes.
    fn rows(n: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let labels: Vec<usize> = (0..n).map(|row| row % 3).collect();
        let x = Array2::from_shape_fn((n, 8), |(i, j)| {
            let noise: f32 = (0..4).map(|_| rng.f32() - 0.5).sum();
            f32::from(u8::from(labels[i] == j)) + 1.2 * noise
        });
        (x, labels)
    }

    fn centroid(known: Known) -> Result<Head> {
        Ok(Centroid::new().fit(known.x, known.labels)?.into())
    }

    #[test]
    fn more_rows_are_better_and_the_forecast_goes_on() {
        let ((x, labels), (others, truth)) = (rows(240, 1), rows(600, 2));
        let known = Known { x: x.view(), labels: &labels, groups: None };
        let curve = |seed| {
            let shots = Shots { sizes: &[1, 2, 4, 8, 16, 32, 80, 100], draws: 6, seed };
            few_shot_curve(known, (others.view(), &truth), &centroid, shots, &()).unwrap()
        };
        let points = curve(0);
        let sizes: Vec<_> = points.iter().map(|point| (point.shots, point.rows)).collect();
        let few = [1, 2, 4, 8, 16, 32].map(|size| (Some(size), 3 * size));
        assert_eq!(sizes, few.into_iter().chain([(None, 240)]).collect::<Vec<_>>());
        assert!(points.windows(2).all(|pair| pair[0].measured.accuracy < pair[1].measured.accuracy + 0.01));
        // All rows are what one fit to them gets right.
        let right = centroid(known).unwrap().classify(others.view()).unwrap();
        let right = right.iter().zip(&truth).filter(|(got, want)| got == want).count();
        assert_close([points[6].measured.accuracy], [right as f64 / 600.0], Tolerance::Close);
        assert_eq!(points, curve(0));
        assert_ne!(points, curve(1));

        // From half of the rows on, what all of them bring.
        let law = forecast(&points[..6], 600, 0).unwrap();
        let ahead = law.at(240.0).measured_on(600);
        let [low, high] = ahead.error_interval.unwrap();
        let error = 1.0 - points[6].measured.accuracy;
        assert!((low..=high).contains(&error) && high - low < 0.2, "{ahead:?} {error}");
    }

    #[test]
    fn what_cannot_be_fitted_names_the_size() {
        let (x, labels) = rows(30, 1);
        let known = Known { x: x.view(), labels: &labels, groups: None };
        let refuse = |known: Known| match known.labels.len() {
            3 => Err(Error::Data("too few".into())),
            _ => centroid(known),
        };
        let curve = |sizes: &[usize], draws, others: &Array2<f32>| {
            let shots = Shots { sizes, draws, seed: 0 };
            let truth = vec![0; others.nrows()];
            few_shot_curve(known, (others.view(), &truth), &refuse, shots, &()).map(|points| points.len())
        };
        let error = curve(&[1, 2], 2, &x).unwrap_err().to_string();
        assert!(error.contains("with 1 a class") && error.contains("too few"), "{error}");
        assert_eq!(curve(&[2], 2, &x).unwrap(), 2);
        assert!(matches!(curve(&[2], 0, &x), Err(Error::Usage(_))));
        assert!(matches!(curve(&[2], 2, &Array2::zeros((0, 8))), Err(Error::Data(_))));
    }
}
