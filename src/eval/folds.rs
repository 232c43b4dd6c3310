//! Folds of cross-validation.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Rows of one fold, both ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows to measure on.
    pub test: Vec<usize>,
}

/// A division of rows into folds, each of which is the test rows once (once a repeat).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    /// Of each repeat, each row's fold.
    repeats: Vec<Vec<usize>>,
    k: usize,
}

impl Folds {
    /// `k` folds of the rows with these `labels`, each class spread evenly: the rows of a class in two folds differ by at
    /// most one, and so do all their rows.
    ///
    /// # Errors
    /// [`Error::Data`] when `k` is below 2 or above the number of rows.
    pub fn stratified(labels: &[usize], k: usize, seed: u64) -> Result<Self> {
        Self::repeated(labels, k, 1, seed)
    }

    /// As [`Folds::stratified`], `repeats` times with other draws.
    ///
    /// # Errors
    /// As there, and when `repeats` is 0.
    pub fn repeated(labels: &[usize], k: usize, repeats: usize, seed: u64) -> Result<Self> {
        check(labels.len(), "rows", k, repeats)?;
        let classes = rows_of_classes(labels);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut deal = || {
            // The next class goes on where the last one ended, so that the folds' sizes stay even.
            let (mut fold_of, mut next) = (vec![0; labels.len()], 0);
            for rows in classes.values() {
                let mut rows = rows.clone();
                shuffle(&mut rng, &mut rows);
                for row in rows {
                    fold_of[row] = next;
                    next = (next + 1) % k;
                }
            }
            fold_of
        };
        Ok(Self { repeats: (0..repeats).map(|_| deal()).collect(), k })
    }

    /// `k` folds with no group on both sides, classes spread as evenly as groups allow: groups in order of how unequal
    /// their classes are (equal ones shuffled), each to the fold that makes the classes' shares most even, as
    /// scikit-learn's `StratifiedGroupKFold` has it; no fold stays empty. That `repeats` times; groups whose classes are
    /// not equally unequal leave little to chance, so that repeats of few groups may be alike.
    ///
    /// # Errors
    /// [`Error::Data`] when the sizes disagree, `k` is below 2 or above the number of groups, or `repeats` is 0.
    pub fn grouped<G: Ord>(labels: &[usize], groups: &[G], (k, repeats): (usize, usize), seed: u64) -> Result<Self> {
        if labels.len() != groups.len() {
            return Err(Error::Data(format!("there are {} groups for {} rows", groups.len(), labels.len())));
        }
        let mut members: BTreeMap<&G, Vec<usize>> = BTreeMap::new();
        for (row, group) in groups.iter().enumerate() {
            members.entry(group).or_default().push(row);
        }
        check(members.len(), "groups", k, repeats)?;
        let classes = rows_of_classes(labels);
        let place: BTreeMap<usize, usize> = classes.keys().enumerate().map(|(place, &class)| (class, place)).collect();
        let sizes: Vec<f64> = classes.values().map(|rows| rows.len() as f64).collect();
        let groups: Vec<(Vec<usize>, Vec<f64>)> = members
            .into_values()
            .map(|rows| {
                let mut counts = vec![0.0; sizes.len()];
                rows.iter().for_each(|&row| counts[place[&labels[row]]] += 1.0);
                (rows, counts)
            })
            .collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut deal = || {
            let mut groups: Vec<&(Vec<usize>, Vec<f64>)> = groups.iter().collect();
            shuffle(&mut rng, &mut groups);
            groups.sort_by(|a, b| deviation(&b.1).total_cmp(&deviation(&a.1)));
            dealt(&groups, &sizes, k)
        };
        Ok(Self { repeats: (0..repeats).map(|_| deal()).collect(), k })
    }

    /// The number of folds of a repeat.
    pub fn k(&self) -> usize {
        self.k
    }

    /// All folds, one repeat after the other.
    pub fn iter(&self) -> impl Iterator<Item = Fold> + '_ {
        self.repeats.iter().flat_map(move |fold_of| {
            (0..self.k).map(move |fold| {
                let (test, train) = (0..fold_of.len()).partition(|&row| fold_of[row] == fold);
                Fold { train, test }
            })
        })
    }
}

/// The fold of each row when groups, each with its rows and its number of each class, go in turn to the fold that makes the
/// classes' shares most even. `sizes` are the classes' numbers of rows.
fn dealt(groups: &[&(Vec<usize>, Vec<f64>)], sizes: &[f64], k: usize) -> Vec<usize> {
    let n = groups.iter().map(|(rows, _)| rows.len()).sum();
    let (mut fold_of, mut held) = (vec![0; n], vec![vec![0.0; sizes.len()]; k]);
    for (done, (rows, counts)) in groups.iter().enumerate() {
        let empty = held.iter().filter(|fold| total(fold) == 0.0).count();
        let must_fill = groups.len() - done <= empty;
        let unevenness = |fold: usize| {
            let share = |class: usize| {
                let held = |f: usize| held[f][class] + if f == fold { counts[class] } else { 0.0 };
                deviation(&(0..k).map(|f| held(f) / sizes[class]).collect::<Vec<_>>())
            };
            (0..sizes.len()).map(share).sum::<f64>()
        };
        let candidates = (0..k).filter(|&fold| !must_fill || total(&held[fold]) == 0.0);
        let best = candidates.map(|fold| (unevenness(fold), total(&held[fold]), fold)).min_by(|a, b| {
            // Sums in another order differ by rounding: such folds are equally good, and the smaller one is taken.
            let nearer = if (a.0 - b.0).abs() < 1e-12 { std::cmp::Ordering::Equal } else { a.0.total_cmp(&b.0) };
            nearer.then(a.1.total_cmp(&b.1))
        });
        let fold = best.map_or(0, |(_, _, fold)| fold);
        rows.iter().for_each(|&row| fold_of[row] = fold);
        held[fold].iter_mut().zip(counts).for_each(|(held, count)| *held += count);
    }
    fold_of
}

/// Rows of each class that has any.
pub(super) fn rows_of_classes(labels: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(row);
    }
    classes
}

/// Fisher and Yates, with 64-bit draws on every machine.
pub(super) fn shuffle<T>(rng: &mut fastrand::Rng, values: &mut [T]) {
    for last in (1..values.len()).rev() {
        values.swap(last, rng.u64(..=last as u64) as usize);
    }
}

pub(super) fn check(n: usize, what: &str, k: usize, repeats: usize) -> Result<()> {
    if repeats == 0 {
        return Err(Error::Data("cross-validation needs at least one repeat".to_string()));
    }
    if k < 2 || k > n {
        return Err(Error::Data(format!(
            "{n} {what} cannot be divided into {k} folds: at least 2, at most {n} are possible"
        )));
    }
    Ok(())
}

fn total(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = total(values) / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(rows: &[usize], labels: &[usize], class: usize) -> usize {
        rows.iter().filter(|&&row| labels[row] == class).count()
    }

    fn is_partition(folds: &[Fold], n: usize) -> bool {
        let mut tested: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        tested.sort_unstable();
        let complete = |fold: &Fold| {
            let mut rows = [fold.train.clone(), fold.test.clone()].concat();
            rows.sort_unstable();
            rows == (0..n).collect::<Vec<_>>() && !fold.test.is_empty()
        };
        tested == (0..n).collect::<Vec<_>>() && folds.iter().all(complete)
    }

    proptest! {
        #[test]
        fn strata_are_even(labels in prop::collection::vec(0_usize..5, 7..80), k in 2_usize..7, seed: u64) {
            let folds = Folds::repeated(&labels, k, 2, seed).unwrap();
            let all: Vec<Fold> = folds.iter().collect();
            prop_assert_eq!(all.len(), 2 * k);
            for repeat in all.chunks(k) {
                prop_assert!(is_partition(repeat, labels.len()));
                for class in 0..6 {
                    // Class 5 has no rows; all rows together are even too.
                    let counts = repeat.iter().map(|f| if class == 5 { f.test.len() } else { count(&f.test, &labels, class) });
                    let counts: Vec<usize> = counts.collect();
                    prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
                }
            }
            prop_assert_eq!(&folds, &Folds::repeated(&labels, k, 2, seed).unwrap());
        }

        #[test]
        fn groups_stay_together(rows in prop::collection::vec((0_usize..3, 0_u8..9), 20..80), k in 2_usize..5, seed: u64) {
            let (labels, groups): (Vec<usize>, Vec<u8>) = rows.into_iter().unzip();
            let distinct = groups.iter().collect::<std::collections::BTreeSet<_>>().len();
            prop_assume!(distinct >= k);
            let folds: Vec<Fold> = Folds::grouped(&labels, &groups, (k, 2), seed).unwrap().iter().collect();
            prop_assert_eq!(folds.len(), 2 * k);
            for repeat in folds.chunks(k) {
                prop_assert!(is_partition(repeat, labels.len()));
            }
            for fold in folds {
                prop_assert!(fold.test.iter().all(|&t| fold.train.iter().all(|&r| groups[r] != groups[t])));
            }
        }
    }

    #[test]
    fn groups_are_stratified_where_they_can_be() {
        // Twenty groups of five rows, each of one class: ten of either.
        let groups: Vec<usize> = (0..100).map(|row| row / 5).collect();
        let labels: Vec<usize> = groups.iter().map(|group| group % 2).collect();
        let folds: Vec<Fold> = Folds::grouped(&labels, &groups, (5, 2), 3).unwrap().iter().collect();
        for fold in &folds {
            assert_eq!((count(&fold.test, &labels, 0), count(&fold.test, &labels, 1)), (10, 10));
        }
        assert_ne!(folds[..5], folds[5..]);
    }

    #[test]
    fn other_seeds_and_repeats_are_other_folds() {
        let labels: Vec<usize> = (0..60).map(|row| row % 3).collect();
        assert_ne!(Folds::stratified(&labels, 5, 1).unwrap(), Folds::stratified(&labels, 5, 2).unwrap());
        let all: Vec<Fold> = Folds::repeated(&labels, 5, 2, 1).unwrap().iter().collect();
        assert_ne!(all[..5], all[5..]);
    }

    #[test]
    fn impossible_folds_are_refused() {
        let message = |result: Result<Folds>| result.unwrap_err().to_string();
        assert!(message(Folds::stratified(&[0, 1], 3, 0)).contains("2 rows cannot be divided into 3 folds"));
        assert!(message(Folds::stratified(&[0, 1], 1, 0)).contains("at least 2"));
        assert!(message(Folds::stratified(&[], 2, 0)).contains("0 rows"));
        assert!(message(Folds::repeated(&[0, 1], 2, 0, 0)).contains("one repeat"));
        assert!(message(Folds::grouped(&[0, 1, 0], &["a", "a", "b"], (3, 1), 0)).contains("2 groups"));
        assert!(message(Folds::grouped(&[0, 1], &["a"], (2, 1), 0)).contains("1 groups for 2 rows"));
    }
}
