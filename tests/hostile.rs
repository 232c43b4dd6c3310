//! Hostile files: each is refused with a reason, in bounded memory. What is measured runs in a process of its own.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use engraft::backbone::{Overrides, folder};
use engraft::features::FeatureSet;
use engraft::onnx;
use engraft::preprocess::{
    Exif, ImagePreprocessor, ImageSpec, Interpolation, Scratch, Step, TextPreprocessor, TextSpec, Transparency,
};

const MIB: u64 = 1 << 20;

/// Runs `body` in a process of its own; fails when it fails or when its memory ever grew by more than `limit` MiB.
/// Elsewhere than on Linux it only runs.
fn bounded(test: &str, limit: u64, body: impl FnOnce()) {
    const INSIDE: &str = "ENGRAFT_TEST_BOUNDED";
    if !cfg!(target_os = "linux") {
        return body();
    }
    if std::env::var_os(INSIDE).is_some() {
        let before = peak();
        body();
        let grown = peak() - before;
        assert!(grown <= limit, "{grown} MiB of memory, {limit} are allowed");
        return;
    }
    // The address space has an end too, lest a failure take the machine along.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v 12000000; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    shell.args(["--exact", test, "--test-threads=1", "--nocapture"]).env(INSIDE, "1");
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn reject(bytes: &[u8]) -> String {
    let spec = ImageSpec {
        steps: vec![Step::ShortestEdge(8), Step::CenterCrop([8, 8])],
        interpolation: Interpolation::Bilinear,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        exif: Exif::Apply,
        transparency: Transparency::White,
    };
    let processor = ImagePreprocessor::new(spec).unwrap();
    processor.process(bytes, &mut Scratch::default(), &mut [0.0; 3 * 64]).err().unwrap_or_default()
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [name, data].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    [&(data.len() as u32).to_be_bytes(), &body[..], &crc.sum().to_be_bytes()].concat()
}

fn deflated(zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), zeros), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

fn png(width: u32, height: u32, depth_and_color: [u8; 2], chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &depth_and_color, &[0; 3]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunks.concat(), &chunk(b"IEND", &[])].concat()
}

#[test]
fn a_png_of_50000_by_50000_pixels_is_refused_before_it_is_decoded() {
    bounded("a_png_of_50000_by_50000_pixels_is_refused_before_it_is_decoded", 32, || {
        // A whole one, of one bit a pixel: 312 MB in 300 KB.
        let data = chunk(b"IDAT", &deflated(50_000 * (1 + 50_000 / 8)));
        let bytes = png(50_000, 50_000, [1, 0], &[data]);
        assert!(bytes.len() < 3_000_000);
        assert!(reject(&bytes).contains("50000x50000 pixels are more than the limit"), "{}", reject(&bytes));
    });
}

#[test]
fn headers_that_lie_cost_no_memory() {
    bounded("headers_that_lie_cost_no_memory", 64, || {
        // Just below the limit, and next to nothing follows.
        let data = chunk(b"IDAT", &deflated(100));
        assert!(!reject(&png(13_000, 13_000, [8, 2], &[data])).is_empty());
    });
}

#[test]
fn a_profile_that_inflates_is_not_followed() {
    bounded("a_profile_that_inflates_is_not_followed", 200, || {
        let profile = [&b"name\0\0"[..], &deflated(400 * MIB)].concat();
        let data = chunk(b"IDAT", &deflated(4));
        // Whether the image is taken without it or refused is the decoder's choice.
        reject(&png(1, 1, [8, 2], &[chunk(b"iCCP", &profile), data]));
    });
}

#[test]
fn sizes_beyond_the_limit_are_refused_in_every_format() {
    bounded("sizes_beyond_the_limit_are_refused_in_every_format", 64, || {
        let gif =
            [b"GIF89a", &[0xff; 4][..], &[0; 3], b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0\x3b"].concat();
        let bmp = |width: i32, height: i32, bits: u16, compression: u32| {
            let mut bytes = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
            bytes.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
            bytes.extend([&1_u16.to_le_bytes()[..], &bits.to_le_bytes(), &compression.to_le_bytes()].concat());
            bytes.extend([0; 20 + 16]);
            bytes
        };
        // VP8X with an alpha flag: a canvas of 2^24 x 2^24.
        let webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xffVP8L\x04\0\0\0\x2f\xff\xff\xff"
            .to_vec();
        // VP8L: 16384 x 16384.
        let lossless = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0".to_vec();
        for (what, bytes) in [
            ("gif", gif),
            ("bmp", bmp(i32::MAX, i32::MAX, 24, 0)),
            ("bmp upside down", bmp(50_000, i32::MIN, 24, 0)),
            ("bmp of runs", bmp(50_000, 50_000, 8, 1)),
            ("webp", webp),
            ("lossless webp", lossless),
            (
                "tiff",
                tiff(&[(256, 4, 50_000), (257, 4, 50_000), (258, 3, 8), (262, 3, 1), (273, 4, 8), (279, 4, 8)], 0),
            ),
        ] {
            let reason = reject(&bytes);
            assert!(!reason.is_empty(), "{what} is taken");
            println!("{what}: {reason}");
        }
    });
}

/// A little-endian TIFF of one directory, of entries (tag, type, value), each with one value.
fn tiff(entries: &[(u16, u16, u32)], next: u32) -> Vec<u8> {
    let mut bytes = b"II\x2a\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        bytes
            .extend([&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes()].concat());
    }
    bytes.extend(next.to_le_bytes());
    bytes.extend([0; 64]);
    bytes
}

#[test]
fn tiffs_that_lie_are_refused() {
    bounded("tiffs_that_lie_are_refused", 64, || {
        let size = [(256, 4, 64), (257, 4, 64), (258, 3, 8), (259, 3, 1), (262, 3, 1)];
        let with = |more: &[(u16, u16, u32)]| [&size[..], more].concat();
        let huge = u32::MAX - 7;
        // Strips and tiles that are larger than the file, or than the image; directories that lead back to themselves.
        for (what, bytes) in [
            ("a strip of 4 GiB", tiff(&with(&[(273, 4, 8), (278, 4, 64), (279, 4, huge)]), 0)),
            ("a strip of 2^32 rows", tiff(&with(&[(273, 4, 8), (278, 4, huge), (279, 4, 64)]), 0)),
            (
                "a tile of 2^31 pixels",
                tiff(&with(&[(322, 4, 1 << 31), (323, 4, 1 << 31), (324, 4, 8), (325, 4, 64)]), 0),
            ),
            ("a tile of 16384 pixels", tiff(&with(&[(322, 4, 16384), (323, 4, 16384), (324, 4, 8), (325, 4, 64)]), 0)),
            ("a loop", tiff(&[(256, 4, 64)], 8)),
            ("a loop of directories", tiff(&with(&[(330, 4, 8), (273, 4, 8), (279, 4, 64)]), 8)),
        ] {
            let reason = reject(&bytes);
            assert!(!reason.is_empty(), "{what} is taken");
            println!("{what}: {reason}");
        }
    });
}

#[test]
fn of_many_frames_one_is_decoded() {
    bounded("of_many_frames_one_is_decoded", 32, || {
        let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
        let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
        (0..200_000).for_each(|_| gif.extend(frame));
        gif.push(0x3b);
        assert_eq!(reject(&gif), "");
    });
}

#[test]
fn steps_that_lead_to_endless_images_are_refused() {
    let spec = |steps| ImageSpec {
        steps,
        interpolation: Interpolation::Bilinear,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        exif: Exif::Ignore,
        transparency: Transparency::White,
    };
    let error = ImagePreprocessor::new(spec(vec![Step::Resize([1 << 20, 1 << 20])])).unwrap_err().to_string();
    assert!(error.contains("1048576x1048576"), "{error}");
    // A head carries its own preprocessing: an image between the steps may be large, too.
    for first in
        [Step::Resize([1 << 28, 1 << 28]), Step::CenterCrop([u32::MAX, u32::MAX]), Step::Resize([1 << 20, 1 << 20])]
    {
        let processor = ImagePreprocessor::new(spec(vec![first, Step::Resize([8, 8])])).unwrap();
        let reason = processor.process_rgb([1, 1], &[0; 3], &mut Scratch::default(), &mut [0.0; 3 * 64]).unwrap_err();
        assert!(reason.contains("edges") || reason.contains("pixels"), "{reason}");
    }
}

/// A file that is as long as it says, and has next to nothing on the disk.
fn sparse(path: &Path, start: &[u8], length: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(start).unwrap();
    file.set_len(length).unwrap();
}

fn told<T>(outcome: engraft::Result<T>) -> String {
    outcome.err().expect("it is taken").to_string()
}

#[test]
fn endless_files_are_not_read() {
    bounded("endless_files_are_not_read", 32, || {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let long = 40 << 30;
        sparse(&at("tokenizer.json"), b"{", long);
        let error = told(TextPreprocessor::from_file(&at("tokenizer.json"), &TextSpec { max_length: 8 }));
        assert!(error.contains("tokenizer.json") && error.contains("larger than 256 MiB"), "{error}");

        sparse(&at("model.onnx"), b"\x08\x08", long);
        let error = told(onnx::read_model(&at("model.onnx")));
        assert!(error.contains("model.onnx") && error.contains("larger than"), "{error}");

        let mut graph = onnx::GraphBuilder::new("image");
        graph.input("x", onnx::DataType::Float, &[onnx::build::Dim::Named("n"); 4]);
        onnx::write_model(&graph.finish(), &at("model.onnx")).unwrap();
        sparse(&at("preprocessor_config.json"), b"{", long);
        let error = told(folder::open(folder.path(), &Overrides::default(), "m"));
        assert!(error.contains("preprocessor_config.json") && error.contains("larger than 64 MiB"), "{error}");

        // One value, and a line of ids that does not end.
        std::fs::write(at("a.npy"), npy("(1, 1)", &[0; 4])).unwrap();
        sparse(&at("a.jsonl"), b"{\"id\":\"", long);
        let error = told(FeatureSet::read(&at("a.npy")));
        assert!(error.contains("a.jsonl") && error.contains("line 1: longer than"), "{error}");
        std::fs::write(at("a.jsonl"), "{\"id\":1}\n".repeat(100_000)).unwrap();
        let error = told(FeatureSet::read(&at("a.npy")));
        assert!(error.contains("more lines than the 1 rows"), "{error}");
    });
}

fn npy(shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
}

#[test]
fn nesting_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Graphs in attributes of nodes of graphs …
    let field = |tag: u8, inner: &[u8]| {
        let mut bytes = vec![tag << 3 | 2];
        let mut length = inner.len();
        while length > 0x7f {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(inner);
        bytes
    };
    let graph = (0..2_000).fold(Vec::new(), |inner, _| field(1, &field(5, &field(6, &inner))));
    std::fs::write(at("deep.onnx"), field(7, &graph)).unwrap();
    let error = told(onnx::read_model(&at("deep.onnx")));
    assert!(error.contains("deep.onnx") && error.contains("recursion limit"), "{error}");

    let json = "[".repeat(1_000_000);
    std::fs::write(at("tokenizer.json"), &json).unwrap();
    let error = told(TextPreprocessor::from_file(&at("tokenizer.json"), &TextSpec { max_length: 8 }));
    assert!(error.contains("tokenizer.json"), "{error}");

    let header = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    std::fs::write(at("deep.safetensors"), header).unwrap();
    let error = told(FeatureSet::read(&at("deep.safetensors")));
    assert!(error.contains("deep.safetensors"), "{error}");

    // A Parquet footer whose schema is 10,000 groups in one another.
    let mut footer = b"\x15\x02\x19\xfc\x91\x4e".to_vec();
    (0..10_000).for_each(|_| footer.extend(b"\x48\x01a\x15\x02\0"));
    footer.extend(b"\x15\x08\x38\x01a\0\x16\0\x19\x0c\0");
    let file = [b"PAR1", &footer[..], &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
    std::fs::write(at("deep.parquet"), file).unwrap();
    let error = told(FeatureSet::read(&at("deep.parquet")));
    assert!(error.contains("deep.parquet") && error.contains("nests deeper"), "{error}");
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hostile").join(name)
}

/// Ten kilobytes that stand for two gigabytes: see `make_hostile.py`.
#[test]
fn a_table_that_expands_is_refused() {
    bounded("a_table_that_expands_is_refused", 64, || {
        let error = told(FeatureSet::read(&golden("repeated.parquet")));
        assert!(error.contains("repeated.parquet") && error.contains("values"), "{error}");
    });
}

/// Found by fuzzing: the header of a page holds a list of millions of values and ends with the file.
#[test]
fn a_list_that_goes_on_after_the_end_is_not_passed_over_one_by_one() {
    let error = told(FeatureSet::read(&golden("endless.parquet")));
    assert!(error.contains("endless.parquet") && error.contains("unexpected end of file"), "{error}");
}
