//! What the end-to-end tests share: the binary, a home that is kept between runs, real data, Python peers.
#![allow(dead_code)]

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use engraft::backbone::{Home, Package, PackageFile, PackageManager, fetch};
use engraft::features::FeatureSet;
use engraft::onnx::build::Dim;
use engraft::onnx::{DataType, GraphBuilder, write_model};
use ndarray::Array2;

/// Where fetched things are kept between runs.
pub fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// engraft's folder for the tests, with ONNX Runtime in it.
pub fn home() -> Home {
    static READY: OnceLock<Home> = OnceLock::new();
    READY
        .get_or_init(|| {
            let home = Home::at(cache().join("home"));
            command(home.path()).arg("setup").assert().success();
            home
        })
        .clone()
}

/// The engraft binary in the tests' home, on the CPU.
pub fn engraft() -> Command {
    command(home().path())
}

/// The engraft binary on the CPU with this folder as its home; nothing of the caller's settings reaches it.
pub fn command(home: &Path) -> Command {
    Command::from_std(process(home))
}

/// The same, for a test that needs the running process.
pub fn process(home: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_engraft"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("ENGRAFT_") || n == "ORT_DYLIB_PATH") {
        command.env_remove(name);
    }
    command.env("ENGRAFT_HOME", home).env("ENGRAFT_DEVICE", "cpu");
    command
}

/// The JSON that a successful command writes.
pub fn json(command: &mut Command) -> serde_json::Value {
    let output = command.arg("--json").assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).expect("the result is JSON")
}

/// Fails unless the command ends with `code` and says each of `words` on stderr. Returns what it said.
pub fn says(command: &mut Command, code: i32, words: &[&str]) -> String {
    let stderr = stderr(command.assert().code(code));
    assert!(!stderr.contains("panicked"), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
    stderr
}

/// What a command wrote to stdout.
pub fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).expect("UTF-8")
}

/// The f32 values of a file, little-endian, with nothing between.
pub fn floats(path: impl AsRef<Path>) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("a file");
    assert_eq!(bytes.len() % 4, 0);
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// optdigits as they are, 0..=16; the labels are the digits, the ids the rows' places.
pub fn digits() -> FeatureSet {
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(golden("head/digits.bin.gz")).expect("a file");
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("gzip");
    let rows = bytes.len() / 65;
    FeatureSet {
        ids: (0..rows).map(|i| i.to_string()).collect(),
        labels: (0..rows).map(|i| Some(bytes[65 * i + 64].to_string())).collect(),
        contents: vec![None; rows],
        kept: Default::default(),
        matrix: Array2::from_shape_fn((rows, 64), |(i, j)| f32::from(bytes[65 * i + j])),
        provenance: None,
    }
}

pub fn stderr(assert: Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

/// A folder with no program in it, for a PATH on which neither pip nor npm is found.
pub fn no_programs() -> PathBuf {
    let folder = cache().join("no-programs");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Google's emoji, a folder for each of seven categories, as the demo keeps them.
pub fn emoji() -> PathBuf {
    demo_data("emoji-google", &[])
}

/// The demo's table of tweets: id, label, text.
pub fn tweets() -> PathBuf {
    demo_data("tweets-sentiment.csv", &["--text"])
}

fn demo_data(name: &str, arguments: &[&str]) -> PathBuf {
    let path = home().data().join(name);
    let lock = home().lock("tests-demo-data", &()).expect("a lock");
    if !path.exists() {
        let out = tempfile::tempdir().expect("a folder");
        engraft().arg("demo").args(arguments).arg("--out").arg(out.path()).assert().success();
    }
    drop(lock);
    path
}

/// The emoji of each category that stand at these places, by name, in `folder` by category.
pub fn some_emoji(folder: &Path, places: Range<usize>) {
    for class in sorted(&emoji()) {
        let to = folder.join(class.file_name().expect("a name"));
        std::fs::create_dir_all(&to).expect("a folder");
        for image in &sorted(&class)[places.clone()] {
            std::fs::copy(image, to.join(image.file_name().expect("a name"))).expect("copied");
        }
    }
}

/// What Python's onnxruntime says, by an exported model, of the images in a folder of folders, or of the texts of a table: label and
/// probability of each. The onnx package checks the model too.
pub fn outside(model: &Path, input: &Path) -> Vec<serde_json::Value> {
    let (script, package) = match input.is_dir() {
        true => (include_str!("../golden/export/run_images.py"), "pillow==12.0.0"),
        false => (include_str!("../golden/export/run_text.py"), "tokenizers==0.23.3"),
    };
    serde_json::from_str(&python(&[&PEERS[..], &[package]].concat(), script, &[model, input])).expect("JSON")
}

/// What the Python in the card of an exported model says, with `input` in the place of its example: the label.
pub fn by_its_card(model: &Path, (example, input): (&str, &str), packages: &[&str]) -> String {
    let card = std::fs::read_to_string(model.with_extension("md")).expect("a card");
    let script = card.split("```").find_map(|part| part.strip_prefix("python\n")).expect("Python in the card");
    assert!(script.contains(example), "{script}");
    let folder = model.parent().expect("a folder").display().to_string();
    let script = format!("import os\nos.chdir({folder:?})\n{}print(label[0])\n", script.replace(example, input));
    python(&[&PEERS[..], packages].concat(), &script, &[]).trim().to_owned()
}

/// What is directly in a folder, by name.
pub fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Files of a Python package, by path inside and sha256; they are kept as `<folder>/<file name>`.
pub fn package_files(name: &str, version: &str, files: &[(&str, &str)], folder: &str) -> PathBuf {
    let folder = cache().join(folder);
    let lock = home().lock(name, &()).expect("a lock");
    let files = files
        .iter()
        .map(|(path, sha256)| PackageFile {
            path: (*path).to_owned(),
            keep: path.rsplit(['/', '!']).next().unwrap_or(path).to_owned(),
            sha256: (*sha256).to_owned(),
        })
        .collect();
    let package = Package { manager: PackageManager::Pip, name: name.into(), version: version.into(), files };
    fetch::fetch_package(&package, &folder, &()).expect("the package is fetched");
    drop(lock);
    folder
}

/// The Python peers that read what engraft writes.
pub const PEERS: [&str; 2] = ["onnx==1.23.2", "onnxruntime==1.32.0"];

/// Where these Python packages are installed: beside the tests and nowhere else.
pub fn python_packages(packages: &[&str]) -> PathBuf {
    let folder = cache().join("python").join(packages.join("+"));
    let lock = home().lock("python", &()).expect("a lock");
    if !folder.is_dir() {
        let staged = engraft::file::AtomicFolder::create(&folder).expect("a folder");
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(staged.staging());
        pip.args(packages).assert().success();
        staged.commit().expect("renamed");
    }
    drop(lock);
    folder
}

/// Runs a Python script that uses these packages; returns its standard output.
pub fn python(packages: &[&str], script: &str, arguments: &[&Path]) -> String {
    let folder = python_packages(packages);
    let output =
        Command::new("python3").env("PYTHONPATH", &folder).arg("-c").arg(script).args(arguments).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).expect("UTF-8")
}

/// npm packages, installed as `name` beside the tests and nowhere else.
pub fn npm_packages(name: &str, packages: &[&str]) -> PathBuf {
    let folder = cache().join(name);
    let lock = home().lock(name, &()).expect("a lock");
    if !folder.is_dir() {
        let staged = engraft::file::AtomicFolder::create(&folder).expect("a folder");
        std::fs::write(staged.staging().join("package.json"), "{\"private\": true}").expect("written");
        let mut npm = Command::new("npm");
        npm.current_dir(staged.staging()).args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
        npm.args(packages).assert().success();
        // Where a browser is unpacked to.
        std::fs::create_dir(staged.staging().join("unpacked")).expect("a folder");
        staged.commit().expect("renamed");
    }
    drop(lock);
    folder
}

/// A Chromium that is an npm package, and what drives it.
pub fn browser() -> PathBuf {
    npm_packages("browser", &["@sparticuz/chromium@143.0.4", "puppeteer-core@24.9.0"])
}

/// Node, for a script that starts the browser of these packages.
pub fn browsing(packages: &Path) -> Command {
    let mut node = Command::new("node");
    // The package brings the libraries that a bare machine lacks; this is how it is asked to unpack them.
    let unpacked = packages.join("unpacked");
    node.env("TMPDIR", &unpacked).env("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs20.x");
    // Where its fonts are: see the file.
    let fonts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fonts.conf");
    node.env("XDG_DATA_HOME", &unpacked).env("XDG_CACHE_HOME", unpacked.join("cache")).env("FONTCONFIG_FILE", fonts);
    node
}

/// Embeds `input` with a known backbone through the command line, into a file that is gone afterwards.
pub fn embed(input: &Path, model: &str, arguments: &[&str]) -> FeatureSet {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("features.parquet");
    let mut command = engraft();
    command.arg("embed").arg(input).args(["--model", model, "-o"]).arg(&output).args(arguments).assert().success();
    FeatureSet::read(&output).expect("features")
}

/// The cosine of the angle between two vectors, in 64 bits.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The least cosine between rows of features and the rows of a golden file.
pub fn least_cosine(features: &FeatureSet, golden: &[f32]) -> f64 {
    let (rows, d) = features.matrix.dim();
    assert_eq!(golden.len(), rows * d);
    let rows = features.matrix.outer_iter().zip(golden.chunks_exact(d));
    rows.map(|(row, want)| cosine(&row.to_vec(), want))
        .fold(f64::INFINITY, |least, c| if c >= least { least } else { c })
}

/// The path of a golden file.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Flags that name a backbone of no weights: the mean of each channel of an 8×8 image, so that a run costs next to
/// nothing and is the same in every batch.
pub fn tiny_backbone(folder: &Path) -> Vec<String> {
    let path = folder.join("tiny.onnx");
    let mut graph = GraphBuilder::new("tiny");
    graph.input("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)]);
    graph.node("GlobalAveragePool", &["x"], "means", vec![]);
    graph.node("Flatten", &["means"], "y", vec![]);
    graph.output("y", DataType::Float, &[Dim::Named("n"), Dim::Fixed(3)]);
    write_model(&graph.finish(), &path).expect("written");
    let model = format!("--model={}", path.display());
    let flags = "--modality=image --image-size=8 --resize=squash --interpolation=nearest --mean=0,0,0 --std=1,1,1 \
                 --output-name=y --pooling=none --normalize=false";
    std::iter::once(model).chain(flags.split_whitespace().map(str::to_owned)).collect()
}

/// Writes `count` PNGs of 8×8 random pixels, `000.png` and so on.
pub fn tiny_images(folder: &Path, count: usize) {
    let mut random = fastrand::Rng::with_seed(7);
    for i in 0..count {
        let pixels: Vec<u8> = (0..8 * 8 * 3).map(|_| random.u8(..)).collect();
        let image = image::RgbImage::from_raw(8, 8, pixels).expect("8×8 pixels");
        image.save(folder.join(format!("{i:03}.png"))).expect("written");
    }
}
