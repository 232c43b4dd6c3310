//! Whether one classifier is better than another.

use serde::Serialize;

use super::interval::{Interval, Z};
use super::student::{two_sided, two_sided_quantile};
use crate::error::{Error, Result};

/// Two classifiers on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedComparison {
    /// Number of rows.
    pub n: u64,
    /// Rows that the first alone has right.
    pub only_first: u64,
    /// Rows that the second alone has right.
    pub only_second: u64,
    /// Accuracy of the first less that of the second.
    pub difference: f64,
    /// 95 % interval of the difference: Wald's with half a row added to each of the four cells, which keeps its coverage for
    /// few rows (Agresti & Min, Stat. Med. 24, 2005).
    pub difference_interval: Interval,
    /// McNemar's exact test, two-sided: the chance, were both equally good, of a difference at least as large among the
    /// rows that one alone has right.
    pub p: f64,
}

impl PairedComparison {
    /// Compares the classes that two classifiers gave to rows of the true classes `labels`.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows or the sizes disagree.
    pub fn new(labels: &[usize], first: &[usize], second: &[usize]) -> Result<Self> {
        if labels.is_empty() || labels.len() != first.len() || labels.len() != second.len() {
            return Err(Error::Data(format!(
                "cannot compare {} and {} predictions on {} rows",
                first.len(),
                second.len(),
                labels.len()
            )));
        }
        let right = |predicted: &[usize]| labels.iter().zip(predicted).map(|(label, p)| label == p).collect::<Vec<_>>();
        Self::of_correct(&right(first), &right(second))
    }

    /// Compares two classifiers by which rows each has right.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows or the numbers of rows differ.
    pub fn of_correct(first: &[bool], second: &[bool]) -> Result<Self> {
        if first.is_empty() || first.len() != second.len() {
            let (a, b) = (first.len(), second.len());
            return Err(Error::Data(format!("classifiers are compared on the same rows, got {a} and {b}")));
        }
        let count = |wins: bool| first.iter().zip(second).filter(|&(&a, &b)| a != b && a == wins).count() as u64;
        let (n, only_first, only_second) = (first.len() as u64, count(true), count(false));
        let (a, b) = (only_first as f64, only_second as f64);
        let padded = n as f64 + 2.0;
        let center = (a - b) / padded;
        let half = Z * ((a + b + 1.0) / padded - center * center).max(0.0).sqrt() / padded.sqrt();
        Ok(Self {
            n,
            only_first,
            only_second,
            difference: (a - b) / n as f64,
            difference_interval: [(center - half).max(-1.0), (center + half).min(1.0)],
            p: sign_test(only_first, only_second),
        })
    }
}

/// Two-sided p of `a` against `b` under a fair coin. In logarithms, since 2⁻ⁿ underflows.
fn sign_test(a: u64, b: u64) -> f64 {
    let (n, least) = (a + b, a.min(b));
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = log.exp();
    for i in 1..=least {
        log += ((n - i + 1) as f64 / i as f64).ln();
        tail += log.exp();
    }
    (2.0 * tail).min(1.0)
}

/// Two classifiers over the folds of (repeated) cross-validation, by the corrected resampled t-test of Nadeau & Bengio
/// (Mach. Learn. 52, 2003): folds share rows to train on, hence the variance `(1/J + n_test/n_train)·S²` instead of `S²/J`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FoldComparison {
    /// Mean over folds of the first's score less the second's.
    pub difference: f64,
    /// 95 % interval.
    pub difference_interval: Interval,
    /// Two-sided p of no difference; when all folds differ alike, 1 for no difference and 0 otherwise.
    pub p: f64,
}

impl FoldComparison {
    /// Compares scores of the same folds, one each a fold. `train` and `test` are the rows of one fold's two sides.
    ///
    /// # Errors
    /// [`Error::Data`] with fewer than two folds, sizes that disagree, a side without rows, or a score that is not finite.
    pub fn new(first: &[f64], second: &[f64], train: usize, test: usize) -> Result<Self> {
        if first.len() < 2 || first.len() != second.len() || train == 0 || test == 0 {
            return Err(Error::Data(format!(
                "cannot compare {} and {} scores of folds with {train} rows to train and {test} to test",
                first.len(),
                second.len()
            )));
        }
        if let Some(fold) = first.iter().zip(second).position(|(a, b)| !a.is_finite() || !b.is_finite()) {
            return Err(Error::Data(format!("the scores of fold {fold} are {} and {}", first[fold], second[fold])));
        }
        let freedom =
            u32::try_from(first.len() - 1).map_err(|_| Error::Data("there are too many folds".to_string()))?;
        let folds = first.len() as f64;
        let differences = || first.iter().zip(second).map(|(a, b)| a - b);
        let mean = differences().sum::<f64>() / folds;
        let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (folds - 1.0);
        let error = ((1.0 / folds + test as f64 / train as f64) * variance).sqrt();
        let half = two_sided_quantile(0.05, freedom) * error;
        let p = if mean == 0.0 { 1.0 } else { two_sided(mean / error, freedom) };
        Ok(Self { difference: mean, difference_interval: [mean - half, mean + half], p })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// See `tests/golden/eval/make_comparison.py`.
    #[derive(Deserialize)]
    struct Golden {
        mcnemar: Vec<(u64, u64, f64)>,
        paired: Vec<(u64, u64, u64, [f64; 2])>,
        student: Vec<(f64, u32, f64)>,
        quantiles: Vec<(u32, f64)>,
        folds: Vec<FoldCase>,
    }

    #[derive(Deserialize)]
    struct FoldCase {
        first: Vec<f64>,
        second: Vec<f64>,
        train: usize,
        test: usize,
        difference: f64,
        interval: [f64; 2],
        p: f64,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../tests/golden/eval/comparison.json")).unwrap()
    }

    #[test]
    fn paired_rows_are_compared_as_scipy_and_the_paper_do() {
        let golden = golden();
        for (a, b, p) in golden.mcnemar {
            assert_close([sign_test(a, b)], [p], Tolerance::Close);
            assert_close([sign_test(b, a)], [p], Tolerance::Close);
        }
        for (n, a, b, interval) in golden.paired {
            let rows = |wrong: std::ops::Range<u64>| (0..n).map(|i| wrong.contains(&i).into()).collect::<Vec<usize>>();
            let got = PairedComparison::new(&vec![0; n as usize], &rows(0..b), &rows(b..a + b)).unwrap();
            assert_eq!((got.n, got.only_first, got.only_second), (n, a, b));
            assert_close(got.difference_interval, interval, Tolerance::Close);
        }
    }

    #[test]
    fn students_distribution_is_scipys() {
        let golden = golden();
        for (t, freedom, p) in golden.student {
            assert_close([two_sided(t, freedom)], [p], Tolerance::Close);
        }
        for (freedom, quantile) in golden.quantiles {
            assert_close([two_sided_quantile(0.05, freedom)], [quantile], Tolerance::Within(1e-10));
        }
    }

    #[test]
    fn folds_are_compared_with_the_correction() {
        for case in golden().folds {
            let got = FoldComparison::new(&case.first, &case.second, case.train, case.test).unwrap();
            assert_close([got.difference, got.p], [case.difference, case.p], Tolerance::Close);
            assert_close(got.difference_interval, case.interval, Tolerance::Within(1e-10));
        }
        let alike = FoldComparison::new(&[0.5, 0.75], &[0.25, 0.5], 10, 5).unwrap();
        assert_eq!((alike.difference_interval, alike.p), ([0.25, 0.25], 0.0));
        assert_eq!(FoldComparison::new(&[0.5, 0.75], &[0.5, 0.75], 10, 5).unwrap().p, 1.0);
    }

    #[test]
    fn unusable_input_is_named() {
        assert!(
            PairedComparison::new(&[0], &[0, 1], &[0]).unwrap_err().to_string().contains("2 and 1 predictions on 1")
        );
        assert!(PairedComparison::new(&[], &[], &[]).is_err());
        assert!(FoldComparison::new(&[0.5], &[0.5], 8, 2).is_err());
        let message = FoldComparison::new(&[0.5, f64::NAN], &[0.5, 0.5], 8, 2).unwrap_err().to_string();
        assert!(message.contains("fold 1 are NaN"));
    }
}
