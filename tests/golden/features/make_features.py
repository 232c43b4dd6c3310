"""Feature sets as others write them. Needs: pip install numpy==2.4.6 pyarrow==26.0.1 safetensors==0.8.0

Every file that can be read holds the three rows a, b, c of the matrix [[0, .25, .5, .75], [1, 1.25, 1.5, 1.75], ...].
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

here = Path(__file__).parent
matrix = (np.arange(12) / 4).reshape(3, 4)
ids = ["a", "b/ü.png", "c 猫"]
labels = ["x", None, "y"]


def fixed(kind):
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel(), kind), 4)


def table(name, columns, **options):
    pq.write_table(pa.table(columns), here / name, **options)


table("fixed.parquet", {"id": ids, "label": labels, "embedding": fixed(pa.float32())})
table(
    "doubles.parquet",
    {
        "other": [{"nested": [1]}, None, {"nested": []}],
        "embedding": pa.array(matrix.tolist(), pa.large_list(pa.float64())),
        "label": pa.array(labels).dictionary_encode(),
        "id": pa.array(ids, pa.large_string()),
    },
)
table("integers.parquet", {"id": [10, 20, 30], "label": [True, None, False], "embedding": fixed(pa.float32())})
table("nameless.parquet", {"embedding": pa.array(matrix.tolist(), pa.list_(pa.float32()))}, data_page_version="2.0")
table("zstd.parquet", {"id": ids, "label": labels, "embedding": fixed(pa.float32())}, compression="zstd")
halves = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel().astype("f2")), 4)
table("halves.parquet", {"id": ids, "label": labels, "embedding": halves})
table("empty.parquet", {"id": pa.array([], pa.string()), "embedding": pa.array([], pa.list_(pa.float32(), 4))})

bad = here / "bad"
bad.mkdir(exist_ok=True)
rows = lambda *values: pa.array(values, pa.list_(pa.float32()))
table("bad/ragged.parquet", {"embedding": rows([1, 2], [3, 4], [5])})
table("bad/hole.parquet", {"embedding": rows([1, 2], [3, None])})
table("bad/null.parquet", {"embedding": rows([1, 2], None)})
table("bad/zero.parquet", {"embedding": rows([], [])})
table("bad/whole.parquet", {"embedding": pa.array([[1, 2]], pa.list_(pa.int32()))})
table("bad/scalar.parquet", {"embedding": [1.0, 2.0]})
table("bad/twice.parquet", {"id": ["a", "a"], "embedding": rows([1, 2], [3, 4])})
table("bad/no-id.parquet", {"id": ["a", None], "embedding": rows([1, 2], [3, 4])})
table("bad/id-list.parquet", {"id": [["a"]], "embedding": rows([1, 2])})
table("bad/absent.parquet", {"vector": rows([1, 2])})
table("bad/huge.parquet", {"embedding": pa.array([[1e300, 2.0]])})

with open(here / "floats.npy", "wb") as file:
    np.lib.format.write_array(file, matrix.astype("<f4"), version=(1, 0))
with open(here / "floats.jsonl", "w") as file:
    for id, label in zip(ids, labels):
        file.write(json.dumps({"id": id, "label": label, "text": "more"}) + "\n")
with open(here / "doubles.npy", "wb") as file:
    np.lib.format.write_array(file, matrix, version=(2, 0))
np.save(here / "halves.npy", matrix.astype("<f2"))
np.save(bad / "fortran.npy", np.asfortranarray(matrix))
np.save(bad / "whole.npy", matrix.astype(int))
np.save(bad / "big-endian.npy", matrix.astype(">f4"))
np.save(bad / "one-axis.npy", matrix[0])

save_file({"embedding": matrix.astype("f4"), "other": np.ones(3)}, here / "single.safetensors", {"made": "here"})
save_file({"embedding": matrix}, here / "double.safetensors")
save_file({"embedding": matrix.astype("f2")}, here / "halves.safetensors")
save_file({"vector": matrix}, bad / "absent.safetensors")
