//! The known backbones, and how a name becomes a backbone that is ready to open.

use std::path::{Path, PathBuf};

use super::fetch::fetch_package;
use super::folder::{self, Overrides};
use super::hub::{self, Hub, HubConfig, HubModel, HubRef};
use super::{Backbone, Feed, Home, Manifest, Reference, import, select};
use crate::error::{Error, Result};
use crate::file::{self, AtomicFolder};
use crate::preprocess::{ImagePreprocessor, Preprocessing};
use crate::progress::Progress;

macro_rules! known {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../models/", $name, ".toml")), include_str!(concat!("../../models/reference/", $name, ".json")))),*]
    };
}

/// Name, manifest and reference of each known backbone.
const KNOWN: &[(&str, &str, &str)] =
    known!("all-minilm-l6-v2", "all-minilm-l6-v2-int8", "efficientnet-lite0", "efficientnet-lite2", "vit-s14");

/// The manifests in `models/`, by name.
///
/// # Errors
/// When one is malformed, which a test rules out.
pub fn known() -> Result<Vec<Manifest>> {
    KNOWN.iter().map(|(name, text, _)| Manifest::parse(text, name)).collect()
}

/// The text of one known backbone's manifest.
///
/// # Errors
/// [`Error::Usage`] with the names there are.
pub fn text(name: &str) -> Result<&'static str> {
    KNOWN.iter().find(|k| k.0 == name).map(|k| k.1).ok_or_else(|| unknown(name))
}

/// The manifest of one known backbone.
///
/// # Errors
/// As [`text`].
pub fn find(name: &str) -> Result<Manifest> {
    Manifest::parse(text(name)?, name)
}

/// Reference inputs and outputs of a known backbone.
///
/// # Errors
/// When the name is unknown.
pub fn reference(name: &str) -> Result<Reference> {
    let (_, _, text) = KNOWN.iter().find(|k| k.0 == name).ok_or_else(|| unknown(name))?;
    serde_json::from_str(text).map_err(|e| Error::malformed(format!("models/reference/{name}.json"), e))
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = KNOWN.iter().map(|k| k.0).collect();
    Error::Usage(format!(
        "there is no model {name:?}: give a path to an .onnx file or to a Hugging Face style folder, hf:owner/name, or one of {}",
        names.join(", ")
    ))
}

/// Beside an imported model: its SHA-256, so that it need not be computed to tell which import it is of.
const DIGEST: &str = "model.onnx.sha256";

/// The local ONNX file of a known backbone, if it has been pulled, with the tokenizer if it needs one. What another version of
/// engraft imported otherwise does not count.
pub fn local(manifest: &Manifest, home: &Home) -> Option<PathBuf> {
    let folder = home.model(&manifest.name);
    let tokenizer = folder.join("tokenizer.json");
    let complete = matches!(manifest.preprocessing, Preprocessing::Image(_)) || tokenizer.is_file();
    let same = file::read_text(&folder.join(DIGEST)).is_ok_and(|digest| digest.trim() == manifest.sha256);
    Some(folder.join("model.onnx")).filter(|model| complete && same && model.is_file())
}

/// Fetches and imports a known backbone; does nothing when it is there.
///
/// # Errors
/// When fetching or importing fails, or the imported file is not the one the manifest names.
pub fn pull(manifest: &Manifest, home: &Home, progress: &dyn Progress) -> Result<Backbone> {
    // What is there is only read: the home may belong to another user.
    if local(manifest, home).is_none() {
        let _alone = home.lock(&manifest.name, progress)?;
        if local(manifest, home).is_none() {
            fetch_and_import(manifest, &home.model(&manifest.name), progress)?;
        }
    }
    Ok(ready(manifest, home))
}

/// The folder appears whole or not at all: a model without its tokenizer would look as if it were ready.
fn fetch_and_import(manifest: &Manifest, folder: &Path, progress: &dyn Progress) -> Result<()> {
    progress.note(&format!("fetching {} ({})", manifest.name, manifest.licence));
    let staged = AtomicFolder::create(folder)?;
    let inside = staged.staging();
    for package in &manifest.packages {
        fetch_package(package, inside, progress)?;
    }
    progress.begin(&format!("importing {}", manifest.name), None);
    let imported = import::import(manifest, inside);
    progress.end();
    imported?;
    let got = file::sha256_file(&inside.join("model.onnx"))?;
    if got != manifest.sha256 {
        let what = format!("the imported model of {}", manifest.name);
        return Err(Error::Checksum { what, expected: manifest.sha256.clone(), got });
    }
    // What the import read is not needed again.
    for file in manifest.packages.iter().flat_map(|p| &p.files) {
        if !matches!(file.keep.as_str(), "model.onnx" | "tokenizer.json") {
            let path = inside.join(&file.keep);
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    file::write_atomic(&inside.join(DIGEST), manifest.sha256.as_bytes())?;
    // An older import, or what is left of one, would be in the way.
    if folder.is_dir() {
        std::fs::remove_dir_all(folder).map_err(Error::io("remove", folder))?;
    }
    staged.commit()
}

fn ready(manifest: &Manifest, home: &Home) -> Backbone {
    let folder = home.model(&manifest.name);
    let tokenizer = Some(folder.join("tokenizer.json")).filter(|p| p.is_file());
    Backbone {
        name: manifest.name.clone(),
        model: folder.join("model.onnx"),
        tokenizer,
        preprocessing: manifest.preprocessing.clone(),
        feed: Feed::Prepared,
        output: manifest.output.clone(),
        licence: Some(manifest.licence.clone()),
    }
}

/// A model's file, of which nothing more need be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The ONNX file.
    pub model: PathBuf,
    /// Height and width of its images, if something beside the file says them.
    pub image: Option<[usize; 2]>,
}

/// The ONNX file that `name` means, as [`resolve`] takes names: fetched where it must be. `onnx_file` chooses among several.
///
/// # Errors
/// When there is no such model, it cannot be fetched, or its file cannot be chosen.
pub fn locate(name: &str, onnx_file: Option<&str>, home: &Home, progress: &dyn Progress) -> Result<Located> {
    let local = |path: &Path, onnx_file: Option<&str>| {
        let model = folder::find(path, onnx_file)?;
        let overrides = Overrides { onnx_file: onnx_file.map(str::to_owned), ..Overrides::default() };
        // Where it is no backbone that could embed it is a model all the same.
        let image = folder::open(path, &overrides, name).ok().and_then(|backbone| image_size(&backbone.preprocessing));
        Ok(Located { model, image })
    };
    if name.starts_with("hf:") {
        let fetched = fetch_from_hub(name, onnx_file, progress)?;
        return local(&fetched.folder, Some(&fetched.onnx));
    }
    if is_path(name) {
        return local(Path::new(name), onnx_file);
    }
    let manifest = find(name)?;
    if onnx_file.is_some() {
        return Err(Error::Usage(format!("{name} is a known backbone, which has one file: leave out --onnx-file")));
    }
    let Backbone { model, preprocessing, .. } = pull(&manifest, home, progress)?;
    Ok(Located { model, image: image_size(&preprocessing) })
}

fn image_size(preprocessing: &Preprocessing) -> Option<[usize; 2]> {
    match preprocessing {
        Preprocessing::Image(spec) => Some(ImagePreprocessor::new(spec.clone()).ok()?.output_size()),
        Preprocessing::Text(_) => None,
    }
}

fn fetch_from_hub(name: &str, onnx_file: Option<&str>, progress: &dyn Progress) -> Result<HubModel> {
    let mut reference = HubRef::parse(name)?;
    if let Some(file) = onnx_file {
        reference.file = Some(file.to_owned());
    }
    hub::fetch_model(&reference, &Hub::new(HubConfig::from_env()?)?, progress)
}

fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    path.is_dir() || path.is_file() || name.ends_with(".onnx") || name.contains(std::path::MAIN_SEPARATOR)
}

/// Makes `name` ready: a path to an `.onnx` file or a Hugging Face style folder, a known backbone (pulled if it is not
/// here yet), or `hf:owner/name[@revision][:file]`. `overrides` say what such a folder does not; of a known backbone they
/// may choose the output: a tensor or layers, pooling, normalisation. An output that the model only computes inside is
/// exposed in a copy under `home`.
///
/// # Errors
/// When there is no such model, it cannot be fetched, or something about it cannot be inferred: the error names the
/// flag to give.
pub fn resolve(name: &str, overrides: &Overrides, home: &Home, progress: &dyn Progress) -> Result<Backbone> {
    if name.starts_with("hf:") {
        let fetched = fetch_from_hub(name, overrides.onnx_file.as_deref(), progress)?;
        let overrides = Overrides { onnx_file: Some(fetched.onnx), ..overrides.clone() };
        return select::exposed(folder::open(&fetched.folder, &overrides, name)?, None, home);
    }
    if is_path(name) {
        return select::exposed(folder::open(Path::new(name), overrides, name)?, None, home);
    }
    let manifest = find(name)?;
    let Overrides { output_name, layers, pooling, normalize, .. } = overrides.clone();
    if *overrides != (Overrides { output_name, layers, pooling, normalize, ..Overrides::default() }) {
        return Err(Error::Usage(format!(
            "{name} is a known backbone whose preprocessing is fixed by its manifest; to change it, give its file: {}",
            home.model(name).join("model.onnx").display()
        )));
    }
    // Before a backbone is fetched in vain.
    let tensor = select::named(&manifest, overrides)?;
    select::known(pull(&manifest, home, progress)?, tensor, &manifest.layers, overrides, home)
}
