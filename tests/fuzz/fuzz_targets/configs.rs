//! The configuration of a model folder: the texts of its files with zero bytes between; then the folder is opened once
//! with an image model in it and once with a text model.
#![no_main]

use std::sync::LazyLock;

use engraft::backbone::Overrides;
use engraft::backbone::folder::open;
use engraft::onnx::build::Dim::{Fixed, Named};
use engraft::onnx::{DataType, GraphBuilder, write_model};
use engraft::preprocess::{ImagePreprocessor, Preprocessing};
use engraft_fuzz::{allow_guarded_panics, file, folder};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 7] = [
    "config.json",
    "preprocessor_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
];

static MODELS: LazyLock<()> = LazyLock::new(|| {
    let mut image = GraphBuilder::new("image");
    image.input("x", DataType::Float, &[Named("n"), Fixed(3), Fixed(32), Fixed(32)]);
    image.output("features", DataType::Float, &[Named("n"), Fixed(8)]);
    let mut text = GraphBuilder::new("text");
    text.input("input_ids", DataType::Int64, &[Named("n"), Named("l")]);
    text.output("last_hidden_state", DataType::Float, &[Named("n"), Named("l"), Fixed(8)]);
    for (name, graph) in [("image.onnx", image), ("text.onnx", text)] {
        write_model(&graph.finish(), &folder().join(name)).expect("written");
    }
});

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    LazyLock::force(&MODELS);
    let mut parts = data.split(|b| *b == 0);
    for name in FILES {
        match parts.next().filter(|part| !part.is_empty()) {
            Some(part) => drop(file(name, part)),
            None => drop(std::fs::remove_file(folder().join(name))),
        }
    }
    for name in ["image.onnx", "text.onnx"] {
        let overrides = Overrides { onnx_file: Some(name.to_owned()), ..Default::default() };
        if let Ok(backbone) = open(folder(), &overrides, name)
            && let Preprocessing::Image(spec) = backbone.preprocessing
        {
            let _ = ImagePreprocessor::new(spec);
        }
    }
});
