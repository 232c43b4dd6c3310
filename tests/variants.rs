//! Backbones in other forms, on the CPU: bytes instead of floats, 16 bits instead of 32.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::Path;

use close::{Tolerance, assert_close};
use engraft::Error;
use engraft::backbone::variants::{self, MIN_COSINE};
use engraft::backbone::{
    Backbone, Device, Element, Home, Provider, Reference, Runtime, Session, SessionOptions, Tensor, registry,
};
use engraft::onnx::{PixelLayout, build, float_constant, read_model, write_model};
use engraft::preprocess::{ImagePreprocessor, ImageSpec, Preprocessing, Scratch, TextPreprocessor};
use ndarray::Array2;

fn options() -> SessionOptions {
    SessionOptions::new(Device::Only(Provider::Cpu), 1)
}

fn pulled(name: &str) -> (&'static Runtime, Backbone) {
    let home = support::home();
    let runtime = Runtime::load(None, &home).unwrap();
    (runtime, registry::pull(&registry::find(name).unwrap(), &home, &()).unwrap())
}

fn image_spec(backbone: &Backbone) -> &ImageSpec {
    match &backbone.preprocessing {
        Preprocessing::Image(spec) => spec,
        Preprocessing::Text(_) => panic!("{} takes texts", backbone.name),
    }
}

/// The first output as rows.
fn rows(session: &mut Session, input: Tensor) -> engraft::Result<Array2<f32>> {
    let name = session.inputs()[0].name.clone();
    session.run_with(&[(&name, input)], |shape, values| {
        Ok(Array2::from_shape_vec((shape[0], shape[1]), values.to_vec()).unwrap())
    })
}

fn half(backbone: &Backbone, runtime: &Runtime, probe: &mut dyn FnMut(&mut Session) -> engraft::Result<Array2<f32>>) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    let model = (&*backbone.model, &backbone.output);
    let found = variants::half_precision(runtime, &home, model, &options(), probe, &()).unwrap();
    println!("{}: least cosine {:.7}", backbone.name, found.min_cosine);
    assert!(found.min_cosine >= MIN_COSINE && found.min_cosine < 1.0, "{found:?}");
    let size = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    assert!(size(&found.model) < 0.55 * size(&backbone.model));
    // What passed is not run again.
    let mut never = |_: &mut Session| -> engraft::Result<Array2<f32>> { panic!("the gate was passed") };
    let again = variants::half_precision(runtime, &home, model, &options(), &mut never, &()).unwrap();
    assert_eq!(again.model, found.model);
    assert_close([again.min_cosine], [found.min_cosine], Tolerance::Close);
}

fn half_of_images(name: &str) {
    let (runtime, backbone) = pulled(name);
    let processor = ImagePreprocessor::new(image_spec(&backbone).clone()).unwrap();
    let [height, width] = processor.output_size();
    let files = ["photo.png", "colour.jpg", "landscape.png", "lossy.webp"];
    let mut pixels = vec![0.0; files.len() * 3 * height * width];
    for (file, out) in files.iter().zip(pixels.chunks_exact_mut(3 * height * width)) {
        let bytes = std::fs::read(support::golden(&format!("preprocess/{file}"))).unwrap();
        processor.process(&bytes, &mut Scratch::default(), out).unwrap();
    }
    let shape = [files.len(), 3, height, width];
    half(&backbone, runtime, &mut |session| rows(session, Tensor::F32(&shape, &pixels)));
}

#[test]
fn a_cnn_in_half_precision_agrees() {
    half_of_images("efficientnet-lite0");
}

#[test]
fn a_vision_transformer_in_half_precision_agrees() {
    half_of_images("vit-s14");
}

#[test]
fn a_text_encoder_in_half_precision_agrees() {
    let (runtime, backbone) = pulled("all-minilm-l6-v2");
    let Preprocessing::Text(spec) = &backbone.preprocessing else { panic!("it takes texts") };
    let processor = TextPreprocessor::from_file(backbone.tokenizer.as_deref().unwrap(), spec).unwrap();
    // Of different lengths: the mask matters.
    let texts =
        ["what a lovely day", "no", "It was neither as long nor as dull as I had been led to expect, all told."];
    let encoded: Vec<_> = texts.iter().map(|t| processor.encode(t).unwrap()).collect();
    let batch = processor.batch(&encoded);
    let shape = [batch.rows, batch.columns];
    half(&backbone, runtime, &mut |session| {
        let inputs = [
            ("input_ids", Tensor::I64(&shape, &batch.input_ids)),
            ("attention_mask", Tensor::I64(&shape, &batch.attention_mask)),
            ("token_type_ids", Tensor::I64(&shape, &batch.token_type_ids)),
        ];
        session
            .run_with(&inputs, |shape, values| backbone.output.pooling.pool(values, shape, Some(&batch.attention_mask)))
    });
}

#[test]
fn a_graph_that_half_precision_breaks_is_refused() {
    let (runtime, backbone) = pulled("efficientnet-lite0");
    let folder = tempfile::tempdir().unwrap();
    // The first weights are so small that 16 bits have only zeros for them.
    let mut model = read_model(&backbone.model).unwrap();
    let first = model.graph.as_ref().unwrap().node.iter().find(|n| n.op_type() == "Conv").unwrap().input[1].clone();
    let weights = float_constant(&model, &first).unwrap();
    let tiny: Vec<f32> = weights.values.iter().map(|w| w * 1e-9).collect();
    let dims: Vec<i64> = weights.dims.iter().map(|&n| n as i64).collect();
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.retain(|t| t.name() != first);
    graph.initializer.push(build::tensor_f32(&first, &dims, &tiny));
    graph.initializer.push(build::tensor_f32("large", &[], &[1e9]));
    graph.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == "image").for_each(|i| *i = "enlarged".into());
    graph.node.insert(0, build::node("Mul", &["image", "large"], &["enlarged"], vec![]));
    let path = folder.path().join("model.onnx");
    write_model(&model, &path).unwrap();
    let pixels = vec![2.0; 3 * 224 * 224];
    let mut probe = |session: &mut Session| rows(session, Tensor::F32(&[1, 3, 224, 224], &pixels));
    let home = Home::at(folder.path());
    let error = variants::half_precision(runtime, &home, (&path, &backbone.output), &options(), &mut probe, &());
    let error = error.unwrap_err();
    assert!(matches!(&error, Error::Model { reason, .. } if reason.contains("--precision-run f32")), "{error}");
    let kept = support::sorted(&home.variants());
    assert!(kept.iter().all(|file| file.extension().is_some_and(|e| e == "onnx")), "{kept:?}");
}

#[test]
fn bytes_give_the_embeddings_that_floats_give() {
    for name in ["efficientnet-lite0", "vit-s14"] {
        let (runtime, backbone) = pulled(name);
        let spec = image_spec(&backbone);
        let (planes, count) = (224 * 224, 2);
        let pixel = |image: u32, channel: usize, at: usize| {
            Reference::pixel(image, (at / 224) as u32, (at % 224) as u32, channel as u32)
        };
        let all = || (0..count).flat_map(move |i| (0..3).flat_map(move |c| (0..planes).map(move |at| (i, c, at))));
        let planar: Vec<u8> = all().map(|(i, c, at)| pixel(i, c, at)).collect();
        let mut interleaved = vec![0; planar.len()];
        for ((i, c, at), value) in all().zip(&planar) {
            interleaved[(i as usize * planes + at) * 3 + c] = *value;
        }
        let float = |(_, c, _), x: &u8| (spec.scale * f32::from(*x) - spec.mean[c]) / spec.std[c];
        let floats: Vec<f32> = all().zip(&planar).map(|(place, x)| float(place, x)).collect();

        let open = |path: &Path| Session::open(runtime, path, &backbone.output.tensor, &options()).unwrap().0;
        let want = rows(&mut open(&backbone.model), Tensor::F32(&[2, 3, 224, 224], &floats)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        for (layout, shape, bytes) in
            [(PixelLayout::Hwc, [2, 224, 224, 3], &interleaved), (PixelLayout::Chw, [2, 3, 224, 224], &planar)]
        {
            let path = variants::taking_bytes(&home, &backbone.model, spec, layout, &()).unwrap();
            assert_eq!(variants::taking_bytes(&home, &backbone.model, spec, layout, &()).unwrap(), path);
            let mut session = open(&path);
            assert_eq!(session.inputs()[0].element(), Element::Byte);
            let got = rows(&mut session, Tensor::U8(&shape, bytes)).unwrap();
            assert_close(got.iter().copied(), want.iter().copied(), Tolerance::Within(1e-6));
        }
        assert_eq!(support::sorted(&home.variants()).len(), 2);
    }
}
