//! Small folders modelled on well-known models.

mod image;
mod text;

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::onnx::build::Dim;
use crate::onnx::{GraphBuilder, write_model};

const B: Dim = Dim::Named("batch");
const S: Dim = Dim::Named("sequence");
const H: Dim = Dim::Named("height");
const W: Dim = Dim::Named("width");

type Value<'a> = (&'a str, DataType, &'a [Dim<'a>]);

/// A graph that is never run: only its inputs and outputs matter here.
fn graph(path: &Path, inputs: &[Value], outputs: &[Value]) {
    let mut graph = GraphBuilder::new("test");
    inputs.iter().for_each(|(name, element, dims)| graph.input(name, *element, dims));
    outputs.iter().for_each(|(name, element, dims)| graph.output(name, *element, dims));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_model(&graph.finish(), path).unwrap();
}

fn image_graph(path: &Path, dims: &[Dim]) {
    graph(path, &[("pixel_values", DataType::Float, dims)], &[("features", DataType::Float, &[B, Dim::Fixed(8)])]);
}

fn text_graph(path: &Path, outputs: &[Value]) {
    let ids = |name| (name, DataType::Int64, &[B, S][..]);
    graph(path, &[ids("input_ids"), ids("attention_mask"), ids("token_type_ids")], outputs);
}

/// ONNX's number in `TensorProto.DataLocation`.
const EXTERNAL: i32 = 1;

const TOKENS: Value = ("last_hidden_state", DataType::Float, &[B, S, Dim::Fixed(8)]);
const SENTENCE: Value = ("sentence_embedding", DataType::Float, &[B, Dim::Fixed(8)]);

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn inputs_that_cannot_be_filled_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let ids: Value = ("input_ids", DataType::Int64, &[B, S]);
    let pixels: Value = ("pixel_values", DataType::Float, &[B, Dim::Fixed(3), H, W]);
    let error = |inputs: &[Value], overrides: &Overrides| {
        graph(&file, inputs, &[SENTENCE]);
        open(&file, overrides, "m").unwrap_err().to_string()
    };
    let free = Overrides::default();
    assert!(error(&[ids, pixels], &free).contains("images and texts at once"));
    assert!(error(&[ids, ("past", DataType::Int64, &[B, S])], &free).contains("past [batch, sequence]"));
    assert!(error(&[("tokens", DataType::Int64, &[B, S])], &free).contains("input_ids is needed"));
    assert!(error(&[("input_ids", DataType::Int64, &[B, Dim::Fixed(128)])], &free).contains("fixed number of tokens"));
    assert!(error(&[("audio", DataType::Float, &[B, S])], &free).contains("neither"));
    assert!(error(&[], &free).contains("neither"));
    let image = Overrides { modality: Some(Modality::Image), ..Default::default() };
    assert!(error(&[ids], &image).contains("--modality"));
}

#[test]
fn weights_that_are_missing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let model = |location: &str| {
        let mut graph = GraphBuilder::new("test");
        graph.tensor_f32("w", &[0], &[]);
        let mut model = graph.finish();
        let weights = &mut model.graph.as_mut().unwrap().initializer[0];
        weights.data_location = Some(EXTERNAL);
        weights.external_data.push(Default::default());
        weights.external_data[0].key = Some("location".into());
        weights.external_data[0].value = Some(location.into());
        model
    };
    for (location, reason) in [("model.onnx_data", "not beside it"), ("../secret", "leave its folder")] {
        write_model(&model(location), &file).unwrap();
        let error = open(&file, &Overrides::default(), "m").unwrap_err().to_string();
        assert!(error.contains(location) && error.contains(reason), "{error}");
    }
}

#[test]
fn several_files_and_a_deeper_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.onnx", "b.onnx", "variants/fp32/c.onnx"] {
        text_graph(&folder.path().join(name), &[SENTENCE]);
    }
    write(&folder, "tokenizer.json", r#"{"truncation": {"max_length": 64}}"#);
    let error = open(folder.path(), &Overrides::default(), "m").unwrap_err().to_string();
    assert!(error.contains("--onnx-file") && error.contains("a.onnx, b.onnx"), "{error}");
    for (file, usable) in [("b.onnx", true), ("variants/fp32/c.onnx", true), ("../x.onnx", false), ("d.onnx", false)] {
        let flags = Overrides { onnx_file: Some(file.into()), ..Default::default() };
        assert_eq!(open(folder.path(), &flags, "m").is_ok(), usable, "{file}");
    }
    assert!(open(&folder.path().join("missing.onnx"), &Overrides::default(), "m").is_err());
    let flags = Overrides { onnx_file: Some("b.onnx".into()), ..Default::default() };
    let error = open(&folder.path().join("a.onnx"), &flags, "m").unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
}
