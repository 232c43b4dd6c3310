//! Image preprocessing against Pillow's pixels, and what must hold for any image.

use std::path::{Path, PathBuf};

use engraft::preprocess::{Exif, ImagePreprocessor, ImageSpec, Interpolation, Scratch, Step, Transparency};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    input: String,
    steps: Vec<Step>,
    interpolation: Interpolation,
    exif: Exif,
    transparency: Transparency,
    size: [usize; 2],
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

/// A specification whose output is the 8-bit pixel itself.
fn pixels(steps: Vec<Step>, interpolation: Interpolation, exif: Exif, transparency: Transparency) -> ImagePreprocessor {
    let (mean, std) = ([0.0; 3], [1.0; 3]);
    ImagePreprocessor::new(ImageSpec { steps, interpolation, scale: 1.0, mean, std, exif, transparency }).unwrap()
}

fn resize(size: [u32; 2], interpolation: Interpolation) -> ImagePreprocessor {
    pixels(vec![Step::Resize(size)], interpolation, Exif::Ignore, Transparency::Drop)
}

/// What a processor makes of a file or of pixels, as height × width × RGB bytes.
fn interleaved(processor: &ImagePreprocessor, fill: impl FnOnce(&mut [f32]) -> Result<(), String>) -> Vec<u8> {
    let [height, width] = processor.output_size();
    let plane = height * width;
    let mut out = vec![f32::NAN; 3 * plane];
    fill(&mut out).unwrap();
    (0..plane).flat_map(|i| [out[i], out[plane + i], out[2 * plane + i]]).map(|x| x as u8).collect()
}

/// What the decoders may differ by from Pillow's: CMYK TIFF is multiplied out with other roundings. All else, JPEG
/// included, is the same to the bit.
fn allowed(input: &str) -> u8 {
    match input {
        "cmyk.tiff" => 1,
        _ => 0,
    }
}

#[test]
fn pixels_equal_pillows() {
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).unwrap();
    let expected = read("expected.bin");
    let mut rest = expected.as_slice();
    let mut scratch = Scratch::default();
    let mut wrong = Vec::new();
    for case in &cases {
        let Case { input, steps, interpolation, exif, transparency, size } = case;
        let want;
        (want, rest) = rest.split_at(3 * size[0] * size[1]);
        let mut steps = steps.clone();
        if matches!(steps[..], [Step::ShortestEdge(_)]) {
            steps.push(Step::Resize(size.map(|n| n as u32)));
        }
        let processor = pixels(steps, *interpolation, *exif, *transparency);
        assert_eq!(processor.output_size(), *size);
        let got = interleaved(&processor, |out| processor.process(&read(input), &mut scratch, out));
        let worst = got.iter().zip(want).map(|(g, w)| g.abs_diff(*w)).max().unwrap();
        if worst > allowed(input) {
            let many = got.iter().zip(want).filter(|(g, w)| g != w).count();
            wrong.push(format!(
                "{input} {:?} {interpolation:?}: {many} of {} values, by up to {worst}",
                case.steps,
                got.len()
            ));
        }
    }
    assert!(rest.is_empty() && cases.len() > 100);
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A model that normalises by itself gets the very pixels that [`ImagePreprocessor::process`] normalises.
#[test]
fn bytes_are_the_values_before_normalisation() {
    let (scale, mean, std) = (1.0_f32 / 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let steps = vec![Step::ShortestEdge(28), Step::CenterCrop([24, 25])];
    let (interpolation, exif, transparency) = (Interpolation::Bicubic, Exif::Apply, Transparency::White);
    let spec = ImageSpec { steps, interpolation, scale, mean, std, exif, transparency };
    let processor = ImagePreprocessor::new(spec).unwrap();
    let mut scratch = Scratch::default();
    for name in FILES.into_iter().chain(["photo.png", "cmyk.jpg", "odd-420.jpg", "one.jpg"]) {
        let (mut values, mut bytes) = ([f32::NAN; 3 * 24 * 25], [0; 3 * 24 * 25]);
        processor.process(&read(name), &mut scratch, &mut values).unwrap();
        processor.process_u8(&read(name), &mut scratch, &mut bytes).unwrap();
        for (i, (value, byte)) in values.iter().zip(bytes).enumerate() {
            let channel = i / (24 * 25);
            assert_eq!(*value, (scale * f32::from(byte) - mean[channel]) / std[channel], "{name}, value {i}");
        }
    }
    let short = processor.process_u8(&read("one.png"), &mut scratch, &mut [0; 3]).unwrap_err();
    assert!(short.contains("3x24x25"), "{short}");
}

fn reason(bytes: &[u8]) -> String {
    let processor = resize([4, 4], Interpolation::Bicubic);
    processor.process(bytes, &mut Scratch::default(), &mut [0.0; 48]).unwrap_err()
}

#[test]
fn unusable_images_are_refused_with_a_reason() {
    assert!(reason(&read("grey16.png")).contains("16-bit greyscale"));
    assert!(reason(b"").contains("empty"));
    assert!(reason(b"once upon a time there was a").contains("known format"));
    // A header that promises 60000x60000 pixels.
    let mut bomb = read("rgb.bmp");
    bomb[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    bomb[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    assert!(reason(&bomb).contains("60000x60000"), "{}", reason(&bomb));
}

/// The header of a JPEG is changed: what it asks for is checked before anything is made of it.
#[test]
fn hostile_jpegs_are_refused_with_a_reason() {
    let changed = |name: &str, offset: usize, with: &[u8]| {
        let mut jpeg = read(name);
        let frame = jpeg.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
        jpeg[frame + offset..][..with.len()].copy_from_slice(with);
        reason(&jpeg)
    };
    for name in ["colour.jpg", "progressive.jpg", "cmyk.jpg", "grey.jpg"] {
        let most = 65_500_u16.to_be_bytes();
        let bomb = changed(name, 5, &[most, most].concat());
        assert!(bomb.contains("65500x65500 pixels are more than the limit"), "{name}: {bomb}");
        assert!(changed(name, 5, &[0, 0]).contains("no pixels"), "{name}");
        // Within the limit, but far more rows than there is data.
        assert!(changed(name, 5, &2_000_u16.to_be_bytes()).contains("unexpected end"), "{name}");
        // Extended sequential, twelve bits.
        let twelve = changed(name, 1, &[0xC1, 0, 0x0B + 3 * u8::from(name != "grey.jpg"), 12]);
        assert!(twelve.contains("12"), "{name}: {twelve}");
    }
}

/// Pillow would fill up with grey or noise; such pixels are no photo.
#[test]
fn jpegs_with_broken_data_are_refused() {
    for name in ["colour.jpg", "progressive.jpg", "cmyk.jpg", "odd-420.jpg"] {
        let jpeg = read(name);
        let scan = jpeg.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
        let missing = [&jpeg[..scan + 4], &[0xFF, 0xD9]].concat();
        assert!(reason(&missing).contains("unexpected end of data"), "{name}: {}", reason(&missing));
    }
}

#[test]
fn reasons_begin_with_what_a_user_knows() {
    let photo = read("photo.png");
    for cut in [20, 200, photo.len() / 2] {
        let reason = reason(&photo[..cut]);
        assert!(reason.starts_with("not a readable PNG: ") && !reason.contains("Format error"), "{reason}");
    }
    let jpeg = reason(&[&[0xFF, 0xD8, 0xFF, 0xE0][..], &[0; 40], &[0xFF, 0xD9]].concat());
    assert!(jpeg.starts_with("not a readable JPEG: ") || jpeg.starts_with("the JPEG is "), "{jpeg}");
    assert!(reason(b"a text").starts_with("not an image of a known format"));
    assert_eq!(reason(b""), "the file is empty");
}

/// Pillow refuses a JPEG that lacks only its last byte; so do we, and the other formats in their middle.
#[test]
fn cut_off_images_are_refused() {
    for name in ["colour.jpg", "progressive.jpg", "turned.jpg", "cmyk.jpg"] {
        let bytes = read(name);
        for cut in [1, 2, 3, 30, bytes.len() / 2, bytes.len() - 20, bytes.len() - 2] {
            let reason = reason(&bytes[..bytes.len() - cut]);
            assert!(!reason.is_empty(), "{name} less {cut}");
        }
        assert!(reason(&bytes[..bytes.len() - 30]).contains("cut off"), "{name}");
    }
    for name in ["photo.png", "first-frame.gif", "lossless.webp", "lossy.webp", "rgb.bmp", "lzw.tiff"] {
        let bytes = read(name);
        assert!(!reason(&bytes[..bytes.len() / 2]).is_empty(), "{name}");
    }
}

#[test]
fn wrong_calls_are_errors() {
    let processor = resize([4, 4], Interpolation::Box);
    let mut scratch = Scratch::default();
    let short = processor.process(&read("one.png"), &mut scratch, &mut [0.0; 47]).unwrap_err();
    assert!(short.contains("3x4x4"), "{short}");
    for (size, rgb) in [([2, 2], 11), ([0, 2], 0), ([usize::MAX, 2], 6)] {
        assert!(processor.process_rgb(size, &vec![0; rgb], &mut scratch, &mut [0.0; 48]).is_err());
    }
}

#[test]
fn specifications_are_checked() {
    let good = ImageSpec {
        steps: vec![Step::ShortestEdge(8), Step::CenterCrop([6, 7])],
        interpolation: Interpolation::Bicubic,
        scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        exif: Exif::Apply,
        transparency: Transparency::White,
    };
    assert_eq!(ImagePreprocessor::new(good.clone()).unwrap().output_size(), [6, 7]);
    let square = vec![Step::CentralSquare { size: 24, margin: 8 }, Step::ShortestEdge(5)];
    assert_eq!(ImagePreprocessor::new(ImageSpec { steps: square, ..good.clone() }).unwrap().output_size(), [5, 5]);
    let steps = |steps| ImageSpec { steps, ..good.clone() };
    let bad = [
        (steps(vec![]), "one size"),
        (steps(vec![Step::ShortestEdge(8)]), "one size"),
        (steps(vec![Step::CentralSquare { size: 24, margin: 8 }]), "one size"),
        (steps(vec![Step::Resize([0, 3])]), "zero"),
        (steps(vec![Step::Resize([u32::MAX, u32::MAX])]), "at most 16777216"),
        (ImageSpec { std: [1.0, 0.0, 1.0], ..good.clone() }, "std"),
        (ImageSpec { scale: f32::NAN, ..good.clone() }, "finite"),
    ];
    for (spec, message) in bad {
        let error = ImagePreprocessor::new(spec).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// `(scale·x − mean) / std` in f32, planes in the order R, G, B.
#[test]
fn values_are_normalised_into_planes() {
    let spec = ImageSpec {
        steps: vec![Step::Resize([1, 2])],
        interpolation: Interpolation::Nearest,
        scale: 1.0 / 255.0,
        mean: [0.5, 0.25, 0.0],
        std: [0.5, 0.25, 2.0],
        exif: Exif::Apply,
        transparency: Transparency::White,
    };
    let processor = ImagePreprocessor::new(spec).unwrap();
    let mut out = [0.0; 6];
    processor.process_rgb([1, 2], &[0, 255, 51, 255, 0, 102], &mut Scratch::default(), &mut out).unwrap();
    for (got, want) in out.iter().zip([-1.0, 1.0, 3.0, -1.0, 0.1, 0.2]) {
        assert!((got - want).abs() < 1e-6, "{out:?}");
    }
}

/// A square of millions of pixels is never made for an image of one row, and a size beyond all measure is refused.
#[test]
fn extreme_shapes_take_no_extreme_memory() {
    let processor = pixels(
        vec![Step::ShortestEdge(224), Step::CenterCrop([224, 224])],
        Interpolation::Lanczos,
        Exif::Ignore,
        Transparency::Drop,
    );
    let mut out = vec![0.0; 3 * 224 * 224];
    let mut scratch = Scratch::default();
    let row: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 3 % 251) as u8).collect();
    processor.process_rgb([1, 1_000_000], &row, &mut scratch, &mut out).unwrap();
    let column = vec![9; 30_000_000];
    let error = processor.process_rgb([10_000_000, 1], &column, &mut scratch, &mut out).unwrap_err();
    assert!(error.contains("too unequal"), "{error}");
}

fn filters() -> impl Strategy<Value = Interpolation> {
    use Interpolation::*;
    prop::sample::select(vec![Nearest, Lanczos, Bilinear, Bicubic, Box, Hamming])
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_colour_stays_one_colour(
        filter in filters(), h in 1_usize..70, w in 1_usize..70, to_h in 1_u32..70, to_w in 1_u32..70, colour: [u8; 3],
    ) {
        let processor = resize([to_h, to_w], filter);
        let rgb = colour.repeat(h * w);
        let got = interleaved(&processor, |out| processor.process_rgb([h, w], &rgb, &mut Scratch::default(), out));
        prop_assert!(got.chunks(3).all(|pixel| pixel == colour));
    }

    #[test]
    fn the_same_size_changes_nothing(filter in filters(), h in 1_usize..70, w in 1_usize..70, seed: u64) {
        let processor = resize([h as u32, w as u32], filter);
        let rgb = noise(3 * h * w, seed);
        let got = interleaved(&processor, |out| processor.process_rgb([h, w], &rgb, &mut Scratch::default(), out));
        prop_assert_eq!(got, rgb);
    }

    /// Only the cut-out window is computed: it must be what cutting the whole resized image gives, and what the thread
    /// did before must not matter.
    #[test]
    fn a_window_of_a_resize_is_the_resize_of_a_window(
        filter in filters(), h in 1_usize..60, w in 1_usize..60, to in [1_u32..60, 1_u32..60], cut in [1_u32..60, 1_u32..60],
        seed: u64,
    ) {
        let cut = [cut[0].min(to[0]), cut[1].min(to[1])];
        let rgb = noise(3 * h * w, seed);
        let whole = resize(to, filter);
        let mut scratch = Scratch::default();
        let pixels_of_whole = interleaved(&whole, |out| whole.process_rgb([h, w], &rgb, &mut scratch, out));
        let window = pixels(vec![Step::Resize(to), Step::CenterCrop(cut)], filter, Exif::Ignore, Transparency::Drop);
        let got = interleaved(&window, |out| window.process_rgb([h, w], &rgb, &mut scratch, out));
        let [top, left] = [0, 1].map(|i| ((to[i] - cut[i]) / 2) as usize);
        let want = pixels_of_whole.chunks(3 * to[1] as usize).skip(top).take(cut[0] as usize);
        let want: Vec<u8> = want.flat_map(|row| row[3 * left..][..3 * cut[1] as usize].to_vec()).collect();
        prop_assert_eq!(got, want);
    }

    /// Broken files are refused or decoded, and never bring the program down.
    #[test]
    fn nothing_panics(name in prop::sample::select(FILES.to_vec()), keep in 0.0..1.2_f64, seed: u64, flips in 0_usize..20) {
        let mut bytes = read(name);
        bytes.truncate((keep * bytes.len() as f64) as usize);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..flips.min(bytes.len()) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let processor = pixels(vec![Step::ShortestEdge(9), Step::CenterCrop([8, 8])], Interpolation::Bilinear, Exif::Apply, Transparency::Drop);
        let _ = processor.process(&bytes, &mut Scratch::default(), &mut [0.0; 192]);
    }
}

const FILES: [&str; 12] = [
    "landscape.png",
    "palette.png",
    "rgb16.png",
    "upright.png",
    "first-frame.gif",
    "lossless.webp",
    "lossy.webp",
    "palette.bmp",
    "turned.tiff",
    "progressive.jpg",
    "cmyk.jpg",
    "turned.jpg",
];
