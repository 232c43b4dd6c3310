//! engraft's own folder: the runtime, the imported backbones, fetched data.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// The folder where everything fetched is kept. Nothing in it is needed that cannot be fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// `ENGRAFT_HOME`, or `engraft` in the platform's data folder (`XDG_DATA_HOME`, by default `~/.local/share`).
    ///
    /// # Errors
    /// When neither the variable nor a home folder is known.
    pub fn from_env() -> Result<Self> {
        match std::env::var_os("ENGRAFT_HOME").filter(|v| !v.is_empty()) {
            Some(path) => Ok(Self(PathBuf::from(path))),
            None => dirs::data_dir().map(|p| Self(p.join("engraft"))).ok_or_else(|| {
                Error::Usage("no home folder is known: set ENGRAFT_HOME to a folder to keep models in".into())
            }),
        }
    }

    /// A given folder.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// ONNX Runtime libraries, a folder for each flavour and version.
    pub fn runtime(&self) -> PathBuf {
        self.0.join("runtime")
    }

    /// NVIDIA's libraries, a folder for each package.
    pub fn cuda(&self) -> PathBuf {
        self.runtime().join("cuda")
    }

    /// TensorRT's engines, a folder for each model, card and set of versions.
    pub fn engines(&self) -> PathBuf {
        self.0.join("engines")
    }

    /// Backbones in another form: half precision, normalisation in the graph.
    pub fn variants(&self) -> PathBuf {
        self.0.join("variants")
    }

    /// The files of one known backbone.
    pub fn model(&self, name: &str) -> PathBuf {
        self.0.join("models").join(name)
    }

    /// Copies of models that are cut to inner tensors.
    pub fn cuts(&self) -> PathBuf {
        self.0.join("cuts")
    }

    /// Features of inputs whose backbones were ranked, a folder for each run.
    pub fn ranked(&self) -> PathBuf {
        self.0.join("ranked")
    }

    /// Waits until no other process holds `name`, and holds it until the file is dropped: two processes that need the
    /// same download make it once.
    ///
    /// # Errors
    /// When the folder cannot be written; [`Error::Interrupted`].
    pub fn lock(&self, name: &str, progress: &dyn Progress) -> Result<File> {
        let path = self.0.join("locks").join(name);
        std::fs::create_dir_all(self.0.join("locks")).map_err(Error::io("create", &self.0))?;
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path)(e)),
                Err(TryLockError::WouldBlock) if progress.interrupted() => return Err(Error::Interrupted),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Example data.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}
