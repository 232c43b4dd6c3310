//! Few-shot draws: a few rows of each class.

use std::collections::BTreeMap;

use super::folds::{rows_of_classes, shuffle};
use crate::error::{Error, Result};

/// Nested draws from labelled rows: the draw of 4 a class contains the draw of 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FewShot {
    /// The rows of each class in the order in which they are drawn.
    classes: BTreeMap<usize, Vec<usize>>,
}

impl FewShot {
    /// Draws from rows with these `labels`; another `seed` draws other rows.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows.
    pub fn new(labels: &[usize], seed: u64) -> Result<Self> {
        let mut classes = rows_of_classes(labels);
        if classes.is_empty() {
            return Err(Error::Data("there are no rows to draw from".to_string()));
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        classes.values_mut().for_each(|rows| shuffle(&mut rng, rows));
        Ok(Self { classes })
    }

    /// `n` rows of each class, or all that it has, ascending.
    ///
    /// # Errors
    /// [`Error::Data`] when `n` is 0.
    pub fn draw(&self, n: usize) -> Result<Vec<usize>> {
        if n == 0 {
            return Err(Error::Data("a few-shot draw needs at least 1 row a class".to_string()));
        }
        let mut drawn: Vec<usize> =
            self.classes.values().flat_map(|rows| &rows[..n.min(rows.len())]).copied().collect();
        drawn.sort_unstable();
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_nested_even_and_repeatable() {
        let labels: Vec<usize> = (0..90).map(|row| [0, 2, 2][row % 3]).collect();
        let draws = FewShot::new(&labels, 5).unwrap();
        let mut smaller = Vec::new();
        for n in [1, 2, 4, 30] {
            let rows = draws.draw(n).unwrap();
            assert!(smaller.iter().all(|row| rows.contains(row)));
            assert!(rows.is_sorted_by(|a, b| a < b));
            for class in [0, 2] {
                assert_eq!(rows.iter().filter(|&&row| labels[row] == class).count(), n);
            }
            smaller = rows;
        }
        assert_eq!(draws, FewShot::new(&labels, 5).unwrap());
        assert_ne!(draws.draw(4).unwrap(), FewShot::new(&labels, 6).unwrap().draw(4).unwrap());
    }

    #[test]
    fn a_small_class_gives_all_it_has_and_impossible_draws_are_refused() {
        assert!(FewShot::new(&[], 0).unwrap_err().to_string().contains("no rows"));
        let draws = FewShot::new(&[0, 0, 1], 0).unwrap();
        assert_eq!(draws.draw(5).unwrap(), [0, 1, 2]);
        assert!(draws.draw(0).unwrap_err().to_string().contains("at least 1"));
    }
}
