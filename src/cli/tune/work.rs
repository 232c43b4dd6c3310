//! The folder beside the output in which a tuning keeps what it goes on from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::file::{self, sha256_hex};

const RUN: &str = "run.json";
/// A larger one is none of ours.
const MOST: u64 = 1 << 16;

/// What a tuning is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Of model, cut and samples: what the activations depend on.
    pub(super) activations: String,
    /// Of these, labels, parts and settings: what the training depends on.
    pub(super) training: String,
}

/// What names this value.
pub(super) fn fingerprint(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(value).map_err(|e| Error::Data(format!("the settings of the tuning: {e}")))?;
    Ok(sha256_hex(&json))
}

/// The folder: `model.tuning` for `model.onnx`.
#[derive(Debug)]
pub(super) struct Work {
    folder: PathBuf,
}

impl Work {
    /// Where the work on an output lies.
    pub(super) fn beside(output: &Path) -> PathBuf {
        output.with_extension("tuning")
    }

    /// Opens the folder of `run`, or begins it. What is there of another run is removed with `overwrite`, and what of it still holds is
    /// kept.
    ///
    /// # Errors
    /// [`Error::InputsChanged`] when there is another run and it must stay; when the folder is not ours.
    pub(super) fn open(folder: PathBuf, run: &Run, overwrite: bool) -> Result<Self> {
        let work = Self { folder };
        if work.folder.exists() {
            match work.known()? {
                known if known == *run => return Ok(work),
                _ if !overwrite => {
                    let difference = "it is of other inputs, another model, another cut or other settings".to_owned();
                    return Err(Error::InputsChanged { folder: work.folder, difference });
                }
                known if known.activations == run.activations => {
                    file::remove_if_there("replace", &work.checkpoint())?;
                }
                _ => {
                    std::fs::remove_dir_all(&work.folder).map_err(Error::io("replace", &work.folder))?;
                }
            }
        }
        std::fs::create_dir_all(&work.folder).map_err(Error::io("create", &work.folder))?;
        let path = work.folder.join(RUN);
        let json = serde_json::to_vec(run).map_err(|e| Error::malformed(&path, e))?;
        file::write_atomic(&path, &json)?;
        Ok(work)
    }

    fn known(&self) -> Result<Run> {
        let path = self.folder.join(RUN);
        if !path.exists() {
            return Err(Error::in_the_way(&self.folder, "it is no folder of a tuning: give another -o"));
        }
        serde_json::from_slice(&file::read_at_most(&path, MOST)?).map_err(|e| Error::malformed(&path, e))
    }

    pub(super) fn activations(&self) -> PathBuf {
        self.folder.join("activations")
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }

    /// A model that is needed for a while.
    pub(super) fn model(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("onnx")
    }

    /// Nothing is left to go on from.
    pub(super) fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.folder).map_err(Error::io("remove", &self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_another_run_stays_unless_it_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = Work::beside(&folder.path().join("m.onnx"));
        let run = |training: &str| Run { activations: "a".into(), training: training.into() };
        let work = Work::open(path.clone(), &run("t"), false).unwrap();
        std::fs::create_dir(work.activations()).unwrap();
        std::fs::write(work.checkpoint(), "state").unwrap();
        assert!(Work::open(path.clone(), &run("t"), false).unwrap().checkpoint().exists());
        let refused = Work::open(path.clone(), &run("u"), false).unwrap_err().to_string();
        assert!(refused.contains("m.tuning") && refused.contains("--overwrite"), "{refused}");
        let work = Work::open(path.clone(), &run("u"), true).unwrap();
        assert!(work.activations().exists() && !work.checkpoint().exists());
        let other = Run { activations: "b".into(), ..run("u") };
        assert!(!Work::open(path.clone(), &other, true).unwrap().activations().exists());
        work.remove().unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("mine"), "x").unwrap();
        assert!(Work::open(path.clone(), &other, true).unwrap_err().to_string().contains("in the way"));
        assert!(path.join("mine").exists());
    }
}
