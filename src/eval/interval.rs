//! 95 % intervals.

/// Lower and upper end; in JSON `[lower, upper]`.
pub type Interval = [f64; 2];

/// The 0.975 quantile of the standard normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % score interval of a share of `correct` among `n` (J. Am. Stat. Assoc. 22, 1927): unlike `p ± 1.96·σ` it
/// stays in 0..1 and keeps its coverage for few rows and for shares near 0 and 1. `[0, 1]` for n = 0.
pub fn wilson(correct: u64, n: u64) -> Interval {
    wilson_of_mean(correct, n, 1)
}

/// The same of the share of `correct` among `n` rows that were each judged `repeats` times. The rows are the sample: the
/// judgements of one row depend on one another, and their mean varies no more from row to row than one of them, so that the
/// interval is rather too wide than too narrow.
pub(super) fn wilson_of_mean(correct: u64, n: u64, repeats: u64) -> Interval {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (none, all) = (correct == 0, correct == n * repeats);
    let (n, p) = (n as f64, correct as f64 / (n * repeats) as f64);
    let center = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Exactly 0 and 1 by the formula, not so in rounded arithmetic.
    [if none { 0.0 } else { center - half }, if all { 1.0 } else { center + half }]
}

/// The value below which the share `q` (0..=1) of `sorted` lies, interpolated linearly as numpy does; NaN when empty.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let Some(top) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q.clamp(0.0, 1.0) * top as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The central 95 % of resampled values; `None` when there are none.
pub(super) fn central(mut values: Vec<f64>) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| [percentile(&values, 0.025), percentile(&values, 0.975)])
}

/// How often each of `n` rows occurs among `n` draws with replacement.
pub(super) fn resample(rng: &mut fastrand::Rng, times: &mut [u32]) {
    times.fill(0);
    let n = times.len() as u64;
    for _ in 0..n {
        // u64, since usize would draw other numbers on 32-bit machines.
        times[rng.u64(..n) as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([1, 2, 4, 8], [0, 2.5, 50, 97.5, 100])
        let values = [1.0, 2.0, 4.0, 8.0];
        let got = [0.0, 0.025, 0.5, 0.975, 1.0].map(|q| percentile(&values, q));
        assert_close(got, [1.0, 1.075, 3.0, 7.7, 8.0], Tolerance::Close);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn wilson_stays_in_range() {
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        for n in [1, 7, 1000] {
            let ([low, inner], [outer, high]) = (wilson(0, n), wilson(n, n));
            assert!(low == 0.0 && high == 1.0 && inner < 1.0 && outer > 0.0);
            assert_eq!(wilson_of_mean(2 * n, n, 2), wilson(n, n));
            assert_eq!(wilson_of_mean(3, n, 3), wilson(1, n));
        }
    }

    #[test]
    fn a_resample_has_as_many_rows_and_is_repeatable() {
        let draw = |seed| {
            let mut times = [0; 100];
            resample(&mut fastrand::Rng::with_seed(seed), &mut times);
            times
        };
        assert_eq!(draw(1).iter().sum::<u32>(), 100);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
