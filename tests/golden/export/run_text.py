"""Labels and probabilities of an exported text model: tokenizers and onnxruntime alone. Arguments: model.onnx, a table with a column `text`."""

import csv
import json
import sys
from pathlib import Path

import onnx
import onnxruntime
from tokenizers import Tokenizer

model, table = Path(sys.argv[1]), sys.argv[2]
onnx.checker.check_model(str(model), full_check=True)
session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
tokenizer = Tokenizer.from_file(str(model.parent / json.loads(about["engraft.export"])["tokenizer"]["file"]))
tokenizer.no_padding()
tokenizer.enable_truncation(json.loads(about["engraft.provenance"])["preprocessing"]["text"]["max_length"])
results = []
for row in csv.DictReader(open(table, encoding="utf-8")):
    tokens = tokenizer.encode(row["text"])
    inputs = {"input_ids": [tokens.ids], "attention_mask": [tokens.attention_mask], "token_type_ids": [tokens.type_ids]}
    label, probabilities = session.run(["label", "probabilities"], inputs)
    results.append({"label": label[0], "probability": float(probabilities[0].max())})
print(json.dumps(results))
