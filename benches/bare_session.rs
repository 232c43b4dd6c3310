//! The ceiling for `embed` on one device: sessions alone on a batch that lies ready. `benches/gpu.sh` runs it.
//!
//! ```text
//! bare_session images FOLDER                                   writes photo.jpg (640×480) and photo.bmp (224×224)
//! bare_session run MODEL DEVICE f32|f16 BATCH SESSIONS SECONDS  prints one line of JSON
//! ```
//! The model is a known image backbone in `ENGRAFT_HOME`. Pixels are uploaded as bytes and normalised in the graph.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use engraft::Error;
use engraft::backbone::{
    Backbone, Device, Home, RunPrecision, Runtime, Session, SessionOptions, ShapeRange, Tensor, registry, variants,
};
use engraft::onnx::PixelLayout;
use engraft::preprocess::Preprocessing;
use ndarray::Array2;

const SIZE: usize = 224;
const CHANNELS: usize = 3;

fn main() -> engraft::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["images", folder] => images(Path::new(folder)),
        ["run", model, device, precision, batch, sessions, seconds] => {
            let precision = match precision {
                "f32" => RunPrecision::F32,
                "f16" => RunPrecision::F16,
                other => return Err(Error::Usage(format!("no such precision: {other}"))),
            };
            run(model, device.parse()?, precision, number(batch)?, number(sessions)?, number(seconds)?)
        }
        // As `cargo bench` calls it.
        _ => {
            println!("bare_session: `benches/gpu.sh` runs this one");
            Ok(())
        }
    }
}

fn number(text: &str) -> engraft::Result<usize> {
    text.parse().map_err(|e| Error::Usage(format!("{text:?}: {e}")))
}

fn images(folder: &Path) -> engraft::Result<()> {
    let jpeg = support::jpeg();
    engraft::file::write_atomic(&folder.join("photo.jpg"), &jpeg)?;
    let photo = image::load_from_memory(&support::png()).expect("the photo");
    let size = SIZE as u32;
    let photo = photo.resize_to_fill(size, size, image::imageops::FilterType::Lanczos3).into_rgb8();
    photo.save(folder.join("photo.bmp")).expect("a bitmap");
    Ok(())
}

fn options(device: Device, precision: RunPrecision, batch: usize, home: &Home, input: &str) -> SessionOptions {
    let shape = |n| vec![n, SIZE, SIZE, CHANNELS];
    let range = ShapeRange { input: input.to_owned(), min: shape(1), usual: shape(batch), max: shape(batch) };
    SessionOptions { precision, shapes: vec![range], engines: Some(home.engines()), ..SessionOptions::new(device, 1) }
}

fn run(
    model: &str,
    device: Device,
    precision: RunPrecision,
    batch: usize,
    sessions: usize,
    seconds: usize,
) -> engraft::Result<()> {
    let home = Home::from_env()?;
    let runtime = Runtime::load(None, &home)?;
    let Backbone { model, output, preprocessing, .. } = registry::pull(&registry::find(model)?, &home, &())?;
    let Preprocessing::Image(spec) = &preprocessing else {
        return Err(Error::Usage("an image backbone is needed".to_owned()));
    };
    let graph = match precision {
        RunPrecision::F32 => model,
        RunPrecision::F16 => {
            let shape = [2, CHANNELS, SIZE, SIZE];
            let pixels: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i % 255) as f32 / 128.0 - 1.0).collect();
            let mut probe = |session: &mut Session| {
                let name = session.inputs()[0].name.clone();
                session.run_with(&[(&name, Tensor::F32(&shape, &pixels))], |shape, values| {
                    let width = values.len() / shape[0];
                    Ok(Array2::from_shape_vec((shape[0], width), values.to_vec()).expect("whole rows"))
                })
            };
            let options = SessionOptions::new(device, 1);
            variants::half_precision(runtime, &home, (&model, &output), &options, &mut probe, &())?.model
        }
    };
    let graph = variants::taking_bytes(&home, &graph, spec, PixelLayout::Hwc, &())?;
    let shape = [batch, SIZE, SIZE, CHANNELS];
    let pixels: Vec<u8> = (0..shape.iter().product()).map(|i: usize| (i * 31 % 251) as u8).collect();
    let mut opened = Vec::new();
    for _ in 0..sessions.max(1) {
        let input = engraft::onnx::signature(&engraft::onnx::read_model(&graph)?).inputs[0].name.clone();
        let options = options(device, precision, batch, &home, &input);
        let mut session = Session::open(runtime, &graph, &output.tensor, &options)?.0;
        for _ in 0..3 {
            session.run_with(&[(&input, Tensor::U8(&shape, &pixels))], |_, _| Ok(()))?;
        }
        opened.push((session, input));
    }
    let ran = opened.first().and_then(|(session, _)| session.assignment()).map(ToString::to_string);
    let limit = Duration::from_secs(seconds as u64);
    let started = Instant::now();
    let batches = std::thread::scope(|scope| {
        let workers: Vec<_> = opened
            .iter_mut()
            .map(|(session, input)| {
                let inputs = [(input.as_str(), Tensor::U8(&shape, &pixels))];
                scope.spawn(move || {
                    let mut batches = 0;
                    while started.elapsed() < limit {
                        session.run_with(&inputs, |_, _| Ok(()))?;
                        batches += 1;
                    }
                    Ok(batches)
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).sum::<engraft::Result<usize>>()
    })?;
    let rate = (batches * batch) as f64 / started.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "images_per_second": rate, "ran": ran, "batches": batches }));
    Ok(())
}
