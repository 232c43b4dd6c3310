//! What makes two runs one and the same.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::features::differences::{Difference, as_read, differences};
use crate::features::{Precision, Provenance};
use crate::file::sha256_hex;
use crate::source::{SourceOptions, identity};

/// What names a run: a run of another key does not continue it. Neither the device nor the size of batches and shards
/// is part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunKey(Map<String, Value>);

impl RunKey {
    /// The key of a run that embeds these inputs.
    ///
    /// # Errors
    /// As [`identity`]; [`Error::Data`] when it cannot be told in JSON.
    pub fn new(
        inputs: &[PathBuf],
        options: &SourceOptions,
        provenance: &Provenance,
        precision: Precision,
    ) -> Result<Self> {
        let unwritten = |e| Error::Data(format!("the run's key: {e}"));
        let preprocessing = as_read(&provenance.preprocessing).map_err(unwritten)?;
        let output = as_read(&provenance.output).map_err(unwritten)?;
        let source = as_read(&identity(inputs, options)?).map_err(unwritten)?;
        let key = [
            ("source", source),
            ("backbone", json!(provenance.backbone)),
            ("backbone_sha256", json!(provenance.backbone_sha256)),
            ("tokenizer_sha256", json!(provenance.tokenizer_sha256)),
            ("preprocessing", preprocessing),
            ("output", output),
            ("precision", json!(precision.name())),
            ("run_precision", json!(provenance.run_precision.name())),
        ];
        Ok(Self(key.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
    }

    /// A digest of the key, to name a folder by: runs of equal keys have equal digests.
    pub fn digest(&self) -> String {
        sha256_hex(Value::Object(self.0.clone()).to_string().as_bytes())
    }

    pub(super) fn from_json(value: Map<String, Value>) -> Self {
        Self(value)
    }

    pub(super) fn as_json(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The error for a folder of a run of the key `was`, unless that is the same.
    pub(super) fn continues(&self, was: &Self, folder: &Path) -> Result<()> {
        let is = as_read(&self.0).map_err(|e| Error::Data(format!("the run's key: {e}")))?;
        let found: Vec<String> = differences(&Value::Object(was.0.clone()), &is)
            .into_iter()
            .map(|Difference { name, first, second }| format!("{name} was {first}, is now {second}"))
            .collect();
        match found.is_empty() {
            true => Ok(()),
            false => Err(Error::Usage(format!(
                "{} already exists and holds another run: {}; give another -o, or --overwrite to replace it",
                folder.display(),
                found.join("; ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_with_both_values() {
        let key = |value: Value| RunKey(value.as_object().unwrap().clone());
        let was = key(json!({"precision": "f32", "output": {"tensor": "y", "pooling": "mean"}, "old": 1}));
        let is = key(json!({"precision": "f32", "output": {"tensor": "y", "pooling": "cls"}, "new": [2]}));
        assert!(is.continues(&is, Path::new("out")).is_ok());
        let Err(Error::Usage(said)) = is.continues(&was, Path::new("out")) else { panic!() };
        for words in ["out already exists", "output.pooling was \"mean\", is now \"cls\"", "old was 1, is now null"] {
            assert!(said.contains(words), "{said}");
        }
        assert!(said.contains("new was null, is now [2]") && !said.contains("precision"), "{said}");
    }
}
