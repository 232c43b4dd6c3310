"""Labels of an exported image model: Pillow and onnxruntime alone. Arguments: model.onnx, a folder of folders of images."""

import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
from PIL import Image

model, folder = sys.argv[1], Path(sys.argv[2])
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
spec = json.loads(about["engraft.provenance"])["preprocessing"]["image"]
labels = json.loads(about["engraft.labels"])


def pixels(path):
    image = Image.open(path).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    for step in spec["steps"]:
        if "central_square" in step:
            size, margin = step["central_square"]["size"], step["central_square"]["margin"]
            side = int(min(image.size) * size / (size + margin))
            left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
            image = image.crop((left, top, left + side, top + side))
        else:
            height, width = step["resize"]
            image = image.resize((width, height), getattr(Image.Resampling, spec["interpolation"].upper()))
    values = numpy.asarray(image, numpy.float32) * numpy.float32(spec["scale"])
    values = (values - numpy.float32(spec["mean"])) / numpy.float32(spec["std"])
    return values.transpose(2, 0, 1)[None]


results = []
for path in sorted(folder.glob("*/*"), key=lambda path: path.relative_to(folder).as_posix().encode()):
    label, probabilities = session.run(["label", "probabilities"], {session.get_inputs()[0].name: pixels(path)})
    assert label[0] == labels[int(probabilities[0].argmax())]
    results.append(
        {"id": path.relative_to(folder).as_posix(), "label": label[0], "probability": float(probabilities[0].max())}
    )
print(json.dumps(results))
