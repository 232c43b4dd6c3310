//! Rows that others of their class can judge.

use ndarray::{ArrayView2, Axis, CowArray, Ix2};

/// The rows whose class has a row elsewhere, in another group where rows are grouped: those that cross-validation can test.
/// Others can only be trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgeable {
    /// The rows, ascending.
    pub rows: Vec<usize>,
    /// Their labels, numbered anew as places in `classes`.
    pub labels: Vec<usize>,
    /// The classes that are left, ascending.
    pub classes: Vec<usize>,
    /// The groups of the rows, where they have any.
    pub groups: Option<Vec<usize>>,
}

impl Judgeable {
    /// Of rows with these labels, and groups where they have any.
    pub fn of(labels: &[usize], groups: Option<&[usize]>) -> Self {
        let group = |row: usize| groups.map_or(row, |groups| groups[row]);
        let mut sorted: Vec<(usize, usize)> =
            labels.iter().enumerate().map(|(row, &class)| (class, group(row))).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let classes: Vec<usize> =
            sorted.chunk_by(|a, b| a.0 == b.0).filter(|class| class.len() > 1).map(|class| class[0].0).collect();
        let renumbered = |(row, class): (usize, &usize)| Some((row, classes.binary_search(class).ok()?));
        let (rows, labels): (Vec<usize>, _) = labels.iter().enumerate().filter_map(renumbered).unzip();
        let groups = groups.map(|groups| rows.iter().map(|&row| groups[row]).collect());
        Self { rows, labels, classes, groups }
    }

    /// The rows' features, of all n×d: copied only where some are left out.
    pub fn features<'a>(&self, x: ArrayView2<'a, f32>) -> CowArray<'a, f32, Ix2> {
        if self.rows.len() == x.nrows() { x.into() } else { x.select(Axis(0), &self.rows).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_row_are_left_out_and_the_others_renumbered() {
        let found = Judgeable::of(&[3, 0, 1, 3, 1, 2], None);
        let (rows, labels) = (vec![0, 2, 3, 4], vec![1, 0, 1, 0]);
        assert_eq!(found, Judgeable { rows, labels, classes: vec![1, 3], groups: None });
        let x = ndarray::array![[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]];
        assert_eq!(found.features(x.view()), ndarray::array![[0.0], [2.0], [3.0], [4.0]]);
        assert_eq!(Judgeable::of(&[1, 0], None).rows, [0; 0]);
        // Class 0 lies in one group.
        let grouped = Judgeable::of(&[0, 0, 1, 1], Some(&[7, 7, 7, 2]));
        let groups = Some(vec![7, 2]);
        assert_eq!(grouped, Judgeable { rows: vec![2, 3], labels: vec![0, 0], classes: vec![1], groups });
    }
}
