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
    /// Classes all of whose rows are trained on: nothing tests them. In alphabetic order.
    pub untested: Vec<String>,
}

/// Takes `test_fraction` of each class to the test side, rounded, but leaves every class of two and more rows at least one
/// row on each side. The same labels, fraction and seed give the same split on every machine.
///
/// # Errors
/// [`Error::Usage`] unless the fraction is between 0 and 1, both excluded; [`Error::Data`] when no class has two rows.
pub fn stratified_split(labels: &[Option<String>], test_fraction: f64, seed: u64) -> Result<Split> {
    check(test_fraction)?;
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

/// How often all groups are considered.
const ROUNDS: usize = 10;

/// Takes about `test_fraction` of the rows to the test side, about that of each class, with no group on both sides: groups,
/// in an order drawn by `seed`, are taken, or given back, while that brings the classes' shares nearer to the fraction and leaves
/// each class rows to train on. `groups` are the rows' groups.
///
/// # Errors
/// [`Error::Usage`] unless the fraction is between 0 and 1, both excluded; [`Error::Data`] when the sizes disagree, or no group
/// can be held out because each has all rows of some class.
pub fn grouped_split(labels: &[Option<String>], groups: &[usize], test_fraction: f64, seed: u64) -> Result<Split> {
    check(test_fraction)?;
    if labels.len() != groups.len() {
        return Err(Error::Data(format!("there are {} groups for {} rows", groups.len(), labels.len())));
    }
    let mut split = Split::default();
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut members: BTreeMap<usize, Vec<(usize, &str)>> = BTreeMap::new();
    for (row, (label, &group)) in labels.iter().zip(groups).enumerate() {
        match label {
            Some(label) => {
                *classes.entry(label).or_default() += 1;
                members.entry(group).or_default().push((row, label));
            }
            None => split.unlabelled.push(row),
        }
    }
    let sizes: Vec<usize> = classes.values().copied().collect();
    let place: BTreeMap<&str, usize> = classes.keys().enumerate().map(|(place, &class)| (class, place)).collect();
    let mut members: Vec<(Vec<usize>, Vec<usize>)> = members
        .into_values()
        .map(|rows| {
            let mut counts = vec![0; sizes.len()];
            rows.iter().for_each(|(_, class)| counts[place[class]] += 1);
            (rows.into_iter().map(|(row, _)| row).collect(), counts)
        })
        .collect();
    shuffle(&mut fastrand::Rng::with_seed(seed), &mut members);

    let mut held = vec![0; sizes.len()];
    let with = |held: &[usize], counts: &[usize]| held.iter().zip(counts).map(|(a, b)| a + b).collect::<Vec<_>>();
    // How far the classes' shares are from the fraction.
    let distance = |held: &[usize]| -> f64 {
        held.iter().zip(&sizes).map(|(&held, &size)| (held as f64 / size as f64 - test_fraction).powi(2)).sum()
    };
    let leaves_some = |held: &[usize]| held.iter().zip(&sizes).all(|(held, size)| held < size);
    let mut is_test = vec![false; members.len()];
    // What was taken early may be too much in the end: a few rounds, each of which takes or gives back what brings nearer.
    for _ in 0..ROUNDS {
        let before = is_test.clone();
        for ((_, counts), is_test) in members.iter().zip(&mut is_test) {
            let other: Vec<usize> = match *is_test {
                true => held.iter().zip(counts).map(|(held, count)| held - count).collect(),
                false => with(&held, counts),
            };
            let possible = leaves_some(&other) && other.iter().any(|&held| held > 0);
            if possible && distance(&other) < distance(&held) {
                (*is_test, held) = (!*is_test, other);
            }
        }
        if is_test == before {
            break;
        }
    }
    if !is_test.contains(&true) {
        // All that can be taken are too large: the one that is least so.
        let possible = (0..members.len()).filter(|&group| leaves_some(&members[group].1));
        match possible.min_by(|&a, &b| distance(&members[a].1).total_cmp(&distance(&members[b].1))) {
            Some(group) => (is_test[group], held) = (true, members[group].1.clone()),
            None => return Err(Error::Data("no group can be held out: each has all rows of some class".into())),
        }
    }
    for ((rows, _), is_test) in members.into_iter().zip(is_test) {
        let side = if is_test { &mut split.test } else { &mut split.train };
        side.extend(rows);
    }
    let untested = classes.keys().zip(&held).filter(|(_, held)| **held == 0);
    split.untested = untested.map(|(class, _)| (*class).to_owned()).collect();
    split.train.sort_unstable();
    split.test.sort_unstable();
    Ok(split)
}

fn check(test_fraction: f64) -> Result<()> {
    match test_fraction > 0.0 && test_fraction < 1.0 {
        true => Ok(()),
        false => Err(Error::Usage(format!("the test fraction must be between 0 and 1, got {test_fraction}"))),
    }
}

/// Fisher and Yates, with 64-bit draws on every machine.
fn shuffle<T>(rng: &mut fastrand::Rng, values: &mut [T]) {
    for last in (1..values.len()).rev() {
        values.swap(last, rng.u64(..=last as u64) as usize);
    }
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

    #[test]
    fn groups_stay_together_and_are_held_out_by_seed() {
        // Twenty groups of five rows, a row of class b in each second one.
        let groups: Vec<usize> = (0..100).map(|row| row / 5).collect();
        let labels: Vec<Option<String>> =
            (0..100).map(|row| Some(if row % 10 == 0 { "b" } else { "a" }.to_owned())).collect();
        let split = grouped_split(&labels, &groups, 0.2, 1).unwrap();
        let b = |rows: &[usize]| rows.iter().filter(|&&row| row % 10 == 0).count();
        assert_eq!((split.test.len(), b(&split.test), split.untested.len()), (20, 2, 0));
        assert_ne!(split.test, grouped_split(&labels, &groups, 0.2, 2).unwrap().test);
        // One large group of two: the smaller is taken though it is too much.
        let few: Vec<usize> = (0..100).map(|row| usize::from(row < 60)).collect();
        assert_eq!(grouped_split(&labels, &few, 0.2, 0).unwrap().test, (60..100).collect::<Vec<_>>());
        // Of a class in one group nothing is tested.
        let one = grouped_split(
            &labels,
            &(0..100).map(|row| if row % 10 == 0 { 0 } else { row }).collect::<Vec<_>>(),
            0.2,
            0,
        );
        assert_eq!(one.unwrap().untested, ["b"]);
        for groups in [vec![0; 100], vec![0; 3]] {
            assert!(matches!(grouped_split(&labels, &groups, 0.2, 0), Err(Error::Data(_))));
        }
        assert!(matches!(grouped_split(&labels, &groups, 1.0, 0), Err(Error::Usage(_))));
    }

    proptest! {
        #[test]
        fn no_group_is_on_both_sides(
            rows in prop::collection::vec((0_usize..3, 0_usize..9), 1..60), fraction in 0.01..0.99_f64, seed: u64
        ) {
            let (labels, groups): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let labels: Vec<Option<String>> = labels.into_iter().map(|label| Some(label.to_string())).collect();
            let Ok(split) = grouped_split(&labels, &groups, fraction, seed) else { return Ok(()) };
            prop_assert!(!split.test.is_empty());
            prop_assert!(split.test.iter().all(|&t| split.train.iter().all(|&r| groups[r] != groups[t])));
            let mut rows = [split.train.clone(), split.test.clone()].concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..labels.len()).collect::<Vec<_>>());
            for (row, label) in labels.iter().enumerate() {
                prop_assert!(split.train.iter().any(|&other| labels[other] == *label), "row {}", row);
                let tested = split.test.iter().any(|&other| labels[other] == *label);
                prop_assert_eq!(!tested, split.untested.contains(label.as_ref().unwrap()));
            }
        }

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
