"""tokenizers + onnxruntime: embeds a table's texts with a sentence encoder, batches of 32 in the order of the rows."""

import csv
import json
import sys
import time

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer


def main():
    model, tokenizer, table, output = sys.argv[1:]
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokenizer)
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    started = time.perf_counter()
    with open(table, newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    embeddings = []
    for i in range(0, len(texts), 32):
        encoded = tokenizer.encode_batch(texts[i : i + 32])
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded])
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (tokens,) = session.run(["last_hidden_state"], inputs)
        weights = mask[..., None].astype(np.float32)
        means = (tokens * weights).sum(1) / weights.sum(1)
        embeddings.append(means / np.linalg.norm(means, axis=1, keepdims=True))
    seconds = time.perf_counter() - started
    np.save(output, np.concatenate(embeddings))
    print(json.dumps({"seconds": seconds}))


main()
