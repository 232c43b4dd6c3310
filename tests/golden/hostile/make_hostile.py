# pip install pyarrow==26.0.1 numpy==2.4.6
"""A Parquet file of a few kilobytes that stands for gigabytes: 500 million values of one dictionary entry."""
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

rows, dimension = 500, 1_000_000
values = pa.array(np.zeros(rows * dimension, np.float32))
table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(values, dimension)})
pq.write_table(table, pathlib.Path(__file__).parent / "repeated.parquet", compression="zstd", use_dictionary=True)
