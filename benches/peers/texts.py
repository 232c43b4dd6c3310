"""Embeds a table's texts with a sentence encoder in Python, in one of several ways.

order      tokenizers + onnxruntime, batches of 32 in the order of the rows
sorted     the same, batches of 32 sorted by length, as sentence-transformers does
fastembed  fastembed on the same files, its defaults
"""

import csv
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH = 32


def onnx(model, by_length):
    import onnxruntime as ort
    from tokenizers import Tokenizer

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(Path(model).with_name("tokenizer.json")))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def run(texts):
        encoded = tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded])
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (tokens,) = session.run(["last_hidden_state"], inputs)
        weights = mask[..., None].astype(np.float32)
        means = (tokens * weights).sum(1) / weights.sum(1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def embed(texts):
        # By characters, before tokenising, as sentence-transformers does.
        order = np.argsort([-len(t) for t in texts], kind="stable") if by_length else np.arange(len(texts))
        out = np.empty((len(texts), 384), np.float32)
        for i in range(0, len(texts), BATCH):
            rows = order[i : i + BATCH]
            out[rows] = run([texts[row] for row in rows])
        return out

    return embed


def fastembed(model):
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    # fastembed asks for the small files of a Hugging Face folder, which the package's model has beside it.
    folder = Path(tempfile.mkdtemp())
    for name in ["model.onnx", "tokenizer.json"]:
        (folder / name).symlink_to(Path(model).with_name(name))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256} | special))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    name = "local/all-minilm-l6-v2"
    TextEmbedding.add_custom_model(
        model=name,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(url="https://localhost/never-asked"),
        dim=384,
        model_file="model.onnx",
    )
    encoder = TextEmbedding(model_name=name, specific_model_path=str(folder), threads=2)
    return lambda texts: np.stack(list(encoder.embed(texts)))


def main():
    way, model, table, output = sys.argv[1:]
    ways = {"order": lambda: onnx(model, False), "sorted": lambda: onnx(model, True), "fastembed": lambda: fastembed(model)}
    embed = ways[way]()
    started = time.perf_counter()
    with open(table, newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    embeddings = embed(texts)
    seconds = time.perf_counter() - started
    np.save(output, embeddings)
    print(json.dumps({"seconds": seconds}))


main()
