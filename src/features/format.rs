//! Which format a path names.

use std::path::Path;

use super::flat::FlatWriter;
use super::parquet::ParquetWriter;
use super::{Existing, FeatureWriter, Header, npy, safetensors, shards};
use crate::error::{Error, Result};
use crate::file::{AtomicFile, remove_if_there};

/// A file format of feature sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One Parquet file: `id`, `label`, `content` and `embedding`, a list of fixed size of 32- or
    /// 16-bit floats; kept columns stand before it.
    Parquet,
    /// A folder of Parquet files, each named by the place of its first entry: `part-000000065536.parquet`, or
    /// `part-000000065536-1.parquet` where another one had that name.
    Shards,
    /// A NumPy array of n×d little-endian 32- or 16-bit floats; `<stem>.jsonl` holds the ids, labels, contents and kept
    /// columns, a line a row, and `<stem>.provenance.json` the provenance.
    Npy,
    /// A tensor `embedding` of n×d 32- or 16-bit floats with the provenance in the file's metadata; `<stem>.jsonl` as for npy.
    Safetensors,
}

impl Format {
    /// By the path's extension, in any case. An existing folder and a path that ends in `/` name shards.
    ///
    /// # Errors
    /// When the extension is none of `.parquet`, `.npy` and `.safetensors`.
    pub fn from_path(path: &Path) -> Result<Self> {
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir() {
            return Ok(Self::Shards);
        }
        Self::from_extension(path).ok_or_else(|| {
            let known = "name it .parquet, .npy, .safetensors, or a folder with a / at the end";
            Error::Usage(format!("{} is no known format of features: {known}", path.display()))
        })
    }

    /// The format of the feature set that is at `path`, if one is: a file with one of the extensions, or a folder
    /// with `.parquet` files directly in it.
    pub fn detect(path: &Path) -> Option<Self> {
        if path.is_dir() {
            return shards::list(path).is_ok_and(|files| !files.is_empty()).then_some(Self::Shards);
        }
        Self::from_extension(path).filter(|_| path.is_file())
    }

    fn from_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "npy" => Some(Self::Npy),
            "safetensors" => Some(Self::Safetensors),
            _ => None,
        }
    }
}

/// Begins a feature set in one file at `path`. A folder of shards is filled by a run: see [`ShardFolder`](super::ShardFolder).
///
/// # Errors
/// [`Error::Exists`] when something is there and `existing` refuses; [`Error::Usage`] when a file that engraft did not
/// write would have to be replaced, or the format is a folder; when the folder cannot be written, or the dimension is 0 or not the provenance's.
pub fn create(path: &Path, format: Format, header: &Header, existing: Existing) -> Result<Box<dyn FeatureWriter>> {
    header.check()?;
    Ok(match format {
        Format::Parquet => Box::new(ParquetWriter::create(begin(path, existing)?, path, header)?),
        Format::Shards => {
            let reason = "is a folder, and these features are written into one file: name it .parquet";
            return Err(Error::Usage(format!("{} {reason}", path.display())));
        }
        Format::Npy => Box::new(FlatWriter::create(path, header, npy::layout(header), existing)?),
        Format::Safetensors => {
            Box::new(FlatWriter::create(path, header, safetensors::layout(path, header)?, existing)?)
        }
    })
}

/// Begins a file, which fails to get its name where another that is to stay has it, or comes to have it meanwhile.
pub(super) fn begin(path: &Path, existing: Existing) -> Result<AtomicFile> {
    free(path, existing)?;
    match existing {
        Existing::Refuse => AtomicFile::create_new(path),
        Existing::Replace => AtomicFile::create(path),
    }
}

/// Removes a file that is to be replaced, and fails when one is there that is to stay.
pub(super) fn make_way(path: &Path, existing: Existing) -> Result<()> {
    match existing {
        Existing::Refuse => free(path, existing),
        Existing::Replace => remove_if_there("replace", path),
    }
}

/// Fails when a file is there and is to stay.
pub(super) fn free(path: &Path, existing: Existing) -> Result<()> {
    match existing {
        Existing::Refuse if path.symlink_metadata().is_ok() => Err(Error::Exists(path.to_path_buf())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_formats() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Format::from_path(Path::new("a.parquet")).unwrap(), Format::Parquet);
        assert_eq!(Format::from_path(Path::new("a.b.NPY")).unwrap(), Format::Npy);
        assert_eq!(Format::from_path(Path::new("a.safetensors")).unwrap(), Format::Safetensors);
        assert_eq!(Format::from_path(Path::new("new/")).unwrap(), Format::Shards);
        assert_eq!(Format::from_path(folder.path()).unwrap(), Format::Shards);
        assert!(matches!(Format::from_path(Path::new("a.h5")), Err(Error::Usage(_))));

        assert_eq!(Format::detect(folder.path()), None);
        std::fs::write(folder.path().join("x.parquet"), b"").unwrap();
        assert_eq!(Format::detect(folder.path()), Some(Format::Shards));
        assert_eq!(Format::detect(&folder.path().join("x.parquet")), Some(Format::Parquet));
        assert_eq!(Format::detect(&folder.path().join("y.parquet")), None);
    }
}
