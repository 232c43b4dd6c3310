//! A seeded, stratified split into training and test rows.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};

/// Which rows train and which test, and what a user should know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on, ascending.
    pub train: Vec<usize>,
    /// Rows to test on, ascending.
    pub test: Vec<usize>,
    /// Rows without a label, which are on neither side, ascending.
    pub unlabelled: Vec<usize>,
    /// Classes of one row, which is trained on: nothing tests them. In alphabetic order.
    pub untested: Vec<String>,
}

/// Takes `test_fraction` of each class to the test side, rounded, but leaves every class of two and more rows at least one
/// row on each side. The same labels, fraction and seed give the same split on every machine.
///
/// # Errors
/// [`Error::Usage`] unless the fraction is between 0 and 1, both excluded; [`Error::Data`] when no class has two rows.
pub fn stratified_split(labels: &[Option<String>], test_fraction: f64, seed: u64) -> Result<Split> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        return Err(Error::Usage(format!("the test fraction must be between 0 and 1, got {test_fraction}")));
    }
    // Classes in alphabetic order, so that the draws do not depend on a hash.
    let mut classes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut split = Split::default();
    for (row, label) in labels.iter().enumerate() {
        match label {
            Some(label) => classes.entry(label).or_default().push(row),
            None => split.unlabelled.push(row),
        }
    }
    let mut rng = fastrand::Rng::with_seed(seed);
    for (class, mut rows) in classes {
        let count = rows.len();
        if count == 1 {
            split.untested.push(class.to_owned());
            split.train.append(&mut rows);
            continue;
        }
        let test = ((count as f64 * test_fraction).round() as usize).clamp(1, count - 1);
        // The first `test` places of a Fisher-Yates shuffle; u64, since usize would draw other numbers on 32-bit machines.
        for place in 0..test {
            let other = place + rng.u64(..(count - place) as u64) as usize;
            rows.swap(place, other);
        }
        split.train.extend_from_slice(&rows[test..]);
        split.test.extend_from_slice(&rows[..test]);
    }
    if split.test.is_empty() {
        return Err(Error::Data("nothing can be held out for testing: no class has two rows".into()));
    }
    split.train.sort_unstable();
    split.test.sort_unstable();
    Ok(split)
}

/// Pairs of a training and a test row with equal content: what the head is tested on it has then seen. One pair for each
/// such test row, in their order, with the first training row of that content. Rows of unknown content are in none.
pub fn shared_content(contents: &[Option<String>], split: &Split) -> Vec<(usize, usize)> {
    let content = |row: usize| contents.get(row).and_then(Option::as_deref);
    let mut first: HashMap<&str, usize> = HashMap::new();
    for &row in &split.train {
        if let Some(content) = content(row) {
            first.entry(content).or_insert(row);
        }
    }
    split.test.iter().filter_map(|&row| Some((*first.get(content(row)?)?, row))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Vec<Option<String>> {
        text.chars().map(|c| (c != '.').then(|| c.to_string())).collect()
    }

    #[test]
    fn the_split_of_a_seed_never_changes() {
        let split = stratified_split(&labels("aabbbbaaaacbb.bbbaaa"), 0.3, 7).unwrap();
        assert_eq!(split.untested, ["c"]);
        assert_eq!(split.unlabelled, [13]);
        assert_eq!(split.test, [3, 5, 6, 11, 17, 18], "the generator or its use has changed");
        assert_ne!(split.test, stratified_split(&labels("aabbbbaaaacbb.bbbaaa"), 0.3, 8).unwrap().test);
    }

    #[test]
    fn impossible_splits_are_refused() {
        for fraction in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(matches!(stratified_split(&labels("aabb"), fraction, 0), Err(Error::Usage(_))));
        }
        for text in ["", "...", "abc"] {
            assert!(matches!(stratified_split(&labels(text), 0.2, 0), Err(Error::Data(_))));
        }
    }

    #[test]
    fn equal_content_on_both_sides_is_found() {
        let split = Split { train: vec![0, 1, 4], test: vec![2, 3, 5], unlabelled: vec![], untested: vec![] };
        let contents = ["x", "y", "y", "z", "y", ""].map(|c| (!c.is_empty()).then(|| c.to_owned()));
        assert_eq!(shared_content(&contents, &split), [(1, 2)]);
        assert_eq!(shared_content(&[None, None, None, None, None, None], &split), []);
        assert_eq!(shared_content(&[], &split), []);
    }

    proptest! {
        #[test]
        fn every_row_is_on_one_side_and_every_class_on_both(
            text in "[a-e.]{0,60}", fraction in 0.01..0.99_f64, seed: u64
        ) {
            let labels = labels(&text);
            let Ok(split) = stratified_split(&labels, fraction, seed) else {
                return Ok(());
            };
            let mut rows = [split.train.clone(), split.test.clone(), split.unlabelled.clone()].concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..labels.len()).collect::<Vec<_>>());
            for class in ["a", "b", "c", "d", "e"] {
                let count = |rows: &[usize]| rows.iter().filter(|&&row| labels[row].as_deref() == Some(class)).count();
                let (train, test) = (count(&split.train), count(&split.test));
                prop_assert!(train + test < 2 || (train > 0 && test > 0));
                let wanted = ((train + test) as f64 * fraction).round() as usize;
                prop_assert!(train + test < 2 || test == wanted.clamp(1, train + test - 1));
            }
        }
    }
}
