//! How rows are divided for cross-validation.

use super::folds::Folds;
use crate::error::Result;

/// How rows are divided into folds: how many, how often, and what must stay together.
///
/// ```
/// use engraft::eval::Division;
///
/// let folds = Division::new(5, 0).repeated(3).draw(&[0, 1, 0, 1, 0, 1])?;
/// assert_eq!(folds.iter().count(), 15);
/// # Ok::<(), engraft::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division<'a> {
    folds: usize,
    repeats: usize,
    groups: Option<&'a [usize]>,
    seed: u64,
}

impl<'a> Division<'a> {
    /// `folds` stratified folds drawn by `seed`.
    pub fn new(folds: usize, seed: u64) -> Self {
        Self { folds, repeats: 1, groups: None, seed }
    }

    /// So many times, with other draws.
    pub fn repeated(self, repeats: usize) -> Self {
        Self { repeats, ..self }
    }

    /// With no group on both sides of a fold: the group of each row, where there are any.
    pub fn grouped(self, groups: Option<&'a [usize]>) -> Self {
        Self { groups, ..self }
    }

    /// The group of each row, where there are any.
    pub fn groups(&self) -> Option<&'a [usize]> {
        self.groups
    }

    /// How many times the rows are divided.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// The folds of rows with these labels; fewer than asked for where there are not so many rows or groups.
    ///
    /// # Errors
    /// As [`Folds::repeated`] and [`Folds::grouped`].
    pub fn draw(&self, labels: &[usize]) -> Result<Folds> {
        match self.groups {
            None => Folds::repeated(labels, self.folds.min(labels.len()), self.repeats, self.seed),
            Some(groups) => {
                let distinct = groups.iter().collect::<std::collections::BTreeSet<_>>().len();
                Folds::grouped(labels, groups, (self.folds.min(distinct), self.repeats), self.seed)
            }
        }
    }
}
