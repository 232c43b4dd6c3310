"""Writes what a Python pipeline makes of 200 real sentences: all-minilm-l6-v2.bin, 200×384 little-endian 16-bit integers,
each the value times 32767. (Rounded so, a vector's cosine to the exact one is within 2e-8 of 1.)

pip install numpy==2.4.6 onnxruntime==1.32.0 tokenizers==0.23.3
python make_sentences.py FOLDER

FOLDER is the tests' own (target/tmp), after `cargo test --test text` has filled it: sentences/ holds the tables and
home/models/all-minilm-l6-v2 the backbone. Of each table a hundred lines are taken, evenly spread.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(sys.argv[1])
MODEL = FOLDER / "home/models/all-minilm-l6-v2"

texts = []
for table, step in [("tweets_GroundTruth.txt", 42), ("movieReviewSnippets_GroundTruth.txt", 106)]:
    lines = (FOLDER / "sentences" / table).read_bytes().decode().split("\r\n")
    texts += [line.split("\t", 2)[2] for line in lines[::step][:100]]
assert len(texts) == 200

tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
tokenizer.enable_truncation(256)
tokenizer.enable_padding()
encodings = tokenizer.encode_batch(texts)
feed = {
    "input_ids": np.array([e.ids for e in encodings]),
    "attention_mask": np.array([e.attention_mask for e in encodings]),
    "token_type_ids": np.array([e.type_ids for e in encodings]),
}
hidden = onnxruntime.InferenceSession(MODEL / "model.onnx").run(["last_hidden_state"], feed)[0]
mask = feed["attention_mask"][..., None]
mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
np.rint(unit * 32767).astype("<i2").tofile(Path(__file__).parent / "all-minilm-l6-v2.bin")
