//! The configuration files beside an ONNX file.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::file;

/// Configuration is text that people write; the largest there is lists a vocabulary's additions.
const MAX_BYTES: u64 = 64 << 20;

/// Where configuration is looked for: the folder of the ONNX file, then the root of the model.
pub(super) struct Companions {
    folders: Vec<PathBuf>,
}

impl Companions {
    /// Of an ONNX file. A folder `onnx` is part of the model whose root is around it.
    pub(super) fn of(onnx: &Path, root: Option<&Path>) -> Self {
        let beside = onnx.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let around = match root {
            Some(root) => Some(root.to_path_buf()),
            None if beside.ends_with("onnx") => Some(beside.parent().filter(|p| !p.as_os_str().is_empty()))
                .map(|parent| parent.unwrap_or(Path::new(".")).to_path_buf()),
            None => None,
        };
        let mut folders = vec![beside.to_path_buf()];
        folders.extend(around.filter(|folder| folder != beside));
        Self { folders }
    }

    /// The path of a file, if there is one of this name.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// A JSON file, if there is one of this name, with its path for errors.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<(PathBuf, T)>> {
        let Some(path) = self.path(name) else { return Ok(None) };
        let value =
            serde_json::from_slice(&file::read_at_most(&path, MAX_BYTES)?).map_err(|e| Error::malformed(&path, e))?;
        Ok(Some((path, value)))
    }
}
