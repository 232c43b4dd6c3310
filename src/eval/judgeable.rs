//! Rows that others of their class can judge.

/// The rows whose class has another row: those that cross-validation can test. A row alone in its class can only be trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgeable {
    /// The rows, ascending.
    pub rows: Vec<usize>,
    /// Their labels, numbered anew as places in `classes`.
    pub labels: Vec<usize>,
    /// The classes that are left, ascending.
    pub classes: Vec<usize>,
}

impl Judgeable {
    /// Of rows with these labels.
    pub fn of(labels: &[usize]) -> Self {
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        let classes: Vec<usize> =
            sorted.chunk_by(|a, b| a == b).filter(|class| class.len() > 1).map(|class| class[0]).collect();
        let renumbered = |(row, class): (usize, &usize)| Some((row, classes.binary_search(class).ok()?));
        let (rows, labels) = labels.iter().enumerate().filter_map(renumbered).unzip();
        Self { rows, labels, classes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_row_are_left_out_and_the_others_renumbered() {
        let found = Judgeable::of(&[3, 0, 1, 3, 1, 2]);
        assert_eq!(found, Judgeable { rows: vec![0, 2, 3, 4], labels: vec![1, 0, 1, 0], classes: vec![1, 3] });
        assert_eq!(Judgeable::of(&[1, 0]).rows, [0; 0]);
    }
}
