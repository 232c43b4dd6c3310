"""Tables and archives as others write them. Needs: pip install pyarrow==26.0.1

The images are not images: `image a` and so on. What a column is called says what it holds.
"""

import gzip
import io
import json
import tarfile
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

here = Path(__file__).parent


def write(name, columns, **how):
    pq.write_table(pa.table(columns), here / name, **how)


# Three texts, the second null, in row groups of two, with a column of each scalar type and one that cannot be kept.
noon = datetime(2024, 2, 29, 12, 0, 0, 250_000)
scalars = {
    "bool": pa.array([True, None, False]),
    "int8": pa.array([-8, 0, 8], pa.int8()),
    "uint64": pa.array([2**64 - 1, 0, 1], pa.uint64()),
    "half": pa.array([0.5, 1, 2], pa.float16()),
    "float": pa.array([0.1, 1, 2], pa.float32()),
    "double": pa.array([0.1, 1e300, -0.0]),
    "decimal": pa.array([Decimal("12.30"), Decimal("0.01"), None], pa.decimal128(10, 2)),
    "date": pa.array([date(2024, 2, 29), None, date(1970, 1, 1)]),
    "time": pa.array([time(1, 2, 3), time(0), time(23, 59)], pa.time64("us")),
    "moment": pa.array([noon, noon, noon], pa.timestamp("us")),
    "utc": pa.array([noon.replace(tzinfo=timezone.utc)] * 3, pa.timestamp("ms", "UTC")),
    "string": pa.array(["", "猫", None]),
    "null": pa.nulls(3),
    "dictionary": pa.array(["u", "v", "u"]).dictionary_encode(),
}
texts = {"text": pa.array(["one", None, " "], pa.large_string()), "stars": pa.array([5, 4, 3]), **scalars}
write("texts.parquet", texts | {"list": pa.array([[1], [2], [3]])}, row_group_size=2, compression="zstd")
write("views.parquet", {"text": pa.array(["one", "two, a little longer"]).cast(pa.string_view()),
                        "label": pa.array(["x", "y"]).dictionary_encode()})
write("features.parquet", {"id": ["a"], "embedding": pa.array([[0.5, 1]], pa.list_(pa.float32()))})

# As `datasets` writes them: `Image` and `ClassLabel`, -1 for no label.
images = pa.array(
    [
        {"bytes": b"image a", "path": "a.png"},
        {"bytes": None, "path": "b.png"},
        {"bytes": b"", "path": None},
        None,
        {"bytes": b"image e", "path": None},
        {"bytes": b"image f", "path": None},
    ],
    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
)
features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
table = pa.table({"image": images, "label": pa.array([1, 0, 0, 0, -1, 2])})
table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
pq.write_table(table, here / "images.parquet", compression="snappy")
write("binary.parquet", {"file": ["x", "y"], "png": pa.array([b"image x", None], pa.large_binary())})


# WebDataset archives, in the formats of both `tar` and Python.
def archive(name, form, members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as tar:
        for path, content in members:
            member = path if isinstance(path, tarfile.TarInfo) else tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    data = packed.getvalue()
    (here / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)


def link(name, kind, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


long = "d" * 120 + "/" + "n" * 120
archive("shard-000.tar", tarfile.GNU_FORMAT, [
    ("./a.jpg", b"image a"), ("./a.cls", b"3\n"), ("./a.json", b'{"label": "ignored", "caption": "A", "width": 7}'),
    ("b.png", b"image b"), ("b.json", b'{"label": "bee", "caption": null, "box": [1, 2]}'), ("b.seg.png", b"mask"),
    (f"{long}.jpg", b"image n"), (f"{long}.txt", b"a caption"),
    ("._a.jpg", b"resource fork"), ("README", b"no sample"), ("sub/c.txt", b"only text"),
])
archive("shard-001.tar.gz", tarfile.PAX_FORMAT, [
    ("a.jpg", b"image a of 1"), ("ü/猫.webp", b"image u"), ("ü/猫.label", "Küche".encode()),
])
archive("hostile.tar", tarfile.GNU_FORMAT, [
    ("../up.jpg", b"up"), ("/root.jpg", b"root"), (link("soft.jpg", tarfile.SYMTYPE, "/etc/passwd"), b""),
    (link("hard.jpg", tarfile.LNKTYPE, "good.jpg"), b""), (link("tty.jpg", tarfile.CHRTYPE, ""), b""),
    ("good.jpg", b"good"), ("two.jpg", b"1"), ("two.png", b"2"), ("new.avif", b"new"), ("bad.jpg", b"1"), ("bad.json", b"[1]"),
    ("empty.jpg", b""), ("good.jpg", b"again"), ("last.jpg", b"last"),
])
