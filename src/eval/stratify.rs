//! Divisions of rows that may have any number of labels.

use ndarray::ArrayView2;

use super::folds::{Fold, check, shuffle};
use crate::error::{Error, Result};

/// `k` folds of rows with n×K `labels`, each label spread as evenly as the others allow: iterative stratification (Sechidis,
/// Tsoumakas and Vlahavas, ECML PKDD 2011). The label that the fewest undivided rows have is divided next, each of its rows
/// to the fold that lacks most of it; rows without a label come last.
///
/// # Errors
/// [`Error::Data`] when `k` is below 2 or above the number of rows.
pub fn fold_label_sets(labels: ArrayView2<bool>, k: usize, seed: u64) -> Result<Vec<Fold>> {
    let n = labels.nrows();
    check(n, "rows", k, 1)?;
    let fold_of = stratify(labels, &vec![1.0 / k as f64; k], seed);
    let fold = |fold| {
        let (test, train) = (0..n).partition(|&row| fold_of[row] == fold);
        Fold { train, test }
    };
    Ok((0..k).map(fold).collect())
}

/// Holds out about `fraction` of the rows with n×K `labels`, divided as [`fold_label_sets`] does; but a row that is the last
/// to have a label, or the last not to have it, is trained on.
///
/// # Errors
/// [`Error::Usage`] unless the fraction is between 0 and 1, both excluded; [`Error::Data`] when nothing can be held out.
pub fn hold_out_label_sets(labels: ArrayView2<bool>, fraction: f64, seed: u64) -> Result<Fold> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::Usage(format!("the test fraction must be between 0 and 1, got {fraction}")));
    }
    let mut part_of = stratify(labels, &[1.0 - fraction, fraction], seed);
    for rows in labels.columns() {
        for has in [true, false] {
            let mut alike = (0..rows.len()).filter(|&row| rows[row] == has);
            let first = alike.clone().next();
            if alike.all(|row| part_of[row] == 1) {
                first.into_iter().for_each(|row| part_of[row] = 0);
            }
        }
    }
    let (train, test): (Vec<usize>, Vec<usize>) = (0..labels.nrows()).partition(|&row| part_of[row] == 0);
    match test.is_empty() {
        true => Err(Error::Data("nothing can be held out for testing: there are too few rows".into())),
        false => Ok(Fold { train, test }),
    }
}

/// The part of each row; `shares` are those of the parts, and sum to 1.
fn stratify(labels: ArrayView2<bool>, shares: &[f64], seed: u64) -> Vec<usize> {
    let (n, classes) = labels.dim();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut order: Vec<usize> = (0..n).collect();
    shuffle(&mut rng, &mut order);
    let mut left: Vec<usize> =
        labels.columns().into_iter().map(|rows| rows.iter().filter(|has| **has).count()).collect();
    let mut lacks = Lacks {
        rows: shares.iter().map(|share| share * n as f64).collect(),
        labels: shares.iter().map(|share| left.iter().map(|&count| share * count as f64).collect()).collect(),
    };
    let mut part_of: Vec<Option<usize>> = vec![None; n];
    while let Some(next) = (0..classes).filter(|&label| left[label] > 0).min_by_key(|&label| left[label]) {
        for &row in order.iter().filter(|&&row| labels[[row, next]]) {
            if part_of[row].is_none() {
                let part = lacks.most(Some(next), &mut rng);
                part_of[row] = Some(part);
                lacks.rows[part] -= 1.0;
                for label in (0..classes).filter(|&label| labels[[row, label]]) {
                    lacks.labels[part][label] -= 1.0;
                    left[label] -= 1;
                }
            }
        }
    }
    for row in order {
        if part_of[row].is_none() {
            let part = lacks.most(None, &mut rng);
            part_of[row] = Some(part);
            lacks.rows[part] -= 1.0;
        }
    }
    part_of.into_iter().map(Option::unwrap_or_default).collect()
}

/// What each part lacks of its share.
struct Lacks {
    rows: Vec<f64>,
    /// By part, then label.
    labels: Vec<Vec<f64>>,
}

impl Lacks {
    /// The part that lacks most of a label, among equals most rows, and then any.
    fn most(&self, label: Option<usize>, rng: &mut fastrand::Rng) -> usize {
        let of_label = |part: usize| label.map_or(0.0, |label| self.labels[part][label]);
        let compare =
            |&a: &usize, &b: &usize| of_label(a).total_cmp(&of_label(b)).then(self.rows[a].total_cmp(&self.rows[b]));
        let parts = 0..self.rows.len();
        let Some(most) = parts.clone().max_by(compare) else { return 0 };
        let equal: Vec<usize> = parts.filter(|part| compare(part, &most).is_eq()).collect();
        equal[rng.u64(..equal.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};
    use proptest::prelude::*;

    use super::*;

    /// Three labels: every other row, every third, every seventh.
    fn labels(n: usize) -> Array2<bool> {
        Array2::from_shape_fn((n, 3), |(row, label)| row % [2, 3, 7][label] == 0)
    }

    fn count(labels: &Array2<bool>, rows: &[usize], label: usize) -> usize {
        rows.iter().filter(|&&row| labels[[row, label]]).count()
    }

    #[test]
    fn folds_have_their_share_of_every_label() {
        let labels = labels(420);
        let folds = fold_label_sets(labels.view(), 5, 3).unwrap();
        for Fold { test, .. } in &folds {
            assert!(test.len().abs_diff(84) <= 1, "{}", test.len());
            for (label, want) in [42, 28, 12].into_iter().enumerate() {
                assert!(count(&labels, test, label).abs_diff(want) <= 1, "{label}: {}", count(&labels, test, label));
            }
        }
        assert_eq!(folds, fold_label_sets(labels.view(), 5, 3).unwrap());
        assert_ne!(folds, fold_label_sets(labels.view(), 5, 4).unwrap());
    }

    #[test]
    fn a_fifth_of_every_label_is_held_out() {
        let labels = labels(420);
        let Fold { train, test } = hold_out_label_sets(labels.view(), 0.2, 3).unwrap();
        assert_eq!((train.len(), test.len()), (336, 84));
        assert_eq!([0, 1, 2].map(|label| count(&labels, &test, label)), [42, 28, 12]);
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let labels = labels(2);
        assert!(matches!(fold_label_sets(labels.view(), 3, 0), Err(Error::Data(text)) if text.contains("2 rows")));
        assert!(matches!(fold_label_sets(labels.view(), 1, 0), Err(Error::Data(_))));
        for fraction in [0.0, 1.0, f64::NAN] {
            assert!(matches!(hold_out_label_sets(labels.view(), fraction, 0), Err(Error::Usage(_))));
        }
        // Each row is the only one with or without the first label.
        assert!(matches!(hold_out_label_sets(labels.view(), 0.5, 0), Err(Error::Data(_))));
    }

    proptest! {
        #[test]
        fn every_row_is_tested_once(flags in prop::collection::vec(any::<[bool; 3]>(), 4..60), k in 2_usize..5, seed: u64) {
            let labels = Array2::from(flags);
            let n = labels.nrows();
            let mut tested = Vec::new();
            for Fold { train, test } in fold_label_sets(labels.view(), k, seed).unwrap() {
                prop_assert_eq!(train.len() + test.len(), n);
                prop_assert!(train.iter().all(|row| !test.contains(row)));
                tested.extend(test);
            }
            tested.sort_unstable();
            prop_assert_eq!(tested, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn what_can_be_learned_is_trained_on(flags in prop::collection::vec(any::<[bool; 3]>(), 2..60), fraction in 0.05..0.95_f64, seed: u64) {
            let labels = Array2::from(flags);
            let Ok(Fold { train, test }) = hold_out_label_sets(labels.view(), fraction, seed) else { return Ok(()) };
            prop_assert_eq!(train.len() + test.len(), labels.nrows());
            let trained = labels.select(Axis(0), &train);
            for (all, trained) in labels.columns().into_iter().zip(trained.columns()) {
                for has in [true, false] {
                    prop_assert_eq!(all.iter().any(|&row| row == has), trained.iter().any(|&row| row == has));
                }
            }
        }
    }
}
