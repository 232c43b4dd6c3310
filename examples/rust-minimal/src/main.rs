//! Classifies images with a model from `engraft export --with-preprocess`: ort and image alone.
//!
//!     ORT_DYLIB_PATH=/path/to/libonnxruntime.so cargo run --release -- model.onnx photo.jpg…

use std::error::Error;

use ort::session::Session;
use ort::value::Tensor;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("usage: classify MODEL.onnx IMAGE…")?;
    let library = std::env::var("ORT_DYLIB_PATH").map_err(|_| "ORT_DYLIB_PATH names no ONNX Runtime")?;
    let environment = ort::init_from(library)?.build()?;
    let mut session = Session::builder(&environment)?.commit_from_file(&model)?;
    for path in arguments {
        let image = image::open(&path)?.to_rgba8();
        let shape = [1, image.height() as usize, image.width() as usize, 3];
        let pixels = Tensor::from_array((shape, image.pixels().flat_map(on_white).collect::<Vec<u8>>()))?;
        let outputs = session.run(ort::inputs!["image" => pixels])?;
        let (_, labels) = outputs["label"].try_extract_strings()?;
        let (_, probabilities) = outputs["probabilities"].try_extract_tensor::<f32>()?;
        let probability = probabilities.iter().copied().fold(0.0, f32::max);
        println!("{path}\t{}\t{probability:.4}", labels[0]);
    }
    Ok(())
}

/// The colour of a pixel on a white ground.
fn on_white(&image::Rgba([r, g, b, alpha]): &image::Rgba<u8>) -> [u8; 3] {
    let blend = |c: u8| ((u32::from(c) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8;
    [blend(r), blend(g), blend(b)]
}
