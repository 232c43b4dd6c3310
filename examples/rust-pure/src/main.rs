//! Classifies images with a model from `engraft export --with-preprocess` by tract: Rust alone, no shared library.
//!
//!     cargo run --release -- model.onnx photo.jpg…

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: classify MODEL.onnx IMAGE…")?;
    let onnx = tract_onnx::onnx();
    let proto = onnx.proto_model_for_path(&path)?;
    let labels = proto.metadata_props.iter().find(|entry| entry.key == "engraft.labels");
    let labels: Vec<String> = serde_json::from_str(&labels.ok_or("not a model that engraft exported")?.value)?;
    let folder = Path::new(&path).parent().and_then(Path::to_str);
    let parsed = onnx.parse(&proto, folder)?;
    let mut plans = HashMap::new();
    for path in arguments {
        let image = image::open(&path)?.to_rgba8();
        let shape = [1, image.height() as usize, image.width() as usize, 3];
        // A plan for each size of image: tract works everything out that follows from it.
        if !plans.contains_key(&shape) {
            plans.insert(shape, plan(&parsed.model, shape)?);
        }
        let pixels = Tensor::from_shape(&shape, &image.pixels().flat_map(on_white).collect::<Vec<u8>>())?;
        let outputs = plans[&shape].run(tvec!(pixels.into()))?;
        let probabilities = outputs[0].to_array_view::<f32>()?;
        let (class, probability) =
            probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).ok_or("the model has no classes")?;
        println!("{path}\t{}\t{probability:.4}", labels[class]);
    }
    Ok(())
}

/// The model made ready for images of one size, or why tract cannot run it.
fn plan(model: &InferenceModel, shape: [usize; 4]) -> Result<Arc<TypedRunnableModel<TypedModel>>, Box<dyn Error>> {
    let mut model = model.clone().with_output_names(["probabilities"])?;
    model.set_input_fact(0, u8::fact(shape).into())?;
    let typed = model.into_optimized().map_err(|e| format!("tract cannot run this model: {e:#}"))?;
    Ok(Arc::new(typed.into_runnable()?))
}

/// The colour of a pixel on a white ground.
fn on_white(&image::Rgba([r, g, b, alpha]): &image::Rgba<u8>) -> [u8; 3] {
    let blend = |c: u8| ((u32::from(c) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8;
    [blend(r), blend(g), blend(b)]
}
