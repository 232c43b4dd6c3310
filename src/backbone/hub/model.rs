//! Of a whole repository, the few files that a backbone needs.

use std::path::PathBuf;

use super::{Hub, HubRef};
use crate::backbone::folder::{SENTENCE_CONFIGS, choose_onnx};
use crate::error::{Error, Result};
use crate::file::is_inside;
use crate::onnx::{external_files, read_model};
use crate::progress::Progress;

/// What says how inputs are prepared and outputs are pooled, where a repository has it.
const COMPANIONS: [&str; 6] = [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
];

/// A model of the hub that is in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// The folder of the commit.
    pub folder: PathBuf,
    /// The ONNX file, relative to it, with `/`.
    pub onnx: String,
}

/// Fetches the ONNX file of a repository with its external weights and the configuration beside it, and nothing else:
/// give the result to [`crate::backbone::folder::open`] with `onnx_file` set. Which ONNX file: the reference's, else as
/// [`choose_onnx`] says.
///
/// # Errors
/// As [`Hub::fetch`]; when no ONNX file can be chosen, or the file is not ONNX.
pub fn fetch_model(reference: &HubRef, hub: &Hub, progress: &dyn Progress) -> Result<HubModel> {
    let listing = hub.list(reference, progress)?;
    let names: Vec<&str> = listing.files.iter().map(String::as_str).collect();
    let onnx = choose_onnx(&names, reference.file.as_deref(), reference)?;
    let mut wanted: Vec<&str> = names.iter().copied().filter(|name| is_companion(name, folder_of(onnx))).collect();
    wanted.push(onnx);
    hub.fetch_listed(reference, &listing, &wanted, progress)?;

    let path = hub.cache(reference).snapshot(&listing.commit).join(onnx);
    let external = external_files(&read_model(&path)?).into_iter().map(|name| match folder_of(onnx) {
        "" => name,
        folder => format!("{folder}/{name}"),
    });
    let external: Vec<String> = external.collect();
    if let Some(bad) = external.iter().find(|name| !is_inside(name)) {
        return Err(Error::malformed(&path, format!("its weights are said to be in {bad:?}, outside the repository")));
    }
    hub.fetch_listed(reference, &listing, &external.iter().map(String::as_str).collect::<Vec<_>>(), progress)?;
    Ok(HubModel { folder: hub.finish(reference, &listing)?, onnx: onnx.to_owned() })
}

fn is_known(file: &str) -> bool {
    COMPANIONS.contains(&file) || SENTENCE_CONFIGS.contains(&file)
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a file says something about the model: in the root, beside the ONNX file, or `1_Pooling/config.json`.
fn is_companion(name: &str, onnx_folder: &str) -> bool {
    match name.rsplit_once('/') {
        None => is_known(name),
        Some((folder, "config.json")) if folder.starts_with(|c: char| c.is_ascii_digit()) => !folder.contains('/'),
        Some((folder, file)) => folder == onnx_folder && is_known(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configuration_travels_with_the_onnx_file() {
        for yes in ["config.json", "1_Pooling/config.json", "2_Dense/config.json", "onnx/tokenizer.json"] {
            assert!(is_companion(yes, "onnx"), "{yes}");
        }
        for no in ["model.safetensors", "onnx/model_q4.onnx", "openvino/config.json", "1_a/b/config.json", "README.md"]
        {
            assert!(!is_companion(no, "onnx"), "{no}");
        }
    }
}
