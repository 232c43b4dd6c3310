//! Weights in other formats become ONNX files, in Rust.

mod bert;
mod efficientnet;
mod pickle;
mod weights;

use std::path::Path;

use super::manifest::{CutOutput, Import, Manifest};
use crate::error::Result;
use crate::file;
use crate::onnx::{self, CutPoint, DataType, Port};
use weights::Weights;

/// Makes `folder/model.onnx` from the files of the manifest's packages, which lie in `folder` under their `keep` names.
/// The same files give the same bytes every time.
///
/// # Errors
/// When a file is missing, is not what the manifest says, or the disk refuses.
pub fn import(manifest: &Manifest, folder: &Path) -> Result<()> {
    let model = match &manifest.import {
        // The file is there already: only see that it is one.
        Import::Onnx => return onnx::read_model(&folder.join("model.onnx")).map(drop),
        Import::Cut { outputs } => {
            let points: Vec<CutPoint> = outputs.iter().map(cut_point).collect();
            onnx::cut(onnx::read_model(&folder.join("source.onnx"))?, &points, &manifest.name)?
        }
        Import::EfficientnetLite { width, depth, size } => {
            let path = folder.join("weights.pth");
            let bytes = file::read(&path)?;
            let weights = Weights::new(&path, pickle::read(&bytes, &path)?);
            efficientnet::build(weights, *width, *depth, *size)?
        }
        Import::Bert => {
            let weights = file::read(&folder.join("model.safetensors"))?;
            let config = file::read_text(&folder.join("config.json"))?;
            bert::build(&weights, &config, folder)?
        }
    };
    onnx::write_model(&model, &folder.join("model.onnx"))
}

/// Embeddings are f32 in every backbone.
fn cut_point(cut: &CutOutput) -> CutPoint {
    let output = Port { name: cut.output.clone(), element: DataType::Float, shape: Some(cut.shape.clone()) };
    CutPoint { tensor: cut.tensor.clone(), token: cut.token, output }
}
