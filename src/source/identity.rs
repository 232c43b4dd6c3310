//! What names an input list.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::printable;
use super::input::Input;
use super::{Modality, SourceOptions, TableOptions};
use crate::error::Result;

/// What names an input list: a run that is started again with an equal one goes on with the same list, as far as can be told
/// before reading it. What the digests of its entries tell is not in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The inputs in order.
    pub inputs: Vec<InputIdentity>,
    /// What the backbone reads.
    pub modality: Modality,
    /// The columns that were named.
    pub columns: TableOptions,
    /// The columns that are kept.
    pub keep: Vec<String>,
    /// What ends an item on standard input.
    pub separator: super::Separator,
}

/// What names an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputIdentity {
    /// The absolute path, or `-` for standard input.
    pub path: String,
    /// The size in bytes of what holds images: archives and, for image backbones, Parquet files. Their entries' digests do
    /// not tell one image from another of the same length.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
}

/// What names the list that `open_all` gives.
///
/// # Errors
/// When an input is not there or of no known kind.
pub fn identity(inputs: &[PathBuf], options: &SourceOptions) -> Result<Identity> {
    let inputs = inputs.iter().map(|path| {
        let input = Input::of(path, options.modality)?;
        let absolute = match input {
            Input::Stdin => path.clone(),
            // By components: `photos`, `photos/` and `./photos` are one input.
            _ => std::path::absolute(path).unwrap_or_else(|_| path.clone()).components().collect(),
        };
        Ok(InputIdentity {
            path: printable(absolute.as_os_str().as_encoded_bytes()),
            bytes: bytes(path, &input, options),
        })
    });
    Ok(Identity {
        inputs: inputs.collect::<Result<_>>()?,
        modality: options.modality,
        columns: options.table.clone(),
        keep: options.keep.clone(),
        separator: options.separator,
    })
}

fn bytes(path: &Path, input: &Input, options: &SourceOptions) -> Option<u64> {
    let size = |path: &Path| std::fs::metadata(path).ok().map(|found| found.len());
    match input {
        Input::Archives(files) => files.iter().try_fold(0_u64, |sum, path| sum.checked_add(size(path)?)),
        Input::Table(super::table::Table::Parquet) if options.modality == Modality::Image => size(path),
        _ => None,
    }
}
