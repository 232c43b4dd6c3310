"""Writes models/reference/<name>.json: what other programs compute from the packages' own weights.

    python make_references.py FOLDER

FOLDER/<name>/ holds the files of each manifest's packages under their `keep` names (and model.onnx, which is not read,
except where the package itself has it). Made with Python 3.11, torch 2.15.0, onnxruntime 1.32.0, onnx 1.23.2,
tokenizers 0.23.3, safetensors 0.8.0, numpy 2.4.6.

EfficientNet-Lite and BERT are written down here a second time, in float64, from their papers and the original code.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tokenizers
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

FOLDER = Path(sys.argv[1])
REFERENCE = Path(__file__).parents[3] / "models" / "reference"
TORCH = f"PyTorch {torch.__version__.split('+')[0]}"
ORT = f"ONNX Runtime {onnxruntime.__version__} (Python)"

SEEDS = [1, 2]
TEXTS = [
    "This is an example sentence",
    "Grüße aus Zürich: 3 cafés, 2 naïve résumés & a half-price 東京 ticket!",
    "engraft",
    # More than 256 tokens, and other tokens after the 128th: a wrong truncation shows.
    " ".join(str(n) for n in range(300)),
]


def image(seed, size):
    """Reference::pixel of src/backbone/manifest.rs, as [size, size, 3] in 0..=255."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return ((3 * x + 85 * c) ^ (2 * y + 37 * seed)) % 256


def images(size, scale, mean, std):
    batch = np.stack([image(seed, size) for seed in SEEDS]) * scale
    return ((batch - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)


def efficientnet_lite(weights, width, depth, x):
    """The pooled features. Strides, kernels and repeats: EfficientNet's table 1 without squeeze-and-excitation."""
    used = set()

    def weight(name):
        used.add(name)
        return weights[name].double()

    def conv_norm(x, conv, norm, stride=1):
        w = weight(f"{conv}.weight")
        kernel = w.shape[-1]
        size = x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, w, stride=stride, groups=x.shape[1] // w.shape[1])
        parts = [weight(f"{norm}.{part}") for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, training=False, eps=1e-3)

    table = [(1, 1, 1), (2, 2, 6), (2, 2, 6), (3, 2, 6), (3, 1, 6), (4, 2, 6), (1, 1, 6)]
    x = F.relu6(conv_norm(x, "_conv_stem", "_bn0", 2))
    number = 0
    for i, (repeats, stride, expansion) in enumerate(table):
        if i not in (0, 6):
            repeats = int(np.ceil(depth * repeats))
        for repeat in range(repeats):
            block, y = f"_blocks.{number}.", x
            if expansion > 1:
                y = F.relu6(conv_norm(y, block + "_expand_conv", block + "_bn0"))
            y = F.relu6(conv_norm(y, block + "_depthwise_conv", block + "_bn1", stride if repeat == 0 else 1))
            y = conv_norm(y, block + "_project_conv", block + "_bn2")
            x = x + y if x.shape == y.shape and (repeat > 0 or stride == 1) else y
            number += 1
    x = F.relu6(conv_norm(x, "_conv_head", "_bn1"))
    left = {n for n in weights if "num_batches" not in n} - used - {"_fc.weight", "_fc.bias"}
    assert not left, left
    return x.mean(dim=(2, 3)).numpy()


def bert(weights, config, ids, mask, types):
    """last_hidden_state, for gelu and the `bert.`-less names. Padding is cut off before, so the mask is all ones."""
    assert mask.all() and config["hidden_act"] == "gelu"
    weights = {name: w.double() if w.is_floating_point() else w for name, w in weights.items()}
    norm = lambda x, name: F.layer_norm(
        x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], config["layer_norm_eps"]
    )
    linear = lambda x, name: F.linear(x, weights[name + ".weight"], weights[name + ".bias"])
    table = lambda name: weights[f"embeddings.{name}_embeddings.weight"]
    x = table("word")[ids] + table("position")[: len(ids)] + table("token_type")[types]
    x = norm(x, "embeddings.LayerNorm")
    heads = config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}."
        split = lambda part: linear(x, f"{layer}attention.self.{part}").reshape(len(ids), heads, -1).transpose(0, 1)
        q, k, v = split("query"), split("key"), split("value")
        scores = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, dim=-1)
        mixed = (scores @ v).transpose(0, 1).reshape(len(ids), -1)
        x = norm(x + linear(mixed, layer + "attention.output.dense"), layer + "attention.output.LayerNorm")
        y = linear(F.gelu(linear(x, layer + "intermediate.dense")), layer + "output.dense")
        x = norm(x + y, layer + "output.LayerNorm")
    return x.numpy()


def encodings(folder):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return [tokenizer.encode(text) for text in TEXTS]


def mean_normalized(hidden):
    mean = hidden.mean(axis=0)
    return mean / np.linalg.norm(mean)


def inner_tensor(path, tensor, feed):
    """A tensor inside a graph, by making it an output of the whole graph."""
    model = onnx.load(path)
    model.graph.output.append(onnx.ValueInfoProto(name=tensor))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run([tensor], feed)[0]


def write(name, author, embeddings, **inputs):
    REFERENCE.mkdir(exist_ok=True)
    rows = [[round(float(v), 6) for v in row] for row in embeddings]
    reference = {"author": author, "min_cosine": 0.9999, **inputs, "embeddings": rows}
    text = json.dumps(reference, ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[")
    (REFERENCE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def main():
    torch.set_grad_enabled(False)
    for name, width, depth, size in [("efficientnet-lite0", 1.0, 1.0, 224), ("efficientnet-lite2", 1.1, 1.2, 260)]:
        weights = torch.load(FOLDER / name / "weights.pth", map_location="cpu", weights_only=True)
        x = torch.from_numpy(images(size, 1.0, [127.0] * 3, [128.0] * 3))
        write(name, TORCH, efficientnet_lite(weights, width, depth, x), image_seeds=SEEDS)

    x = images(224, 1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).astype(np.float32)
    source = FOLDER / "vit-s14" / "source.onnx"
    tokens = inner_tensor(source, "/backbone/layernorm/Add_1_output_0", {"input_image": x})
    write("vit-s14", f"{ORT}, the uncut model", tokens[:, 0], image_seeds=SEEDS)

    folder = FOLDER / "all-minilm-l6-v2"
    weights, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    rows = []
    for e in encodings(folder):
        ids, mask, types = (torch.tensor(v) for v in (e.ids, e.attention_mask, e.type_ids))
        rows.append(mean_normalized(bert(weights, config, ids, mask, types)))
    write("all-minilm-l6-v2", f"{TORCH}, tokenizers {tokenizers.__version__}", rows, texts=TEXTS)

    folder = FOLDER / "all-minilm-l6-v2-int8"
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    rows = []
    for e in encodings(folder):
        feed = {"input_ids": [e.ids], "attention_mask": [e.attention_mask], "token_type_ids": [e.type_ids]}
        feed = {name: np.array(value, dtype=np.int64) for name, value in feed.items()}
        rows.append(mean_normalized(session.run(None, feed)[0][0]))
    write("all-minilm-l6-v2-int8", f"{ORT}, tokenizers {tokenizers.__version__}", rows, texts=TEXTS)


if __name__ == "__main__":
    main()
