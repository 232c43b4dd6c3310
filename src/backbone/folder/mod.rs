//! Any local ONNX file, or a folder as Hugging Face lays it out, as a backbone without a manifest.
//!
//! What the files do not say is asked for by an error that names the flag; nothing is guessed.

mod choose;
mod companions;
mod image;
mod output;
mod overrides;
mod processor;
mod sentence;
mod text;
mod timm;

pub use choose::choose_onnx;
pub(in crate::backbone) use output::pooling_of;
pub use overrides::{Overrides, Resize};
pub(in crate::backbone) use text::SENTENCE_CONFIGS;

use std::path::{Path, PathBuf};

use self::companions::Companions;
use super::{Backbone, Feed};
use crate::error::{Error, Result};
use crate::file::is_inside;
use crate::onnx::{
    DataType, Dimension, Model, Port, Signature, external_paths, layer_candidates, read_model, signature,
};
use crate::preprocess::Preprocessing;
use crate::source::Modality;

/// The inputs of a text encoder that can be filled from a tokenizer's output.
const TEXT_INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// How many tensors that may be layers an error lists.
const CANDIDATES: usize = 12;

/// Opens an `.onnx` file, or a folder that has one (see [`choose_onnx`]), as a backbone called `name`.
///
/// Images: geometry, filter, mean and std from `preprocessor_config.json`, else from `pretrained_cfg` in timm's
/// `config.json`. Texts: `tokenizer.json`; the length from `sentence_bert_config.json`, else the least that
/// `tokenizer_config.json`, `config.json` and `tokenizer.json` allow; pooling and normalisation from `modules.json`.
/// These files are looked for beside the ONNX file and, when that is in a folder `onnx`, in the folder around it.
/// `overrides` go before all of them. The output may be one that the model only computes inside, or several with commas
/// between.
///
/// # Errors
/// When a file cannot be read, the files contradict the graph, or something is said nowhere: the message then names the
/// flag that says it.
pub fn open(path: &Path, overrides: &Overrides, name: &str) -> Result<Backbone> {
    let onnx = find(path, overrides.onnx_file.as_deref())?;
    let companions = Companions::of(&onnx, path.is_dir().then_some(path));
    let model = read_model(&onnx)?;
    external_paths(&model, &onnx)?;
    let fail = |reason: String| Error::model(onnx.display(), reason);
    if overrides.layers.is_some() {
        return Err(fail(unknown_layers(&model)));
    }
    let graph = signature(&model);
    drop(model);

    match modality(&graph, overrides.modality).map_err(fail)? {
        Modality::Image => {
            let size = image_size(&graph).map_err(fail)?;
            let (spec, licence) = image::spec(&companions, size, overrides, &onnx)?;
            Ok(Backbone {
                name: name.to_owned(),
                tokenizer: None,
                preprocessing: Preprocessing::Image(spec),
                feed: Feed::Prepared,
                output: output::image(&graph, overrides).map_err(fail)?,
                licence,
                model: onnx,
            })
        }
        Modality::Text => {
            let modules = sentence::modules(&companions)?;
            let tokenizer = text::tokenizer(&companions, overrides, &onnx)?;
            let spec = text::spec(&companions, &tokenizer, overrides, &onnx)?;
            Ok(Backbone {
                name: name.to_owned(),
                tokenizer: Some(tokenizer),
                preprocessing: Preprocessing::Text(spec),
                feed: Feed::Prepared,
                output: output::text(&graph, modules.as_ref(), overrides).map_err(fail)?,
                licence: None,
                model: onnx,
            })
        }
    }
}

/// The ONNX file that is meant by a path to one, or to a folder: `explicit` in it, or as [`choose_onnx`] says.
///
/// # Errors
/// When a folder cannot be read or nothing can be chosen in it, or `explicit` is given for a file.
pub(in crate::backbone) fn find(path: &Path, explicit: Option<&str>) -> Result<PathBuf> {
    if !path.is_dir() {
        let reason = "--onnx-file chooses within a folder, and this is not one";
        return match explicit {
            Some(_) => Err(Error::Usage(format!("{}: {reason}", path.display()))),
            None => Ok(path.to_path_buf()),
        };
    }
    let files = onnx_files(path)?;
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    // An explicit file may lie deeper than those that are looked through.
    let chosen = match explicit.filter(|file| is_inside(file) && path.join(file).is_file()) {
        Some(file) => file,
        None => choose_onnx(&names, explicit, path.display())?,
    };
    Ok(path.join(chosen))
}

/// The ONNX files in the root and in `onnx/`, relative, sorted.
fn onnx_files(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for (folder, prefix) in [(root.to_path_buf(), ""), (root.join("onnx"), "onnx/")] {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            if let Some(file) = entry.file_name().to_str().filter(|file| file.ends_with(".onnx")) {
                files.push(format!("{prefix}{file}"));
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Only a manifest says for certain which tensors are a model's layers.
fn unknown_layers(model: &Model) -> String {
    let candidates = layer_candidates(model);
    let last: Vec<&str> = candidates.iter().rev().take(CANDIDATES).copied().collect();
    let some = if last.is_empty() { String::new() } else { format!(", from the last one back: {}", last.join(", ")) };
    format!("no manifest says which tensors its layers give; name them with --output-name{some}")
}

/// What the inputs take; the caller's word goes first, but must fit them.
fn modality(graph: &Signature, said: Option<Modality>) -> Result<Modality, String> {
    let is_text =
        |port: &Port| matches!(port.element, DataType::Int64 | DataType::Int32) && port.rank().is_none_or(|r| r == 2);
    let texts = graph.inputs.iter().filter(|p| is_text(p)).count();
    let images = graph.inputs.iter().filter(|p| is_image(p)).count();
    let inputs = || graph.inputs.iter().map(told).collect::<Vec<_>>().join(", ");
    let found = match (images, texts, graph.inputs.len()) {
        (1, 0, 1) => Modality::Image,
        (0, n, all) if n == all && n > 0 => Modality::Text,
        (1.., 1.., _) => {
            let way = "give a file that takes one of them with --onnx-file";
            return Err(format!("it takes images and texts at once ({}); {way}", inputs()));
        }
        _ => {
            return Err(format!(
                "its inputs ({}) are neither one f32 image [batch, 3, height, width] nor integer tokens [batch, length]; \
                 give another file with --onnx-file",
                inputs()
            ));
        }
    };
    if let Some(said) = said.filter(|said| *said != found) {
        return Err(format!("--modality says {said:?}, but its inputs ({}) are of the modality {found:?}", inputs()));
    }
    if found == Modality::Text {
        let missing = !graph.inputs.iter().any(|p| p.name == "input_ids");
        let foreign = graph.inputs.iter().any(|p| !TEXT_INPUTS.contains(&p.name.as_str()));
        if missing || foreign {
            return Err(format!(
                "its inputs are {}; of a text encoder, input_ids is needed and only {} can be filled",
                inputs(),
                TEXT_INPUTS.join(", ")
            ));
        }
        if let Some(port) = graph.inputs.iter().find(|p| p.fixed(1).is_some()) {
            return Err(format!("its input {} has a fixed number of tokens; export it with a dynamic one", told(port)));
        }
    }
    Ok(found)
}

fn is_image(port: &Port) -> bool {
    port.element == DataType::Float && port.rank().is_none_or(|rank| rank == 4)
}

/// Height and width where the graph fixes them.
fn image_size(graph: &Signature) -> Result<Option<[u32; 2]>, String> {
    let Some(port) = graph.inputs.first() else { return Ok(None) };
    let reason = match (port.fixed(1), port.fixed(3)) {
        (Some(3), _) => None,
        (_, Some(3)) => Some("has its channels last"),
        (Some(_), _) => Some("is no RGB image"),
        (None, _) => None,
    };
    if let Some(reason) = reason {
        return Err(format!("its input {} {reason}; export it as [batch, 3, height, width]", told(port)));
    }
    match (port.fixed(2), port.fixed(3)) {
        (Some(height), Some(width)) => match (u32::try_from(height), u32::try_from(width)) {
            (Ok(height), Ok(width)) => Ok(Some([height, width])),
            _ => Err(format!("its input {} is too large", told(port))),
        },
        _ => Ok(None),
    }
}

/// A port for a message: `pixel_values [batch, 3, 224, 224]`.
fn told(port: &Port) -> String {
    let shape = port
        .shape
        .iter()
        .map(|shape| format!(" [{}]", shape.iter().map(Dimension::to_string).collect::<Vec<_>>().join(", ")));
    std::iter::once(port.name.clone()).chain(shape).collect()
}

#[cfg(test)]
mod tests;
