"""Writes what a Python pipeline makes of twenty real photos: <backbone>.bin, 20×d little-endian 32-bit floats.

pip install numpy==2.4.6 onnxruntime==1.32.0 pillow==13.0.0
python make_photos.py FOLDER

FOLDER is the tests' own (target/tmp), after `cargo test --test photos` has filled it: photos/ holds the photos, in the
order of their names, and home/models/<backbone>/model.onnx the backbones.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).parent
FOLDER = Path(sys.argv[1])


def efficientnet_lite0(image):
    """TensorFlow's evaluation crop: the centre square of side short·224/256, then bicubic to 224."""
    side = min(image.size) * 224 // 256
    left, top = ((length - side + 1) // 2 for length in image.size)
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return (np.asarray(image, dtype=np.float32) - 127) / 128


def vit_s14(image):
    image = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return (image - np.array([0.485, 0.456, 0.406], dtype=np.float32)) / np.array([0.229, 0.224, 0.225], dtype=np.float32)


paths = sorted((FOLDER / "photos").iterdir())
assert len(paths) == 20
for name, output, prepare in [("efficientnet-lite0", "features", efficientnet_lite0), ("vit-s14", "cls", vit_s14)]:
    session = onnxruntime.InferenceSession(FOLDER / "home/models" / name / "model.onnx")
    rows = []
    for path in paths:
        pixels = prepare(Image.open(path).convert("RGB")).transpose(2, 0, 1)[None]
        rows.append(session.run([output], {session.get_inputs()[0].name: np.ascontiguousarray(pixels)})[0][0])
    np.stack(rows).astype("<f4").tofile(HERE / f"{name}.bin")
