//! Preprocessing as a part of an ONNX file, run by ONNX Runtime: against Pillow's pixels, and against engraft's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/close.rs"]
mod close;
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::export::take_images;
use engraft::onnx::build::Dim;
use engraft::onnx::{DataType, GraphBuilder, write_model};
use engraft::preprocess::{Exif, ImagePreprocessor, ImageSpec, Interpolation, Scratch, Step, Transparency};
use serde::Deserialize;
use support::{PEERS, by_its_card, engraft, golden, json, package_files, python};

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
    // Called as the new input is.
    graph.input("image", DataType::Float, &dims);
    graph.node("Identity", &["image"], "y", vec![]);
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
        let planes = through(&mut session(runtime, folder.path(), &spec), 1, decoded, rgb);
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
            let mut session = session(runtime, folder.path(), &spec);
            let extreme = [[1, 1], [1, 300], [500, 2], [24, 31], [640, 480], [33, 900], [3000, 40]];
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

/// What anyone does with the file: ONNX's checker, and ONNX Runtime fed with decoded images.
const PYTHON: &str = r#"
import json, pathlib, sys
import numpy as np, onnx, onnxruntime
from PIL import Image
model, photos = sys.argv[1:]
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model)
(image,) = session.get_inputs()
assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["n", "height", "width", 3])
found = {}
for path in sorted(pathlib.Path(photos).rglob("*.*")):
    picture = Image.open(path).convert("RGBA")
    pixels = np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))
    label, probabilities = session.run(["label", "probabilities"], {"image": np.stack([pixels, pixels])})
    assert label[0] == label[1]
    found[path.name] = [label[0], float(probabilities[0].max())]
print(json.dumps(found))
"#;

#[test]
fn an_exported_file_takes_images_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (labelled, photos) = (file("labelled"), file("photos"));
    support::some_emoji(&labelled, 0..12);
    support::some_emoji(&photos, 12..15);
    let china =
        ("sklearn/datasets/images/china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29");
    let photo = package_files("scikit-learn", "1.9.1", &[china], "china");
    std::fs::copy(photo.join("china.jpg"), photos.join("china.jpg")).unwrap();
    // Smaller than the backbone's input, and far from square.
    for name in ["one.png", "tall.png", "wide.png", "landscape.png", "turned.jpg"] {
        std::fs::copy(golden(&format!("preprocess/{name}")), photos.join(name)).unwrap();
    }
    let (head, model) = (file("head.onnx"), file("model.onnx"));
    engraft().arg("train").arg(&labelled).args(["--model", "efficientnet-lite0", "-o"]).arg(&head).assert().success();

    let mut export = engraft();
    export.arg("export").arg(&head).arg("-o").arg(&model).arg("--with-preprocess").arg("--samples").arg(&photos);
    let written = json(&mut export);
    println!("{written:#}");
    let found = &written["preprocessed"];
    assert_eq!(found["pixels"]["images"], 27);
    assert_eq!(found["pixels"]["greatest_difference"], 0.0);
    assert_eq!(found["agreement"]["other_labels"], 0);
    let card = std::fs::read_to_string(file("model.md")).unwrap();
    assert!(
        card.contains("- `image`: uint8 [n, height, width, 3]") && card.contains("differ by at most 0 of 255"),
        "{card}"
    );

    let predictions = |file: &Path| -> BTreeMap<String, (String, f64)> {
        let output =
            engraft().arg("predict").arg(file).arg(&photos).arg("--json").assert().success().get_output().clone();
        let lines = String::from_utf8(output.stdout).unwrap();
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = row["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (name, (row["label"].as_str().unwrap().to_owned(), row["probability"].as_f64().unwrap()))
        };
        lines.lines().map(row).collect()
    };
    let (two_steps, one_file) = (predictions(&head), predictions(&model));
    let python: BTreeMap<String, (String, f64)> =
        serde_json::from_str(&python(&[&PEERS[..], &["pillow==13.0.0"]].concat(), PYTHON, &[&model, &photos])).unwrap();
    assert_eq!(two_steps.len(), 27);
    for (name, (label, probability)) in &two_steps {
        assert_eq!(&one_file[name].0, label, "{name}");
        assert_close([one_file[name].1], [*probability], Tolerance::Approximate);
        // As a file of its own it is shown to Python as it is stored, and engraft turns it upright.
        if name != "turned.jpg" {
            assert_eq!(&python[name].0, label, "{name}");
            assert_close([python[name].1], [*probability], Tolerance::Approximate);
        }
    }
    // What the card shows is enough: also for what is transparent or lies on its side.
    let classes = support::sorted(&photos).into_iter().find(|path| path.is_dir()).unwrap();
    for photo in [photos.join("turned.jpg"), support::sorted(&classes).swap_remove(0)] {
        let name = photo.file_name().unwrap().to_str().unwrap();
        let said = by_its_card(&model, ("photo.png", photo.to_str().unwrap()), &["pillow==13.0.0"]);
        assert_eq!(said, two_steps[name].0, "{name}");
    }
    let half = engraft().arg("predict").arg(&model).arg(&photos).args(["--precision-run", "f16"]).assert().code(2);
    assert!(support::stderr(half).contains("export it without --with-preprocess"));
}
