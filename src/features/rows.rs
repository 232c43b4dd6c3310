//! The rows that writers take, a batch at a time.

use std::ops::Range;

use ndarray::Array2;

use super::Header;
use crate::error::{Error, Result};
use crate::source::Reject;

/// Some rows of a feature set.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// One id a row, unique over all that is appended to one writer.
    pub ids: Vec<String>,
    /// One label a row, where known.
    pub labels: Vec<Option<String>>,
    /// A digest of each input's content, where known.
    pub contents: Vec<Option<String>>,
    /// The kept columns, each with one value a row.
    pub kept: Vec<Vec<Option<String>>>,
    /// n×d.
    pub matrix: Array2<f32>,
}

/// What became of a stretch of the input list: each of its entries is a row or a reject.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Places in the input list, from 0.
    pub entries: Range<u64>,
    /// The wrapping sum of their [`Listed::digest`](crate::source::Listed::digest)s.
    pub digest: u128,
    /// What could be embedded, in order.
    pub rows: Rows,
    /// What could not.
    pub rejects: Vec<Reject>,
    /// How many of the rows are texts that were cut.
    pub truncated: u64,
}

impl Rows {
    /// Fails unless there is one id, label, content and value of each kept column for each row, and the rows are of the
    /// length and within the range that the header tells of.
    pub(super) fn check(&self, of: &Header) -> Result<()> {
        let n = self.matrix.nrows();
        let counts = [self.ids.len(), self.labels.len(), self.contents.len()];
        if counts != [n; 3] {
            let got = format!("{} ids, {} labels and {} contents", counts[0], counts[1], counts[2]);
            return Err(Error::Mismatch { what: "rows".to_owned(), expected: format!("{n} of each"), got });
        }
        if let Some(column) = self.kept.iter().find(|column| column.len() != n) {
            let (expected, got) = (format!("{n} of each"), format!("{} values of a kept column", column.len()));
            return Err(Error::Mismatch { what: "rows".to_owned(), expected, got });
        }
        if self.kept.len() != of.kept.len() {
            let (expected, got) = (of.kept.len().to_string(), self.kept.len().to_string());
            return Err(Error::Mismatch { what: "the kept columns".to_owned(), expected, got });
        }
        if self.matrix.ncols() != of.dimension {
            return Err(Error::Mismatch {
                what: "lengths of embeddings".to_owned(),
                expected: of.dimension.to_string(),
                got: self.matrix.ncols().to_string(),
            });
        }
        let overflows = |row: ndarray::ArrayView1<f32>| row.iter().any(|value| of.precision.overflows(*value));
        match self.matrix.outer_iter().zip(&self.ids).find(|(row, _)| overflows(*row)) {
            Some((_, id)) => Err(Error::Data(format!("the embedding of {id} is beyond the range of 16-bit floats"))),
            None => Ok(()),
        }
    }
}

/// Writes a feature set a batch at a time, in bounded memory. Nothing is there under the output's name before
/// [`finish`](FeatureWriter::finish); a writer that is dropped leaves nothing.
pub trait FeatureWriter: Send {
    /// Adds rows, in order.
    ///
    /// # Errors
    /// When the disk refuses, or the rows are not of the announced dimension.
    fn append(&mut self, rows: &Rows) -> Result<()>;

    /// Completes the output and gives it its name.
    ///
    /// # Errors
    /// When the disk refuses.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// What happens to an output that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the call fails.
    Refuse,
    /// It is replaced once the new one is complete.
    Replace,
}
