"""Writes layer3.json: what layer 3 of all-minilm-l6-v2 gives for the reference texts, in float64 from the package's
weights, averaged over the tokens and divided by its length.

    python make_layers.py FOLDER

FOLDER is as ../reference/make_references.py takes it, with all-minilm-l6-v2 in it. Made with Python 3.11, torch 2.15.0,
tokenizers 0.23.3, safetensors 0.8.0, numpy 2.4.6.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "reference"))
from make_references import bert, encodings, mean_normalized

folder = Path(sys.argv[1]) / "all-minilm-l6-v2"
weights, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
rows = []
for e in encodings(folder):
    tokens = (torch.tensor(v) for v in (e.ids, e.attention_mask, e.type_ids))
    hidden = bert(weights, {**config, "num_hidden_layers": 3}, *tokens)
    rows.append([round(float(v), 6) for v in mean_normalized(hidden)])
(HERE / "layer3.json").write_text(json.dumps(rows, separators=(",", ":")).replace("],[", "],\n[") + "\n")
