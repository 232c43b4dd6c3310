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

    /// The rows of the smallest class: more than that cannot be drawn.
    pub fn most(&self) -> usize {
        self.classes.values().map(Vec::len).min().unwrap_or(0)
    }

    /// `n` rows of each class, or all that it has, ascending.
    ///
    /// # Errors
    /// [`Error::Data`] when `n` is 0.
    pub fn draw_at_most(&self, n: usize) -> Result<Vec<usize>> {
        if n == 0 {
            return Err(Error::Data("a few-shot draw needs at least 1 row a class".to_string()));
        }
        let mut drawn: Vec<usize> =
            self.classes.values().flat_map(|rows| &rows[..n.min(rows.len())]).copied().collect();
        drawn.sort_unstable();
        Ok(drawn)
    }

    /// `n` rows of each class, ascending.
    ///
    /// # Errors
    /// [`Error::Data`] when `n` is 0 or a class has fewer rows.
    pub fn draw(&self, n: usize) -> Result<Vec<usize>> {
        match self.classes.iter().find(|(_, rows)| rows.len() < n) {
            Some((class, rows)) => {
                Err(Error::Data(format!("class {class} has {} rows: {n} a class cannot be drawn", rows.len())))
            }
            None => self.draw_at_most(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_nested_even_and_repeatable() {
        let labels: Vec<usize> = (0..90).map(|row| [0, 2, 2][row % 3]).collect();
        let draws = FewShot::new(&labels, 5).unwrap();
        assert_eq!(draws.most(), 30);
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
    fn impossible_draws_are_refused() {
        assert!(FewShot::new(&[], 0).unwrap_err().to_string().contains("no rows"));
        let draws = FewShot::new(&[0, 0, 1], 0).unwrap();
        assert!(draws.draw(2).unwrap_err().to_string().contains("class 1 has 1 rows"));
        assert_eq!(draws.draw_at_most(5).unwrap(), [0, 1, 2]);
        assert!(draws.draw(0).unwrap_err().to_string().contains("at least 1"));
    }
}
