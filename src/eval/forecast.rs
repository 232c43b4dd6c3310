//! What more labels would bring: a learning curve `error(n) = c + a·n^(−b)`, fitted to few-shot errors and read further on.
//!
//! The inverse power law is the one that learning curves mostly follow (Hestness et al., arXiv:1712.00409, 2017). A forecast
//! is not a promise: its interval knows the scatter of the points, not whether the law goes on to hold.

use serde::{Deserialize, Serialize};

use super::interval::{Interval, Z, central};
use crate::error::{Error, Result};

/// Exponents that are tried: from hardly falling to as good as at once.
const EXPONENTS: [f64; 2] = [0.01, 4.0];
/// Points of the first search between them, at equal ratios.
const GRID: u32 = 200;
/// Steps of the second search, each of which leaves 0.62 of the range: beyond, sums of squares differ by rounding alone.
const REFINEMENTS: u32 = 45;

/// One measured error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Labels fitted on, in all or a class: the forecast is in the same unit.
    pub n: f64,
    /// Error, for example 1 − accuracy.
    pub error: f64,
    /// Weight of its squared residual: 1 / variance, or 1 for all.
    pub weight: f64,
}

/// A fitted learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// What no number of labels removes, at least 0.
    pub floor: f64,
    /// a, at least 0: the error above the floor at n = 1.
    pub scale: f64,
    /// b, between 0.01 and 4.
    pub exponent: f64,
    /// Curves fitted to resampled residuals, `(floor, scale, exponent)`.
    resampled: Vec<[f64; 3]>,
}

/// The error to expect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecast {
    /// Labels.
    pub n: f64,
    /// Error.
    pub error: f64,
    /// 95 % interval of the curve there; none without resamples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_interval: Option<Interval>,
}

impl Forecast {
    /// With the sampling error of the rows that the curve's errors were measured on in the interval: all points share those
    /// rows, so that their scatter does not show it. Each side is the root of the sum of squares of its own length and of
    /// `1.96·√(e(1 − e)/rows)`, cut to 0..=1.
    pub fn measured_on(self, rows: usize) -> Self {
        let e = self.error.clamp(0.0, 1.0);
        let half = Z * (e * (1.0 - e) / rows.max(1) as f64).sqrt();
        let widened =
            |[low, high]: Interval| [(e - (e - low).hypot(half)).max(0.0), (e + (high - e).hypot(half)).min(1.0)];
        Self { error_interval: self.error_interval.map(widened), ..self }
    }
}

impl LearningCurve {
    /// Weighted least squares over `points`, one for each draw and size (several seeds of one size are several points).
    /// `resamples` curves are fitted to errors whose residuals are drawn again with replacement, scaled to each point's
    /// weight, for the interval; a thousand are plenty.
    ///
    /// # Errors
    /// [`Error::Data`] with fewer than three different sizes, or a point whose size or weight is not above 0 or whose error
    /// is negative or not finite.
    pub fn fit(points: &[CurvePoint], resamples: usize, seed: u64) -> Result<Self> {
        let good = |x: f64| x > 0.0 && x.is_finite();
        if let Some(i) =
            points.iter().position(|p| !(good(p.n) && good(p.weight) && p.error >= 0.0 && p.error.is_finite()))
        {
            let CurvePoint { n, error, weight } = points[i];
            return Err(Error::Data(format!(
                "point {i} of the learning curve has n {n}, error {error}, weight {weight}"
            )));
        }
        let mut sizes: Vec<f64> = points.iter().map(|point| point.n).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        if sizes.len() < 3 {
            return Err(Error::Data(format!("a learning curve needs three sizes, not {}", sizes.len())));
        }
        let fitted = least_squares(points);
        // Residuals of one variance; fewer degrees of freedom than points make them too small.
        let freedom = (points.len() as f64 / (points.len() as f64 - 3.0).max(1.0)).sqrt();
        let residuals: Vec<f64> =
            points.iter().map(|p| (p.error - value(fitted, p.n)) * p.weight.sqrt() * freedom).collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut again = || {
            let redrawn: Vec<CurvePoint> = points
                .iter()
                .map(|p| {
                    let residual = residuals[rng.u64(..residuals.len() as u64) as usize];
                    CurvePoint { error: value(fitted, p.n) + residual / p.weight.sqrt(), ..*p }
                })
                .collect();
            least_squares(&redrawn)
        };
        let resampled = (0..resamples).map(|_| again()).collect();
        let [floor, scale, exponent] = fitted;
        Ok(Self { floor, scale, exponent, resampled })
    }

    /// The error to expect with `n` labels, n > 0: twice or four times the present number is as far as one should look.
    pub fn at(&self, n: f64) -> Forecast {
        let error = value([self.floor, self.scale, self.exponent], n);
        Forecast { n, error, error_interval: central(self.resampled.iter().map(|&curve| value(curve, n)).collect()) }
    }
}

fn value([floor, scale, exponent]: [f64; 3], n: f64) -> f64 {
    floor + scale * n.powf(-exponent)
}

/// For a given exponent the rest is a straight line in n^(−b), so that one number is searched: on a grid, since the sum of
/// squares may have several dips, and then by golden section beside the best grid point.
fn least_squares(points: &[CurvePoint]) -> [f64; 3] {
    let [least, greatest] = EXPONENTS.map(f64::ln);
    let step = (greatest - least) / f64::from(GRID);
    let loss = |log: f64| line(points, log.exp()).1;
    let best = (0..=GRID)
        .map(|i| least + step * f64::from(i))
        .map(|log| (loss(log), log))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(least, |(_, log)| log);
    let (mut low, mut high) = ((best - step).max(least), (best + step).min(greatest));
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..REFINEMENTS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left) < loss(right) { high = right } else { low = left }
    }
    let exponent = (0.5 * (low + high)).exp();
    let ([floor, scale], _) = line(points, exponent);
    [floor, scale, exponent]
}

/// The best floor and scale, both at least 0, for this exponent, and the weighted sum of squares.
fn line(points: &[CurvePoint], exponent: f64) -> ([f64; 2], f64) {
    let rows: Vec<_> = points.iter().map(|p| (p.n.powf(-exponent), p.error, p.weight)).collect();
    let total = |f: &dyn Fn((f64, f64, f64)) -> f64| rows.iter().map(|&row| f(row)).sum::<f64>();
    let weight = total(&|(_, _, w)| w);
    let (mean_x, mean_y) = (total(&|(x, _, w)| w * x) / weight, total(&|(_, y, w)| w * y) / weight);
    let scale =
        total(&|(x, y, w)| w * (x - mean_x) * (y - mean_y)) / total(&|(x, _, w)| w * (x - mean_x) * (x - mean_x));
    let floor = mean_y - scale * mean_x;
    let (floor, scale) = if scale < 0.0 {
        (mean_y.max(0.0), 0.0)
    } else if floor < 0.0 {
        (0.0, (total(&|(x, y, w)| w * x * y) / total(&|(x, _, w)| w * x * x)).max(0.0))
    } else {
        (floor, scale)
    };
    ([floor, scale], total(&|(x, y, w)| w * (y - floor - scale * x) * (y - floor - scale * x)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// See `tests/golden/eval/make_forecast.py`.
    #[derive(Deserialize)]
    struct Golden {
        points: Vec<CurvePoint>,
        floor: f64,
        scale: f64,
        exponent: f64,
        ahead: Vec<(f64, f64)>,
    }

    #[test]
    fn curves_are_scipys() {
        let golden: Vec<Golden> = serde_json::from_str(include_str!("../../tests/golden/eval/forecast.json")).unwrap();
        assert!(golden.iter().any(|case| case.floor == 0.0));
        for case in golden {
            let got = LearningCurve::fit(&case.points, 0, 0).unwrap();
            let want = [case.floor, case.scale, case.exponent];
            assert_close([got.floor, got.scale, got.exponent], want, Tolerance::Within(1e-5));
            for (n, error) in case.ahead {
                assert_close([got.at(n).error], [error], Tolerance::Within(1e-6));
                assert!(got.at(n).error_interval.is_none());
            }
        }
    }

    fn points(noise: f64, seed: u64) -> Vec<CurvePoint> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        let error = |n: f64, u: f64| 0.05 + 0.5 * n.powf(-0.5) + noise * (u - 0.5);
        sizes.iter().cycle().take(18).map(|&n| CurvePoint { n, error: error(n, rng.f64()), weight: 1.0 }).collect()
    }

    #[test]
    fn an_exact_curve_is_found_and_its_interval_is_a_point() {
        let curve = LearningCurve::fit(&points(0.0, 0), 50, 1).unwrap();
        assert_close([curve.floor, curve.scale, curve.exponent], [0.05, 0.5, 0.5], Tolerance::Within(1e-6));
        let ahead = curve.at(64.0);
        assert_close(ahead.error_interval.unwrap(), [ahead.error; 2], Tolerance::Within(1e-6));
    }

    #[test]
    fn intervals_mostly_hold_the_truth() {
        let truth = 0.05 + 0.5 * 64.0_f64.powf(-0.5);
        let held = (0..60).filter(|&seed| {
            let curve = LearningCurve::fit(&points(0.08, seed), 60, seed).unwrap();
            let [low, high] = curve.at(64.0).error_interval.unwrap();
            low <= truth && truth <= high
        });
        let held = held.count();
        assert!((48..=60).contains(&held), "{held} of 60");
        let again = |seed| LearningCurve::fit(&points(0.08, 3), 20, seed).unwrap();
        assert_eq!(again(1), again(1));
        assert_ne!(again(1), again(2));
    }

    #[test]
    fn the_rows_measured_on_widen_the_interval() {
        let exact = Forecast { n: 8.0, error: 0.1, error_interval: Some([0.1, 0.1]) };
        let half = Z * 0.03;
        assert_close(exact.measured_on(100).error_interval.unwrap(), [0.1 - half, 0.1 + half], Tolerance::Close);
        let scattered = Forecast { error_interval: Some([0.1 - 4.0 / 3.0 * half, 0.1]), ..exact };
        let want = [(0.1 - 5.0 / 3.0 * half).max(0.0), 0.1 + half];
        assert_close(scattered.measured_on(100).error_interval.unwrap(), want, Tolerance::Close);
    }

    #[test]
    fn unusable_points_are_named() {
        let message = |points: &[CurvePoint]| LearningCurve::fit(points, 0, 0).unwrap_err().to_string();
        let mut given = points(0.1, 0);
        assert!(message(&given[..2]).contains("three sizes, not 2"));
        assert!(message(&[]).contains("not 0"));
        given[1].error = f64::NAN;
        assert!(message(&given).contains("point 1"));
        given[1] = CurvePoint { n: 0.0, ..given[0] };
        assert!(message(&given).contains("n 0"));
    }
}
