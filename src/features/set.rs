//! A feature set in memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::path::Path;

use ndarray::{Array2, Axis, s};

use super::{Provenance, Rows};
use crate::error::{Error, Result};

/// Columns by name, each with one value a row, where known.
pub type Kept = BTreeMap<String, Vec<Option<String>>>;

/// Ids, labels and the n×d matrix of embeddings, with what made them.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    /// One id a row, unique.
    pub ids: Vec<String>,
    /// One label a row, where known.
    pub labels: Vec<Option<String>>,
    /// A digest of each input's content, where known: equal content has equal digests.
    pub contents: Vec<Option<String>>,
    /// Further columns: of what a file holds, those that were asked for.
    pub kept: Kept,
    /// n×d.
    pub matrix: Array2<f32>,
    /// What made the matrix.
    pub provenance: Option<Provenance>,
}

impl FeatureSet {
    /// The rows of several sets, one after the other.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no set or an id occurs twice; [`Error::Mismatch`] when backbones, preprocessing,
    /// pooling, lengths or the names of kept columns differ.
    pub fn concat(sets: Vec<Self>) -> Result<Self> {
        let mut sets = sets.into_iter();
        let mut all = sets.next().ok_or_else(|| Error::Data("there are no features".to_owned()))?;
        for set in sets {
            Provenance::join(&mut all.provenance, &set.provenance, || "the features".to_owned())?;
            if !all.kept.keys().eq(set.kept.keys()) {
                let names = |kept: &Kept| kept.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(Error::Mismatch {
                    what: "the kept columns".to_owned(),
                    expected: names(&all.kept),
                    got: names(&set.kept),
                });
            }
            // In place: a copy of all would take as much memory again.
            all.matrix.append(Axis(0), set.matrix.view()).map_err(|_| Error::Mismatch {
                what: "lengths of embeddings".to_owned(),
                expected: all.matrix.ncols().to_string(),
                got: set.matrix.ncols().to_string(),
            })?;
            all.ids.extend(set.ids);
            all.labels.extend(set.labels);
            all.contents.extend(set.contents);
            all.kept.values_mut().zip(set.kept.into_values()).for_each(|(all, more)| all.extend(more));
        }
        let mut seen = HashSet::with_capacity(all.ids.len());
        match all.ids.iter().find(|id| !seen.insert(id.as_str())) {
            Some(id) => Err(Error::Data(format!("the id {id:?} occurs twice in the features"))),
            None => Ok(all),
        }
    }

    /// Passes sets on of which every value is finite; a classifier can learn nothing from others.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first row with a NaN or infinite value.
    pub fn finite(self) -> Result<Self> {
        let usable = |row: ndarray::ArrayView1<f32>| row.iter().all(|value| value.is_finite());
        match self.matrix.outer_iter().position(|row| !usable(row)) {
            Some(row) => Err(Error::Data(format!("the features of {} have a NaN or infinite value", self.ids[row]))),
            None => Ok(self),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.matrix.nrows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the embeddings.
    pub fn dimension(&self) -> usize {
        self.matrix.ncols()
    }

    /// The rows of these indices, in this order.
    ///
    /// # Panics
    /// When an index is not below [`len`](Self::len).
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            ids: rows.iter().map(|&row| self.ids[row].clone()).collect(),
            labels: rows.iter().map(|&row| self.labels[row].clone()).collect(),
            contents: rows.iter().map(|&row| self.contents[row].clone()).collect(),
            kept: self.kept_of(|values| rows.iter().map(|&row| values[row].clone()).collect()),
            matrix: self.matrix.select(Axis(0), rows),
            provenance: self.provenance.clone(),
        }
    }

    /// The labels that occur, sorted, each once.
    pub fn class_names(&self) -> Vec<String> {
        self.labels.iter().flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// The rows whose label is one of `names`, in ascending order.
    pub fn rows_labelled(&self, names: &[String]) -> Vec<usize> {
        let known: HashSet<&String> = names.iter().collect();
        (0..self.len()).filter(|&row| self.labels[row].as_ref().is_some_and(|label| known.contains(label))).collect()
    }

    /// The index of each row's label in `names`.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first row that has no label or one that is not in `names`.
    pub fn class_indices(&self, names: &[String]) -> Result<Vec<usize>> {
        let index: std::collections::HashMap<&str, usize> =
            names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let of = |(id, label): (&String, &Option<String>)| match label {
            None => Err(Error::Data(format!("{id} has no label"))),
            Some(label) => index.get(label.as_str()).copied().ok_or_else(|| {
                Error::Data(format!("{id} has the label `{label}`, which is not among the {} classes", names.len()))
            }),
        };
        self.ids.iter().zip(&self.labels).map(of).collect()
    }

    /// The kept columns, each as `part` has it.
    fn kept_of(&self, part: impl Fn(&[Option<String>]) -> Vec<Option<String>>) -> Kept {
        self.kept.iter().map(|(name, values)| (name.clone(), part(values))).collect()
    }

    pub(super) fn rows(&self, range: Range<usize>) -> Rows {
        Rows {
            ids: self.ids[range.clone()].to_vec(),
            labels: self.labels[range.clone()].to_vec(),
            contents: self.contents[range.clone()].to_vec(),
            kept: self.kept_of(|values| values[range.clone()].to_vec()).into_values().collect(),
            matrix: self.matrix.slice(s![range, ..]).to_owned(),
        }
    }

    /// The set, if its ids are unique and its length is the provenance's. `path` is where it was read from.
    pub(super) fn checked(self, path: &Path) -> Result<Self> {
        let mut seen = HashSet::with_capacity(self.ids.len());
        if let Some(twice) = self.ids.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(Error::malformed(path, format!("the id {twice} occurs twice")));
        }
        if let Some(p) = self.provenance.as_ref().filter(|p| p.dimension != self.dimension()) {
            let reason = format!("embeddings of length {}, but its provenance says {}", self.dimension(), p.dimension);
            return Err(Error::malformed(path, reason));
        }
        Ok(self)
    }
}
