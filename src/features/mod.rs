//! Feature sets: embeddings with their ids, labels and provenance, in open formats.

mod provenance;

pub use provenance::Provenance;

use ndarray::Array2;

/// Ids, labels and the n×d matrix of embeddings, with what made them.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    /// One id a row, unique.
    pub ids: Vec<String>,
    /// One label a row, where known.
    pub labels: Vec<Option<String>>,
    /// A digest of each input's content, where known: equal content has equal digests.
    pub contents: Vec<Option<String>>,
    /// n×d.
    pub matrix: Array2<f32>,
    /// What made the matrix.
    pub provenance: Option<Provenance>,
}
