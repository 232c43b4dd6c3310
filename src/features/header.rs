//! What is known of a feature set before its rows.

use super::{Precision, Provenance};
use crate::error::{Error, Result};

/// Columns that every set has.
const OURS: [&str; 4] = ["id", "label", "content", "embedding"];

/// What is known of a feature set before its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Length of the embeddings.
    pub dimension: usize,
    /// Of the stored values.
    pub precision: Precision,
    /// Names of the kept columns: see [`check_kept`].
    pub kept: Vec<String>,
    /// What made the values.
    pub provenance: Option<Provenance>,
}

impl Header {
    /// The header of what this provenance tells of, with the precision written into it.
    pub fn new(provenance: &Provenance, precision: Precision, kept: &[String]) -> Self {
        let provenance = Provenance { precision: precision.name().to_owned(), ..provenance.clone() };
        Self { dimension: provenance.dimension, precision, kept: kept.to_vec(), provenance: Some(provenance) }
    }
}

impl Header {
    /// Fails when no set can have this header.
    pub(super) fn check(&self) -> Result<()> {
        check_kept(&self.kept)?;
        if self.dimension == 0 {
            return Err(Error::Data("embeddings of length 0 cannot be stored".to_owned()));
        }
        match self.provenance.as_ref().filter(|p| p.dimension != self.dimension) {
            Some(p) => Err(Error::Mismatch {
                what: format!("lengths of embeddings of {}", p.backbone),
                expected: p.dimension.to_string(),
                got: self.dimension.to_string(),
            }),
            None => Ok(()),
        }
    }
}

/// Fails on names of kept columns that could not stand beside the set's own.
///
/// # Errors
/// [`Error::Usage`] naming the column that is one of `id`, `label`, `content` and `embedding`, or is there twice.
pub fn check_kept(names: &[String]) -> Result<()> {
    for (i, name) in names.iter().enumerate() {
        if OURS.contains(&name.as_str()) {
            return Err(Error::Usage(format!("the column `{name}` cannot be kept: features have one of this name")));
        }
        if names[..i].contains(name) {
            return Err(Error::Usage(format!("the column `{name}` is to be kept twice")));
        }
    }
    Ok(())
}
