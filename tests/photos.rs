//! The embeddings of twenty real photos equal those of a Python pipeline of Pillow, NumPy and ONNX Runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;

use support::{cosine, embed, engraft, golden, home, least_cosine, package_files, python};

/// Colour and grey, PNG and JPEG, 384×191 to 1411×1411 pixels.
fn photos() -> PathBuf {
    package_files("scikit-learn", "1.9.1", &SKLEARN, "photos");
    package_files("scikit-image", "0.26.0", &SKIMAGE, "photos")
}

const SKLEARN: [(&str, &str); 2] = [
    ("sklearn/datasets/images/china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    ("sklearn/datasets/images/flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
];

const SKIMAGE: [(&str, &str); 18] = [
    ("skimage/data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    ("skimage/data/brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
    ("skimage/data/camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"),
    ("skimage/data/cell.png", "8d23a7fb81f7cc877cd09f330357fc7f595651306e84e17252f6e0a1b3f61515"),
    ("skimage/data/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    ("skimage/data/clock_motion.png", "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955"),
    ("skimage/data/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    ("skimage/data/coins.png", "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba"),
    ("skimage/data/grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
    ("skimage/data/gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    ("skimage/data/hubble_deep_field.jpg", "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"),
    ("skimage/data/ihc.png", "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"),
    ("skimage/data/moon.png", "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577"),
    ("skimage/data/motorcycle_left.png", "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"),
    ("skimage/data/page.png", "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3"),
    ("skimage/data/retina.jpg", "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"),
    ("skimage/data/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    ("skimage/data/text.png", "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1"),
];

fn against_python(backbone: &str) {
    let features = embed(&photos(), backbone, &[]);
    assert_eq!(features.ids.len(), 20);
    let want = support::floats(golden(&format!("photos/{backbone}.bin")));
    assert_eq!(want.len(), 20 * features.dimension());
    let rows = features.matrix.outer_iter().zip(want.chunks_exact(features.dimension()));
    for (id, (row, want)) in features.ids.iter().zip(rows) {
        let cosine = cosine(&row.to_vec(), want);
        println!("{backbone}, {id}: cosine {cosine:.8}");
        assert!(cosine >= 0.999_999, "{backbone}, {id}: {cosine}");
    }
}

#[test]
fn a_cnns_embeddings_equal_pythons() {
    against_python("efficientnet-lite0");
}

#[test]
fn a_vision_transformers_embeddings_equal_pythons() {
    against_python("vit-s14");
}

const JPEGS: &str = r#"
import pathlib, sys
import numpy as np, onnxruntime
from PIL import Image
photos, folder, model, out = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
vectors = []
for i, path in enumerate(sorted(pathlib.Path(photos).iterdir())):
    jpeg = pathlib.Path(folder, f"{path.stem}.jpg")
    # As cameras and phones save them, at several qualities, some of them small and of odd sizes.
    image = Image.open(path).convert("RGB")
    if i % 3 == 1:
        image = image.resize((101, 77))
    image.save(jpeg, quality=75 + i, subsampling=1 + i % 2, progressive=i % 4 == 3)
    image = Image.open(jpeg).convert("RGB")
    side = min(image.size) * 224 // 256
    left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    x = (np.asarray(image, np.float32) - 127) / 128
    vectors.append(session.run(["features"], {"image": x.transpose(2, 0, 1)[None]})[0][0])
np.stack(vectors).astype("<f4").tofile(out)
"#;

/// The chroma of ordinary JPEGs is stored at half the resolution; how it is interpolated reaches the embedding.
#[test]
fn embeddings_of_subsampled_jpegs_equal_pythons() {
    let folder = tempfile::Builder::new().prefix("jpegs").tempdir().unwrap();
    let (images, out) = (folder.path().join("jpegs"), folder.path().join("vectors.bin"));
    std::fs::create_dir(&images).unwrap();
    engraft().args(["models", "pull", "efficientnet-lite0"]).assert().success();
    let model = home().model("efficientnet-lite0").join("model.onnx");
    python(&["pillow==13.0.0", "onnxruntime==1.32.0"], JPEGS, &[&photos(), &images, &model, &out]);
    let features = embed(&images, "efficientnet-lite0", &[]);
    let want = support::floats(&out);
    assert_eq!(features.ids.len(), 20);
    let least = least_cosine(&features, &want);
    println!("20 JPEGs of 4:2:0 and 4:2:2: least cosine {least:.8}");
    assert!(least >= 0.999_999, "{least}");
}
