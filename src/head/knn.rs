//! k nearest neighbours: builder, checked parameters, fit.

mod head;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use linfa::ParamGuard;
use ndarray::{ArrayView2, Axis};

pub(crate) use head::FLOOR;
pub use head::KnnHead;

use self::head::vote;
use super::fitted::Head;
use super::linear::Input;
use super::search::{Candidates, search};
use super::training::{count_classes, positive};
use crate::error::{Error, Result};
use crate::logits::first_maximum;
use crate::progress::Workers;

/// Numbers of neighbours that are tried; those of Caron et al. 2021.
const TRIED: [usize; 4] = [10, 20, 100, 200];

/// How many neighbours vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Neighbours {
    /// The number of 10, 20, 100 and 200 with the best accuracy when each row is left out in turn, the least among equals
    /// (the default). Of fewer than 11 rows, all the others. Where rows are grouped, each group is left out in turn, and
    /// "the others" are the rows outside of the largest group.
    #[default]
    LeaveOneOut,
    /// As many as given, at most the number of rows.
    Fixed(NonZeroUsize),
}

/// Weighted k-NN classification by cosine, as DINO evaluates backbones (Caron et al. 2021, `eval_knn.py`): nothing is fitted
/// but the number of neighbours.
///
/// ```
/// use engraft::head::Knn;
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.9], [1.0, 0.1], [0.8, 0.0]];
/// let fitted = Knn::new().fit(x.view(), &[0, 0, 1, 1])?;
/// assert_eq!(fitted.head.classify(x.view())?, array![0, 0, 1, 1]);
/// # Ok::<(), engraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Knn(CheckedKnn);

/// The parameters of [`Knn`] after their check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedKnn {
    neighbours: Neighbours,
    temperature: f32,
    threads: Option<NonZeroUsize>,
}

/// A fitted head and what its number of neighbours was chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedKnn {
    /// The head.
    pub head: Head,
    /// How many neighbours vote.
    pub neighbours: usize,
    /// For each number of neighbours that was tried, the share of rows that the others classify correctly.
    pub path: Vec<KnnPoint>,
}

/// One number of neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnnPoint {
    /// How many vote.
    pub neighbours: usize,
    /// Leave-one-out accuracy.
    pub accuracy: f64,
}

impl Default for Knn {
    fn default() -> Self {
        Self(CheckedKnn { neighbours: Neighbours::default(), temperature: 0.07, threads: None })
    }
}

impl Knn {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many neighbours vote; chosen by leave-one-out unless told otherwise.
    pub fn neighbours(mut self, neighbours: Neighbours) -> Self {
        self.0.neighbours = neighbours;
        self
    }

    /// T of the vote `exp(similarity/T)`; 0.07 by default.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.0.temperature = temperature;
        self
    }

    /// Number of threads; as many as the process may use by default. The result does not depend on it.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.0.threads = Some(threads);
        self
    }

    /// Checks the parameters and fits; see [`CheckedKnn::fit`].
    ///
    /// # Errors
    /// [`Error::Usage`] when the temperature is not above 0; those of the fit.
    pub fn fit(&self, x: ArrayView2<f32>, labels: &[usize]) -> Result<FittedKnn> {
        self.check_ref()?.fit(x, labels)
    }

    /// Checks the parameters and fits; see [`CheckedKnn::fit_grouped`].
    ///
    /// # Errors
    /// As [`Knn::fit`], and those of the fit.
    pub fn fit_grouped(&self, x: ArrayView2<f32>, labels: &[usize], groups: &[usize]) -> Result<FittedKnn> {
        self.check_ref()?.fit_grouped(x, labels, groups)
    }
}

impl ParamGuard for Knn {
    type Checked = CheckedKnn;
    type Error = Error;

    fn check_ref(&self) -> Result<&CheckedKnn> {
        positive("the temperature", f64::from(self.0.temperature))?;
        Ok(&self.0)
    }

    fn check(self) -> Result<CheckedKnn> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl CheckedKnn {
    /// A head of n×d features and n class indices `0..K` that each occur.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, no columns, fewer than two classes, a class without rows, a value that is not
    /// finite, or more neighbours asked for than there are rows; [`Error::Mismatch`] when there is another number of labels
    /// than rows.
    pub fn fit(&self, x: ArrayView2<f32>, labels: &[usize]) -> Result<FittedKnn> {
        self.fit_on(x, labels, None)
    }

    /// The same of rows in these n `groups`: no row is judged by others of its group. Rows of one group are not judged, and as
    /// many as [`Neighbours::LeaveOneOut`] tries first vote.
    ///
    /// # Errors
    /// As [`CheckedKnn::fit`]; [`Error::Mismatch`] when there is another number of groups than rows.
    pub fn fit_grouped(&self, x: ArrayView2<f32>, labels: &[usize], groups: &[usize]) -> Result<FittedKnn> {
        if groups.len() != x.nrows() {
            let (expected, got) = (x.nrows().to_string(), groups.len().to_string());
            return Err(Error::Mismatch { what: "the numbers of feature rows and groups".into(), expected, got });
        }
        self.fit_on(x, labels, Some(groups))
    }

    fn fit_on(&self, x: ArrayView2<f32>, labels: &[usize], groups: Option<&[usize]>) -> Result<FittedKnn> {
        let classes = count_classes(x, labels)?;
        let path = match self.neighbours {
            Neighbours::LeaveOneOut => self.path(x, labels, groups, classes)?,
            Neighbours::Fixed(_) => Vec::new(),
        };
        let best = path.iter().reduce(|best, point| if point.accuracy > best.accuracy { point } else { best });
        let neighbours = match (self.neighbours, best) {
            (Neighbours::Fixed(neighbours), _) => neighbours.get(),
            (Neighbours::LeaveOneOut, best) => best.map_or(TRIED[0].min(x.nrows()), |point| point.neighbours),
        };
        let head = KnnHead::new(x, labels.to_vec(), classes, neighbours, self.temperature)?;
        Ok(FittedKnn { head: head.into(), neighbours, path })
    }

    /// Empty where all rows are of one group.
    fn path(
        &self,
        x: ArrayView2<f32>,
        labels: &[usize],
        groups: Option<&[usize]>,
        classes: usize,
    ) -> Result<Vec<KnnPoint>> {
        let others = x.nrows() - groups.map_or(1, largest);
        if others == 0 {
            return Ok(Vec::new());
        }
        let mut tried: Vec<usize> = TRIED.into_iter().filter(|&k| k <= others).collect();
        if tried.is_empty() {
            tried.push(others);
        }
        let most = tried.last().copied().unwrap_or(others);
        let workers = match self.threads {
            Some(threads) => Workers { threads, ..Workers::all() },
            None => Workers::all(),
        };
        let unit = Input::UnitLength.of(x);
        let which = groups.map_or(Candidates::Others, Candidates::OtherGroups);
        let found = search(unit.view(), unit.view(), most, which, workers)?;
        let accuracy = |k: usize| {
            let right = found.iter().zip(labels).filter(|(found, label)| {
                first_maximum(vote(&found[..k], labels, classes, self.temperature).view()) == **label
            });
            right.count() as f64 / x.len_of(Axis(0)) as f64
        };
        Ok(tried.into_iter().map(|k| KnnPoint { neighbours: k, accuracy: accuracy(k) }).collect())
    }
}

/// The number of rows of the largest group.
fn largest(groups: &[usize]) -> usize {
    let mut sizes = std::collections::HashMap::new();
    groups.iter().for_each(|group| *sizes.entry(group).or_insert(0) += 1);
    sizes.into_values().max().unwrap_or(0)
}
