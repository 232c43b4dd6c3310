"""An exported model, engraft's int8 form of it, and the one that ONNX Runtime's own quantiser makes of it: size, accuracy, speed.

    shrink.py images|texts F32.onnx INT8.onnx SAMPLES JUDGED

SAMPLES and JUDGED are folders with a folder for each class, or tables of id, label and text. The peer is calibrated on every fourth of
the first 512 SAMPLES, and leaves the head alone as engraft does: quantize_static (QDQ, per channel, uint8 activations) for images,
quantize_dynamic (per channel) for texts. The three take turns, with one thread and with all. `score` is the accuracy, and of texts the
AUC besides. Milliseconds are medians for a batch of 8 images, or of 8 texts of 24 tokens; CPU is what all cores spent.
"""

import csv
import io
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

BATCH = 8
ROUNDS = 41


def images(path):
    """Pixels and labels; what is transparent is white, as in engraft."""
    from images import load
    from PIL import Image

    def opaque(path):
        image, out = Image.open(path).convert("RGBA"), io.BytesIO()
        Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB").save(out, "PNG")
        return out

    files = sorted(p for p in Path(path).glob("*/*") if p.is_file())
    return [{"image": load(opaque(p))[None]} for p in files], [p.parent.name for p in files]


def texts(path, tokenizer):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ids = [np.array([e.ids]) for e in tokenizer.encode_batch([row["text"] for row in rows])]
    feeds = [{"input_ids": i, "attention_mask": np.ones_like(i), "token_type_ids": np.zeros_like(i)} for i in ids]
    return feeds, [row["label"] for row in rows]


class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def peer(kind, path, feeds, out):
    nodes, behind = onnx.load(path).graph.node, []
    for place, node in enumerate(nodes):
        if "embedding" in node.output:
            behind = [name for n in nodes[place + 1 :] for name in (n.name, n.name + "_MatMul")]
    if kind == "images":
        quantize_static(
            path, out, Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=behind,
        )
    else:
        quantize_dynamic(path, out, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=behind)


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def score(path, feeds, labels):
    opened = session(path, 0)
    names = json.loads(opened.get_modelmeta().custom_metadata_map["engraft.labels"])
    p = np.concatenate([opened.run(["probabilities"], feed)[0] for feed in feeds])
    truth = np.array([names.index(label) for label in labels])
    result = {"accuracy": float((p.argmax(1) == truth).mean())}
    if len(names) == 2:
        ranks = p[:, 1].argsort(kind="stable").argsort() + 1
        positive = (truth == 1).sum()
        area = ranks[truth == 1].sum() - positive * (positive + 1) / 2
        result["auc"] = float(area / positive / (truth == 0).sum())
    return result


def timed(paths, feed, threads):
    """Median milliseconds of wall and CPU of each, in turns."""
    opened, seen = [session(path, threads) for path in paths], [[] for _ in paths]
    for _ in range(ROUNDS):
        for one, times in zip(opened, seen):
            cpu, wall = time.process_time(), time.perf_counter()
            one.run(None, feed)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [[1e3 * statistics.median(t[k] for t in times[3:]) for k in (0, 1)] for times in seen]


def main():
    kind, f32, int8, samples, judged = sys.argv[1:]
    logging.disable(logging.WARNING)
    read = images if kind == "images" else lambda path: texts(path, Path(f32).with_suffix(".tokenizer.json"))
    calibration = read(samples)[0][:512:4]
    feeds, labels = read(judged)
    theirs = os.path.join(tempfile.mkdtemp(), "peer.onnx")
    peer(kind, f32, calibration, theirs)
    paths = {"f32": f32, "engraft int8": int8, "onnxruntime int8": theirs}
    if kind == "images":
        batch = {"image": np.concatenate([feed["image"] for feed in feeds[:BATCH]])}
    else:
        ids = np.random.default_rng(0).integers(1000, 20000, (BATCH, 24))
        batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    times = {threads: timed(paths.values(), batch, threads) for threads in (1, os.cpu_count())}
    results = {}
    for place, (name, path) in enumerate(paths.items()):
        results[name] = {"size": os.path.getsize(path), **score(path, feeds, labels)}
        for threads, of in times.items():
            results[name][f"ms, {threads} threads"], results[name][f"CPU ms, {threads} threads"] = of[place]
    first = results["f32"]
    for name, result in results.items():
        ratios = {key: round(first[key] / value, 2) for key, value in result.items() if "ms" in key}
        result["size ratio"] = round(result["size"] / first["size"], 3)
        print(name, json.dumps({k: round(v, 4) for k, v in result.items()}), "times as fast:", json.dumps(ratios))


main()
