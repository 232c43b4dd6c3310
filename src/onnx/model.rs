//! A model file as a whole: read, write, metadata.

use std::collections::HashSet;
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;

use super::build::entry;
use super::every_tensor::check_sizes;
use super::outside::{bring_in, write_outside};
use super::proto::ModelProto;
use crate::error::{Error, Result};
use crate::file;

/// Protobuf's own limit. Nesting is limited too, by prost: to 100 messages, which are some 30 graphs in one another.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Reads an `.onnx` file. Tensors stay views into the one buffer that was read.
///
/// # Errors
/// When the file cannot be read, is not an ONNX protobuf, has no graph, or a tensor in it has other sizes than its
/// values fill.
pub fn read_model(path: &Path) -> Result<ModelProto> {
    let bytes = Bytes::from(file::read_at_most(path, MAX_BYTES)?);
    if bytes.is_empty() {
        return Err(Error::malformed(path, "the file is empty"));
    }
    let model = ModelProto::decode(bytes)
        .map_err(|e| Error::malformed(path, format!("not an ONNX model, or one that is cut off or damaged ({e})")))?;
    if model.graph.is_none() {
        return Err(Error::malformed(path, "an ONNX model without a graph"));
    }
    check_sizes(&model).map_err(|reason| Error::malformed(path, reason))?;
    Ok(model)
}

/// As [`read_model`], and the weights that the model keeps in other files are read too: nothing of it is outside then.
///
/// # Errors
/// As [`read_model`]; when such a file is not in the model's folder, or a tensor is not whole in it.
pub fn read_whole_model(path: &Path) -> Result<ModelProto> {
    let mut model = read_model(path)?;
    bring_in(&mut model, path)?;
    Ok(model)
}

/// Writes a model, whole or not at all: as one file, or where it is beyond protobuf's 2 GiB with its larger weights in a file beside
/// it, which is called as the model with `_data` behind.
///
/// # Errors
/// When the disk refuses, or the model is beyond 2 GiB without its weights.
pub fn write_model(model: &ModelProto, path: &Path) -> Result<()> {
    write_model_within(model, path, MAX_BYTES)
}

/// A model as the bytes of its file; none where it is beyond protobuf's 2 GiB.
pub fn encoded(model: &ModelProto) -> Option<Vec<u8>> {
    (model.encoded_len() as u64 <= MAX_BYTES).then(|| model.encode_to_vec())
}

/// As [`write_model`], with another size in bytes from which on weights are put outside.
///
/// # Errors
/// As [`write_model`].
pub fn write_model_within(model: &ModelProto, path: &Path, limit: u64) -> Result<()> {
    match model.encoded_len() as u64 <= limit {
        true => file::write_atomic(path, &model.encode_to_vec()),
        false => write_outside(model, path, limit),
    }
}

/// Before version 4 of the format every constant had to be listed as an input; since then those that are listed can be overridden. The
/// model comes to version 4, so that constants can be added to it, and the old ones stay constants.
pub(super) fn unlist_constants(model: &mut ModelProto) {
    if model.ir_version() >= 4 {
        return;
    }
    model.ir_version = Some(4);
    let Some(graph) = &mut model.graph else { return };
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    graph.input.retain(|value| !constants.contains(value.name()));
}

/// The value of a metadata key.
pub fn metadata<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model.metadata_props.iter().find(|p| p.key() == key).map(|p| p.value())
}

/// Sets a metadata key, replacing an earlier value.
pub fn set_metadata(model: &mut ModelProto, key: &str, value: impl Into<String>) {
    model.metadata_props.retain(|p| p.key() != key);
    model.metadata_props.push(entry(key, value));
}
