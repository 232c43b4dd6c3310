//! What is adapted: labelled rows of one domain, and rows of another.

use ndarray::{Array2, ArrayView2, Axis, concatenate};

use crate::counted::counted;
use crate::error::{Error, Result};

/// Features of a source domain with their labels, and of a target domain, where the labels of a few rows may be known.
#[derive(Debug, Clone, Copy)]
pub struct Domains<'a> {
    pub(super) source: ArrayView2<'a, f32>,
    pub(super) labels: &'a [usize],
    pub(super) classes: usize,
    pub(super) target: ArrayView2<'a, f32>,
    pub(super) known: &'a [(usize, usize)],
}

impl<'a> Domains<'a> {
    /// `source` n×d with `labels`, n class indices of which each of 0..K has a row, and `target` m×d.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the widths or the numbers of rows and labels differ; [`Error::Data`] when a domain has no rows or no
    /// columns, a value is not finite, there are fewer than two classes, or a class below the greatest has no source row.
    pub fn new(source: ArrayView2<'a, f32>, labels: &'a [usize], target: ArrayView2<'a, f32>) -> Result<Self> {
        if source.ncols() != target.ncols() {
            return Err(Error::Mismatch {
                what: "the features of source and target, which must come from one backbone,".into(),
                expected: counted(source.ncols(), "value"),
                got: counted(target.ncols(), "value"),
            });
        }
        check_rows("source", source)?;
        check_rows("target", target)?;
        if labels.len() != source.nrows() {
            return Err(Error::Mismatch {
                what: "the numbers of source rows and labels".into(),
                expected: source.nrows().to_string(),
                got: labels.len().to_string(),
            });
        }
        let top = labels.iter().copied().max().unwrap_or(0);
        if top == 0 {
            return Err(Error::Data("all source rows have the same label: nothing to tell apart".into()));
        }
        // K classes with a row each need K rows: a greater index is refused before anything of its size is allocated.
        let mut seen = vec![false; (top + 1).min(labels.len())];
        labels.iter().filter(|&&label| label < labels.len()).for_each(|&label| seen[label] = true);
        if let Some(class) = seen.iter().position(|seen| !seen) {
            return Err(Error::Data(format!("class {class} has no source row to learn from")));
        }
        Ok(Self { source, labels, classes: top + 1, target, known: &[] })
    }

    /// Of a few target rows the class is known: pairs of row and class.
    ///
    /// # Errors
    /// [`Error::Data`] when a row is not of the target, is named twice, or its class is not one of the source's.
    pub fn with_known(self, known: &'a [(usize, usize)]) -> Result<Self> {
        let mut seen = std::collections::BTreeSet::new();
        for &(row, class) in known {
            let reason = if row >= self.target.nrows() {
                format!("there is no target row {row}: there are {}", self.target.nrows())
            } else if class >= self.classes {
                format!("target row {row} is of class {class}, which no source row is of")
            } else if !seen.insert(row) {
                format!("the class of target row {row} is given twice")
            } else {
                continue;
            };
            return Err(Error::Data(reason));
        }
        Ok(Self { known, ..self })
    }

    /// n×d.
    pub fn source(&self) -> ArrayView2<'a, f32> {
        self.source
    }

    /// The class of each source row.
    pub fn labels(&self) -> &'a [usize] {
        self.labels
    }

    /// K.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// m×d.
    pub fn target(&self) -> ArrayView2<'a, f32> {
        self.target
    }

    /// Target rows whose class is known, with it.
    pub fn known(&self) -> &'a [(usize, usize)] {
        self.known
    }

    /// d.
    pub fn dimension(&self) -> usize {
        self.source.ncols()
    }

    /// The share of each class among the source rows; none is 0.
    pub fn source_priors(&self) -> Vec<f64> {
        let mut priors = vec![0.0; self.classes];
        self.labels.iter().for_each(|&label| priors[label] += 1.0 / self.labels.len() as f64);
        priors
    }

    /// Fails unless both domains have two rows, which `what` cannot do without.
    pub(super) fn two_rows(&self, what: &str) -> Result<()> {
        for (domain, rows) in [("source", self.source.nrows()), ("target", self.target.nrows())] {
            if rows < 2 {
                return Err(Error::Data(format!(
                    "{what} needs two rows and more of each domain; the {domain} has {rows}"
                )));
            }
        }
        Ok(())
    }
}

/// Fails unless n×d features have rows, columns and finite values alone.
pub(super) fn check_rows(domain: &str, x: ArrayView2<f32>) -> Result<()> {
    if x.is_empty() {
        return Err(Error::Data(format!("the {domain} is {} rows of {} values", x.nrows(), x.ncols())));
    }
    for (i, row) in x.rows().into_iter().enumerate() {
        if let Some(j) = row.iter().position(|v| !v.is_finite()) {
            return Err(Error::Data(format!("feature {j} of {domain} row {i} is {}; rows count from 0", row[j])));
        }
    }
    Ok(())
}

/// At most `most` of these rows, ascending.
pub(super) fn drawn(rows: impl ExactSizeIterator<Item = usize>, most: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut picked = if rows.len() > most { rng.choose_multiple(rows, most) } else { rows.collect() };
    picked.sort_unstable();
    picked
}

/// The rows of both domains, those of the source first, and for each the domain it is of: 0, the source, or 1, the target.
///
/// # Errors
/// When the domains have another width each.
pub fn together(source: ArrayView2<f32>, target: ArrayView2<f32>) -> Result<(Array2<f32>, Vec<usize>)> {
    let all = concatenate(Axis(0), &[source.view(), target.view()]).map_err(|e| Error::Data(e.to_string()))?;
    let domain = (0..all.nrows()).map(|row| usize::from(row >= source.nrows())).collect();
    Ok((all, domain))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn what_cannot_be_adapted_is_told_apart() {
        let (x, other) = (array![[0.0_f32, 1.0], [1.0, 0.0], [2.0, 2.0]], array![[1.0_f32, 1.0]]);
        let reason = |labels: &[usize], target: &Array2<f32>| {
            Domains::new(x.view(), labels, target.view()).map(|_| ()).unwrap_err().to_string()
        };
        let domains = Domains::new(x.view(), &[1, 0, 1], other.view()).unwrap();
        assert_eq!((domains.classes(), domains.dimension()), (2, 2));
        assert!(reason(&[0, 1, 1], &array![[1.0]]).contains("one backbone"));
        assert!(reason(&[0, 1, 1], &Array2::zeros((0, 2))).contains("the target is 0 rows"));
        assert!(reason(&[0, 1, 1], &array![[1.0, f32::NAN]]).contains("feature 1 of target row 0 is NaN"));
        assert!(reason(&[0, 1], &other).contains("do not match"));
        assert!(reason(&[0, 0, 0], &other).contains("same label"));
        assert!(reason(&[0, 2, 2], &other).contains("class 1 has no source row"));
        assert!(reason(&[0, usize::MAX - 1, 1], &other).contains("class 2 has no source row"));
        for (known, expected) in [(&[(1, 0)], "no target row 1"), (&[(0, 2)], "no source row is of")] {
            assert!(domains.with_known(known).unwrap_err().to_string().contains(expected));
        }
        assert!(domains.with_known(&[(0, 0), (0, 1)]).unwrap_err().to_string().contains("twice"));
        assert_eq!(domains.with_known(&[(0, 1)]).unwrap().known(), [(0, 1)]);
    }
}
