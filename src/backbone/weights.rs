//! What the weights of a model are, wherever they lie.

use std::path::Path;

use crate::error::{Error, Result};
use crate::{file, onnx};

/// The identity and the size of a model's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// SHA-256 of the ONNX file; where it keeps weights in other files, of the list of all their digests.
    pub sha256: String,
    /// Of all the files.
    pub bytes: u64,
}

impl Weights {
    /// Reads all files of a model.
    ///
    /// # Errors
    /// When one cannot be read, or the model names one outside of its own folder.
    pub fn of(model: &Path) -> Result<Self> {
        let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io("read", path));
        let mut digests = vec![file::sha256_file(model)?];
        let mut bytes = size(model)?;
        for path in onnx::external_paths(&onnx::read_model(model)?, model)? {
            digests.push(file::sha256_file(&path)?);
            bytes = bytes.saturating_add(size(&path)?);
        }
        let sha256 = match &digests[..] {
            [alone] => alone.clone(),
            all => file::sha256_hex(all.join(" ").as_bytes()),
        };
        Ok(Self { sha256, bytes })
    }
}
