//! Feature sets in files of any format.

use std::path::Path;

use super::parquet::Gathered;
use super::{Existing, FeatureSet, Format, Header, Precision, check_kept, create, npy, safetensors, shards};
use crate::error::Result;

/// How many rows go to a writer at a time.
const BATCH: usize = 8192;

impl FeatureSet {
    /// As [`FeatureSet::read_keeping`] with no further column.
    ///
    /// # Errors
    /// As there.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_keeping(path, &[])
    }

    /// Reads a feature set in any [`Format`], whoever wrote it, with the kept columns of these names. A column or file of
    /// ids that is missing is made up by row numbers, from 0; missing labels, contents and provenance stay unknown.
    ///
    /// # Errors
    /// When a file cannot be read, is not what its name says, repeats an id, or holds embeddings of unequal length;
    /// when shards were made by different backbones or preprocessing; [`Error::Usage`](crate::Error::Usage) when a column to keep is not there,
    /// naming those that are, and as [`check_kept`].
    pub fn read_keeping(path: &Path, keep: &[String]) -> Result<Self> {
        check_kept(keep)?;
        match Format::from_path(path)? {
            Format::Parquet => {
                let mut gathered = Gathered::keeping(keep);
                gathered.append(path)?;
                gathered.finish(path)
            }
            Format::Shards => shards::read(path, keep),
            Format::Npy => npy::read(path, keep),
            Format::Safetensors => safetensors::read(path, keep),
        }
    }

    /// Writes the set in the format that the path names, and in the precision of its provenance, or 32 bits.
    ///
    /// # Errors
    /// As [`create`] and [`FeatureWriter`](super::FeatureWriter).
    pub fn write(&self, path: &Path, existing: Existing) -> Result<()> {
        let format = Format::from_path(path)?;
        let precision = self.provenance.as_ref().map_or(Precision::F32, |p| Precision::named(&p.precision));
        let (dimension, provenance) = (self.dimension(), self.provenance.clone());
        let header = Header { dimension, precision, kept: self.kept.keys().cloned().collect(), provenance };
        let mut writer = create(path, format, &header, existing)?;
        for start in (0..self.len()).step_by(BATCH) {
            writer.append(&self.rows(start..self.len().min(start + BATCH)))?;
        }
        writer.finish()
    }
}
