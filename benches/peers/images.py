"""Embeds a folder of images with an EfficientNet-Lite in Python, in one of several ways.

The first three are Pillow + numpy + onnxruntime, the last is OpenCV.

loop     what a user writes first: batches of 32, one after the other, ONNX Runtime's defaults
pool     two decoding threads run ahead of one session; batches of 8; threads of the session do not spin
workers  two threads, each of which decodes and runs batches of 8 on a single-threaded session of its own
opencv   OpenCV decodes, resizes (another bicubic filter than Pillow's) and runs the graph; batches of 8
"""

import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

SIZE = 224


def load(path):
    image = Image.open(path).convert("RGB")
    side = int(min(image.size) * SIZE / (SIZE + 32))
    left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
    image = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return ((np.asarray(image, dtype=np.float32) - 127) / 128).transpose(2, 0, 1)


def open_session(model, threads=None):
    options = ort.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session, images):
    return session.run(["features"], {session.get_inputs()[0].name: np.stack(images)})[0]


def batches(paths, size):
    return [paths[i : i + size] for i in range(0, len(paths), size)]


def loop(model):
    session = open_session(model)
    return lambda paths: [run(session, [load(p) for p in batch]) for batch in batches(paths, 32)]


def pool(model):
    session = open_session(model, threads=2)

    def embed(paths):
        out = []
        with ThreadPoolExecutor(2) as decoders:
            ahead = [decoders.submit(load, p) for p in paths[:64]]
            rest = iter(paths[64:])
            while ahead:
                ready, ahead = ahead[:8], ahead[8:]
                ahead += [decoders.submit(load, p) for p in itertools.islice(rest, 8)]
                out.append(run(session, [image.result() for image in ready]))
        return out

    return embed


def workers(model):
    idle = [open_session(model, threads=1) for _ in range(2)]

    def one(batch):
        session = idle.pop()
        features = run(session, [load(p) for p in batch])
        idle.append(session)
        return features

    def embed(paths):
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(one, batches(paths, 8)))

    return embed


def opencv(model):
    import cv2

    net = cv2.dnn.readNetFromONNX(model)

    def load(path):
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        side = int(min(height, width) * SIZE / (SIZE + 32))
        top, left = (height - side + 1) // 2, (width - side + 1) // 2
        return cv2.resize(image[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)

    def run(batch):
        blob = cv2.dnn.blobFromImages([load(p) for p in batch], 1 / 128, mean=(127, 127, 127), swapRB=True)
        net.setInput(blob)
        return net.forward("features").copy()

    return lambda paths: [run(batch) for batch in batches(paths, 8)]


def main():
    way, model, folder, output = sys.argv[1:]
    embed = {"loop": loop, "pool": pool, "workers": workers, "opencv": opencv}[way](model)
    started = time.perf_counter()
    features = np.concatenate(embed(sorted(Path(folder).iterdir())))
    seconds = time.perf_counter() - started
    np.save(output, features)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
