//! Samples that occur more than once, within a set and across two.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, s};

use super::check::check_features;
use super::similarity::{by_blocks, unit_rows};
use crate::error::{Error, Result};
use crate::head::{Candidates, search};
use crate::progress::Workers;

/// Cosines are computed in f32: those of equal rows may be this much below 1.
const ROUNDING: f32 = 1e-6;

/// How alike samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// The same content, by its digest.
    Identical,
    /// Embeddings whose cosine reaches the threshold.
    Near,
}

/// Rows that are copies of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateGroup {
    /// Two rows or more, ascending.
    pub rows: Vec<usize>,
    /// Whether all are of one content.
    pub likeness: Likeness,
    /// The least cosine of a row to its nearest in the group.
    pub similarity: f32,
}

/// A row of one set that another set holds too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    /// The row of the first set.
    pub row: usize,
    /// The nearest row of the other set; the first of the same content where there is one.
    pub other: usize,
    /// Whether the contents are the same.
    pub likeness: Likeness,
    /// Their cosine.
    pub similarity: f32,
}

/// Groups of rows of the n×d `x` that are of one content or whose cosine is `threshold` or more, by way of others too. Groups are
/// in the order of their first row. All pairs are compared, n²·d operations; the result does not depend on the threads.
///
/// `contents` are n digests, unknown ones `None`.
///
/// # Errors
/// [`Error::Usage`] unless the threshold is above 0 and at most 1; [`Error::Data`] when there are no values, one is not finite, or
/// there is not one content a row; [`Error::Interrupted`].
pub fn duplicates(
    x: ArrayView2<f32>,
    contents: &[Option<String>],
    threshold: f32,
    workers: Workers,
) -> Result<Vec<DuplicateGroup>> {
    check(x, contents, threshold)?;
    let unit = unit_rows(x);
    let mut sets = Sets::new(x.nrows());
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (row, content) in contents.iter().enumerate() {
        if let Some(content) = content {
            sets.join(*first.entry(content).or_insert(row), row);
        }
    }
    let sets = Mutex::new(sets);
    let best = by_blocks(unit.view(), unit.view(), workers, |range, cosines| {
        let mut best = vec![f32::NEG_INFINITY; range.len()];
        for (row, (cosines, best)) in range.zip(cosines.outer_iter().zip(&mut best)) {
            let near = |&(other, &cosine): &(usize, &f32)| other != row && cosine >= threshold - ROUNDING;
            let mut sets = sets.lock().unwrap_or_else(PoisonError::into_inner);
            for (other, &cosine) in cosines.iter().enumerate().filter(near) {
                sets.join(row, other);
                *best = best.max(cosine);
            }
        }
        best
    })?
    .concat();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut sets = sets.into_inner().unwrap_or_else(PoisonError::into_inner);
    for row in 0..x.nrows() {
        groups.entry(sets.root(row)).or_default().push(row);
    }
    let group = |rows: Vec<usize>| {
        let same = contents[rows[0]].is_some() && rows.iter().all(|&row| contents[row] == contents[rows[0]]);
        let likeness = if same { Likeness::Identical } else { Likeness::Near };
        // A row that is here by its content alone may have no near one.
        let own = |&row: &usize| if best[row].is_finite() { best[row] } else { among(&unit, row, &rows) };
        let similarity = rows.iter().map(own).fold(1.0, f32::min);
        DuplicateGroup { rows, likeness, similarity }
    };
    let mut groups: Vec<DuplicateGroup> = groups.into_values().filter(|rows| rows.len() > 1).map(group).collect();
    groups.sort_by_key(|group| group.rows[0]);
    Ok(groups)
}

/// The greatest cosine of a row to another of `rows`.
fn among(unit: &ndarray::Array2<f32>, row: usize, rows: &[usize]) -> f32 {
    let cosine = |&other: &usize| unit.row(row).dot(&unit.row(other));
    rows.iter().filter(|&&other| other != row).map(cosine).fold(f32::NEG_INFINITY, f32::max)
}

/// The rows of `x`, ascending, that `other` holds too: of one content, or with a cosine of `threshold` or more. Between a training
/// and a test set these are what makes a test too good.
///
/// # Errors
/// As [`duplicates`], for either set; [`Error::Mismatch`] when the lengths of the embeddings differ.
pub fn leaks(
    (x, contents): (ArrayView2<f32>, &[Option<String>]),
    (other, other_contents): (ArrayView2<f32>, &[Option<String>]),
    threshold: f32,
    workers: Workers,
) -> Result<Vec<Leak>> {
    check(x, contents, threshold)?;
    check(other, other_contents, threshold)?;
    if x.ncols() != other.ncols() {
        let (expected, got) = (x.ncols().to_string(), other.ncols().to_string());
        return Err(Error::Mismatch { what: "lengths of embeddings".into(), expected, got });
    }
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (row, content) in other_contents.iter().enumerate() {
        if let Some(content) = content {
            first.entry(content).or_insert(row);
        }
    }
    let (unit, base) = (unit_rows(x), unit_rows(other));
    let nearest = search(unit.view(), base.view(), 1, Candidates::All, workers)?.concat();
    let leak = |(row, (other, similarity)): (usize, (u32, f32))| {
        let same = contents[row].as_deref().and_then(|content| first.get(content));
        match same {
            Some(&other) => {
                let similarity = unit.slice(s![row, ..]).dot(&base.slice(s![other, ..]));
                Some(Leak { row, other, likeness: Likeness::Identical, similarity })
            }
            None if similarity >= threshold - ROUNDING => {
                Some(Leak { row, other: other as usize, likeness: Likeness::Near, similarity })
            }
            None => None,
        }
    };
    Ok(nearest.into_iter().enumerate().filter_map(leak).collect())
}

fn check(x: ArrayView2<f32>, contents: &[Option<String>], threshold: f32) -> Result<()> {
    if !(threshold > 0.0 && threshold <= 1.0) {
        return Err(Error::Usage(format!("the cosine of duplicates must be above 0 and at most 1, got {threshold}")));
    }
    check_features(x)?;
    if contents.len() != x.nrows() {
        return Err(Error::Data(format!("there are {} contents for {} rows", contents.len(), x.nrows())));
    }
    Ok(())
}

/// Disjoint sets of rows (union-find); the root is the first row.
struct Sets(Vec<usize>);

impl Sets {
    fn new(rows: usize) -> Self {
        Self((0..rows).collect())
    }

    fn root(&mut self, mut row: usize) -> usize {
        while self.0[row] != row {
            self.0[row] = self.0[self.0[row]];
            row = self.0[row];
        }
        row
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::close::{Tolerance, assert_close};

    use std::num::NonZeroUsize;

    const ONE: Workers = Workers { threads: NonZeroUsize::MIN, progress: &() };

    fn unknown(rows: usize) -> Vec<Option<String>> {
        vec![None; rows]
    }

    #[test]
    fn groups_are_closed_over_chains() {
        // Angles of 0, 10, 20, 90 and 95 degrees, of different lengths: each within 10 degrees of a neighbour.
        let at = |degrees: f32, length: f32| [length * degrees.to_radians().cos(), length * degrees.to_radians().sin()];
        let x = Array2::from(vec![
            at(0.0, 1.0),
            at(90.0, 2.0),
            at(10.0, 30.0),
            at(95.0, 1.0),
            at(20.0, 0.1),
            at(180.0, 1.0),
        ]);
        let groups = duplicates(x.view(), &unknown(6), 11_f32.to_radians().cos(), ONE).unwrap();
        assert_eq!(groups.iter().map(|g| g.rows.clone()).collect::<Vec<_>>(), [vec![0, 2, 4], vec![1, 3]]);
        assert!(groups.iter().all(|g| g.likeness == Likeness::Near));
        let cosines = [10_f64, 5.0].map(|degrees| degrees.to_radians().cos());
        assert_close(groups.iter().map(|g| g.similarity), cosines, Tolerance::Approximate);
    }

    #[test]
    fn every_pair_is_compared_whatever_the_threads() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut x = Array2::from_shape_fn((700, 6), |_| rng.f32() - 0.5);
        for (copy, of) in [(650, 3), (12, 400), (699, 12)] {
            let row = x.row(of).to_owned();
            x.row_mut(copy).assign(&(row * 3.0));
        }
        let threshold = 0.99_f32;
        let mut sets = Sets::new(700);
        for (a, b) in (0..700).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let (a_row, b_row) = (x.row(a), x.row(b));
            let cosine = a_row.dot(&b_row) / (a_row.dot(&a_row) * b_row.dot(&b_row)).sqrt();
            if cosine >= threshold {
                sets.join(a, b);
            }
        }
        let mut want: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        (0..700).for_each(|row| want.entry(sets.root(row)).or_default().push(row));
        let want: Vec<Vec<usize>> = want.into_values().filter(|rows| rows.len() > 1).collect();
        assert!(want.iter().any(|rows| rows.starts_with(&[12])) && want.len() > 2);
        let found = |threads| {
            let workers = Workers { threads: NonZeroUsize::new(threads).unwrap(), progress: &() };
            duplicates(x.view(), &unknown(700), threshold, workers).unwrap()
        };
        assert_eq!(found(1).into_iter().map(|g| g.rows).collect::<Vec<_>>(), want);
        assert_eq!(found(1), found(4));
    }

    #[test]
    fn one_content_is_one_sample() {
        let x = array![[1.0_f32, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        let contents = ["a", "b", "a", "", ""].map(|c| (!c.is_empty()).then(|| c.to_owned()));
        let groups = duplicates(x.view(), &contents, 0.9, ONE).unwrap();
        // Rows of zeros are like nothing.
        assert_eq!(groups, [DuplicateGroup { rows: vec![0, 2], likeness: Likeness::Identical, similarity: -1.0 }]);
    }

    #[test]
    fn leaks_are_found_by_content_and_by_cosine() {
        let train = array![[1.0_f32, 0.0], [0.0, 2.0], [1.0, 1.0]];
        let test = array![[0.0_f32, 1.0], [1.0, -1.0], [5.0, 5.0], [-1.0, 0.0]];
        let some = |text: &str| Some(text.to_owned());
        let found = leaks(
            (test.view(), &[None, None, some("x"), some("y")]),
            (train.view(), &[some("y"), None, some("z")]),
            0.99,
            ONE,
        )
        .unwrap();
        let told: Vec<_> = found.iter().map(|leak| (leak.row, leak.other, leak.likeness)).collect();
        assert_eq!(told, [(0, 1, Likeness::Near), (2, 2, Likeness::Near), (3, 0, Likeness::Identical)]);
        assert_close(found.iter().map(|leak| leak.similarity), [1.0, 1.0, -1.0], Tolerance::Approximate);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let x = array![[1.0_f32, 0.0], [f32::INFINITY, 1.0]];
        assert!(duplicates(x.view(), &unknown(2), 0.9, ONE).unwrap_err().to_string().contains("row 1"));
        assert!(
            duplicates(x.slice(s![..1, ..]), &unknown(2), 0.9, ONE).unwrap_err().to_string().contains("2 contents")
        );
        for threshold in [0.0, 1.1, f32::NAN] {
            assert!(matches!(duplicates(x.view(), &unknown(2), threshold, ONE), Err(Error::Usage(_))));
        }
        let (one, two) = (array![[1.0_f32]], array![[1.0_f32, 0.0]]);
        let found = leaks((one.view(), &unknown(1)), (two.view(), &unknown(1)), 0.9, ONE);
        assert!(matches!(found, Err(Error::Mismatch { .. })));
    }
}
