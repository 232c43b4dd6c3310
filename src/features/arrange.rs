//! Rows in another order, or some of them, without a second copy of the matrix.

use ndarray::{Zip, s};

use super::FeatureSet;

impl FeatureSet {
    /// The rows of these indices, in this order, as [`select`](Self::select) gives them; but they are moved within the
    /// matrix, which may be most of the memory, instead of copied out of it.
    ///
    /// # Panics
    /// When an index is not below [`len`](Self::len), or occurs twice.
    pub fn into_rows(mut self, rows: &[usize]) -> Self {
        // Where each row is by now, and which row is where.
        let mut place: Vec<usize> = (0..self.len()).collect();
        let mut row_at = place.clone();
        for (to, &row) in rows.iter().enumerate() {
            let from = place[row];
            assert!(from >= to, "row {row} is wanted twice");
            if from > to {
                self.swap(to, from);
                row_at.swap(to, from);
                place[row_at[from]] = from;
            }
        }
        self.ids.truncate(rows.len());
        self.labels.truncate(rows.len());
        self.contents.truncate(rows.len());
        self.kept.values_mut().for_each(|column| column.truncate(rows.len()));
        self.matrix = self.matrix.slice_move(s![..rows.len(), ..]);
        self
    }

    /// Exchanges two different rows.
    fn swap(&mut self, one: usize, other: usize) {
        self.ids.swap(one, other);
        self.labels.swap(one, other);
        self.contents.swap(one, other);
        self.kept.values_mut().for_each(|column| column.swap(one, other));
        let (one, other) = self.matrix.multi_slice_mut((s![one, ..], s![other, ..]));
        Zip::from(one).and(other).for_each(std::mem::swap);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn set(n: usize) -> FeatureSet {
        FeatureSet {
            ids: (0..n).map(|row| row.to_string()).collect(),
            labels: (0..n).map(|row| (row % 3 > 0).then(|| (row % 3).to_string())).collect(),
            contents: (0..n).map(|row| Some(format!("content {row}"))).collect(),
            kept: [("user".to_owned(), (0..n).map(|row| Some((row / 2).to_string())).collect())].into(),
            matrix: Array2::from_shape_fn((n, 3), |(row, column)| (10 * row + column) as f32),
            provenance: None,
        }
    }

    proptest! {
        #[test]
        fn rows_are_moved_to_where_select_copies_them(order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(), some in 0_usize..=12) {
            let rows = &order[..some];
            prop_assert_eq!(set(12).into_rows(rows), set(12).select(rows));
        }
    }

    #[test]
    #[should_panic(expected = "row 1 is wanted twice")]
    fn a_row_cannot_be_moved_to_two_places() {
        set(3).into_rows(&[1, 2, 1]);
    }
}
