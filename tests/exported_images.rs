//! Preprocessing as a part of an ONNX file, run by ONNX Runtime: against Pillow's pixels, and against engraft's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::export::take_images;
use engraft::onnx::build::Dim;
use engraft::onnx::{DataType, GraphBuilder, write_model};
use engraft::preprocess::{Exif, ImagePreprocessor, ImageSpec, Interpolation, Scratch, Step, Transparency};
use serde::Deserialize;
use support::golden;

#[derive(Deserialize)]
struct Case {
    input: String,
    steps: Vec<Step>,
    interpolation: Interpolation,
    exif: Exif,
    transparency: Transparency,
    size: [usize; 2],
}

/// A specification whose output is the 8-bit pixel itself.
fn pixels(steps: Vec<Step>, interpolation: Interpolation) -> ImageSpec {
    let (mean, std, exif, transparency) = ([0.0; 3], [1.0; 3], Exif::Apply, Transparency::White);
    ImageSpec { steps, interpolation, scale: 1.0, mean, std, exif, transparency }
}

/// A backbone that gives the pixels that it is given, with its preprocessing in the file.
fn session(runtime: &Runtime, folder: &Path, spec: &ImageSpec) -> Session {
    let mut graph = GraphBuilder::new("identity");
    let dims = [Dim::Named("batch"), Dim::Fixed(3), Dim::Named("h"), Dim::Named("w")];
    graph.input("pixels", DataType::Float, &dims);
    graph.node("Identity", &["pixels"], "y", vec![]);
    graph.output("y", DataType::Float, &dims);
    let path = folder.join("raw.onnx");
    write_model(&take_images(graph.finish(), spec, "identity").unwrap(), &path).unwrap();
    let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
    Session::open(runtime, &path, "y", &options).unwrap().0
}

/// Planes of `n` images that the graph makes of as many of one size.
fn through(session: &mut Session, n: usize, [height, width]: [usize; 2], rgb: &[u8]) -> Vec<f32> {
    session.run(&[("image", Tensor::U8(&[n, height, width, 3], rgb))]).unwrap().1
}

/// Planes that engraft itself makes.
fn own(spec: &ImageSpec, size: [usize; 2], rgb: &[u8]) -> Vec<f32> {
    let processor = ImagePreprocessor::new(spec.clone()).unwrap();
    let [height, width] = processor.output_size();
    let mut out = vec![f32::NAN; 3 * height * width];
    processor.process_rgb(size, rgb, &mut Scratch::default(), &mut out).unwrap();
    out
}

#[test]
fn pixels_equal_pillows() {
    let (runtime, folder) = (Runtime::load(None, &support::home()).unwrap(), tempfile::tempdir().unwrap());
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(golden("preprocess/cases.json")).unwrap()).unwrap();
    let expected = std::fs::read(golden("preprocess/expected.bin")).unwrap();
    let mut rest = expected.as_slice();
    let mut wrong = Vec::new();
    for Case { input, mut steps, interpolation, exif, transparency, size } in cases {
        let want;
        (want, rest) = rest.split_at(3 * size[0] * size[1]);
        if matches!(steps[..], [Step::ShortestEdge(_)]) {
            steps.push(Step::Resize(size.map(|n| n as u32)));
        }
        let spec = ImageSpec { exif, transparency, ..pixels(steps, interpolation) };
        let (processor, mut scratch) = (ImagePreprocessor::new(spec.clone()).unwrap(), Scratch::default());
        let file = std::fs::read(golden(&format!("preprocess/{input}"))).unwrap();
        let (decoded, rgb) = processor.decode(&file, &mut scratch).unwrap();
        let planes = through(&mut session(&runtime, folder.path(), &spec), 1, decoded, rgb);
        let plane = size[0] * size[1];
        assert_eq!(planes.len(), want.len());
        let off = |i: usize| (planes[i % 3 * plane + i / 3] - f32::from(want[i])).abs();
        let worst = (0..want.len()).map(off).fold(0.0, f32::max);
        // As in tests/preprocess.rs, that one is decoded otherwise.
        if worst > if input == "cmyk.tiff" { 1.0 } else { 0.0 } {
            let many = (0..want.len()).filter(|i| off(*i) > 0.0).count();
            wrong.push(format!(
                "{input} {:?} {interpolation:?}: {many} of {}, by up to {worst}",
                spec.steps,
                want.len()
            ));
        }
    }
    assert!(rest.is_empty());
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Sizes that are drawn, extreme ones among them, two images a batch, for every filter and every kind of step.
#[test]
fn pixels_equal_engrafts() {
    use Interpolation::{Bicubic, Bilinear, Box, Hamming, Lanczos, Nearest};
    let (runtime, folder) = (Runtime::load(None, &support::home()).unwrap(), tempfile::tempdir().unwrap());
    let steps = [
        vec![Step::Resize([24, 31])],
        vec![Step::ShortestEdge(28), Step::CenterCrop([24, 25])],
        vec![Step::CentralSquare { size: 32, margin: 5 }, Step::ShortestEdge(32)],
        vec![Step::CenterCrop([40, 41]), Step::Resize([17, 9])],
        vec![Step::ShortestEdge(20), Step::CenterCrop([33, 21]), Step::CenterCrop([30, 30])],
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for filter in [Nearest, Lanczos, Bilinear, Bicubic, Box, Hamming] {
        for steps in &steps {
            let spec = pixels(steps.clone(), filter);
            let mut session = session(&runtime, folder.path(), &spec);
            let extreme = [[1, 1], [1, 300], [500, 2], [24, 31], [640, 480], [33, 900]];
            let drawn: Vec<[usize; 2]> = (0..12).map(|_| [random.usize(1..130), random.usize(1..130)]).collect();
            for size in drawn.into_iter().chain(extreme) {
                let rgb = noise(2 * 3 * size[0] * size[1], 1);
                let (one, two) = rgb.split_at(rgb.len() / 2);
                let want = [own(&spec, size, one), own(&spec, size, two)].concat();
                let got = through(&mut session, 2, size, &rgb);
                assert_eq!(got.len(), want.len());
                let many = got.iter().zip(&want).filter(|(got, want)| got != want).count();
                assert!(many == 0, "{filter:?} {steps:?}, {size:?}: {many} of {} values differ", want.len());
            }
        }
    }
}
