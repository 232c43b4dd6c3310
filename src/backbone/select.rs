//! Another output than the one that a backbone is known for: an inner tensor, a layer, or several of them joined.

use super::folder::{Overrides, pooling_of};
use super::manifest::{Layers, Manifest};
use super::{Backbone, Home, Output, Pooling, Weights};
use crate::error::{Error, Result};
use crate::file;
use crate::onnx::{self, DataType, Join, Model, Port, expose, has_tensor, joined_name, signature};
use crate::preprocess::Preprocessing;

/// The tensors that `--output-name` or `--layers` name in a known backbone, joined with commas; none where they are not
/// given.
///
/// # Errors
/// [`Error::Usage`] when both are given or there is no such layer.
pub(super) fn named(manifest: &Manifest, overrides: &Overrides) -> Result<Option<String>> {
    match (&overrides.output_name, &overrides.layers) {
        (Some(_), Some(_)) => Err(Error::Usage("--output-name and --layers both say what to take: give one".into())),
        (name, None) => Ok(name.clone()),
        (None, Some(numbers)) => {
            let tensors = numbers.iter().map(|n| manifest.layers.tensor(*n)).collect::<Result<Vec<_>, _>>();
            let tensors = tensors.map_err(|reason| Error::Usage(format!("{}: {reason}", manifest.name)))?;
            Ok(Some(joined_name(&tensors)))
        }
    }
}

/// A known backbone with `tensor` (one or several with commas between) as its output where one is named, and pooled and
/// normalised as asked for.
///
/// # Errors
/// When there is no such tensor (near names are listed), the pooling does not go with it or must be said, and as
/// [`exposed`].
pub(super) fn known(
    backbone: Backbone,
    tensor: Option<String>,
    layers: &Layers,
    overrides: &Overrides,
    home: &Home,
) -> Result<Backbone> {
    let fixed = backbone.output.clone();
    let tensor = tensor.unwrap_or_else(|| fixed.tensor.clone());
    let normalize = overrides.normalize.unwrap_or(fixed.normalize);
    if tensor == fixed.tensor && overrides.pooling.is_none_or(|pooling| pooling == fixed.pooling) {
        return Ok(Backbone { output: Output { normalize, ..fixed }, ..backbone });
    }
    let model = onnx::read_model(&backbone.model)?;
    onnx::check_tensors(&model, &parts(&model, &tensor), &backbone.name)?;
    let outputs = signature(&model).outputs;
    let inner = || Port { name: tensor.clone(), element: DataType::Undefined, shape: None };
    let port = outputs.into_iter().find(|port| port.name == tensor).unwrap_or_else(inner);
    let usual = if tensor.split(',').all(|part| layers.tensors.iter().any(|known| known == part)) {
        Some(layers.pooling)
    } else {
        Some(fixed.pooling).filter(|pooling| *pooling != Pooling::None)
    };
    let pooling = pooling_of(&port, usual, overrides).map_err(|reason| Error::model(&backbone.name, reason))?;
    exposed(Backbone { output: Output { tensor, pooling, normalize }, ..backbone }, Some(layers), home)
}

/// The backbone with a model that gives the tensor its output names. Where the model does not give it as it is, a cut
/// copy is kept in engraft's folder, under a name made of the model's digest and the tensors: what needs no computing
/// for the tensor is not in it.
///
/// # Errors
/// When there is no such tensor (near names are listed), or the copy cannot be written.
pub(super) fn exposed(backbone: Backbone, layers: Option<&Layers>, home: &Home) -> Result<Backbone> {
    let Output { tensor, pooling, .. } = &backbone.output;
    if *pooling == Pooling::Gap && matches!(backbone.preprocessing, Preprocessing::Text(_)) {
        return Err(Error::Usage(format!("{}: --pooling gap is for images", backbone.name)));
    }
    let model = onnx::read_model(&backbone.model)?;
    if signature(&model).outputs.iter().any(|port| port.name == *tensor) {
        return Ok(backbone);
    }
    let tensors = parts(&model, tensor);
    let join = match (pooling, layers.map(|layers| layers.pooling)) {
        (Pooling::None, _) => Join::Vectors,
        (Pooling::Gap, None | Some(Pooling::None | Pooling::Gap)) => Join::Maps,
        _ => Join::Tokens,
    };
    let parts = (env!("CARGO_PKG_VERSION"), Weights::of(&backbone.model)?.sha256, &tensors, join);
    let path = home.cuts().join(format!("{}.onnx", file::sha256_hex(format!("{parts:?}").as_bytes())));
    if !path.is_file() {
        std::fs::create_dir_all(home.cuts()).map_err(Error::io("create", home.cuts()))?;
        let whole = onnx::read_whole_model(&backbone.model)?;
        onnx::write_model(&expose(whole, &tensors, join, &backbone.name)?, &path)?;
    }
    Ok(Backbone { model: path, ..backbone })
}

/// The tensors that `tensor` names: itself, or several with commas between.
fn parts<'a>(model: &Model, tensor: &'a str) -> Vec<&'a str> {
    if has_tensor(model, tensor) { vec![tensor] } else { tensor.split(',').collect() }
}
