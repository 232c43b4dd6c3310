"""Pillow + numpy + onnxruntime: embeds a folder of images with an EfficientNet-Lite, in one of three ways.

loop     what a user writes first: batches of 32, one after the other, ONNX Runtime's defaults
pool     two decoding threads run ahead of one session; batches of 8; threads of the session do not spin
workers  two threads, each of which decodes and runs batches of 8 on a single-threaded session of its own
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


def main():
    way, model, folder, output = sys.argv[1:]
    embed = {"loop": loop, "pool": pool, "workers": workers}[way](model)
    started = time.perf_counter()
    features = np.concatenate(embed(sorted(Path(folder).iterdir())))
    seconds = time.perf_counter() - started
    np.save(output, features)
    print(json.dumps({"seconds": seconds}))


main()
