"""Makes the benchmarks' data, seeded: 2,000 photos, 10,605 movie sentences, and two sets of features for the probe."""

import csv
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from io import TextIOWrapper
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = 2000
ROWS, COLUMNS, CLASSES = 50_000, 768, 100


def photos(folder):
    """640x480 JPEGs of quality 90: random 4:3 windows of the colour photos that two packages carry."""
    import skimage
    import sklearn

    skimage_data = Path(skimage.__file__).parent / "data"
    names = ["astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg"]
    sources = [skimage_data / name for name in names]
    sources += [Path(sklearn.__file__).parent / "datasets/images" / name for name in ["china.jpg", "flower.jpg"]]
    originals = [Image.open(path).convert("RGB") for path in sources]
    rng = np.random.default_rng(0)
    for i in range(PHOTOS):
        original = originals[i % len(originals)]
        width = min(original.width, original.height * 4 / 3) * rng.uniform(0.6, 1.0)
        height = width * 3 / 4
        left, top = rng.uniform(0, original.width - width), rng.uniform(0, original.height - height)
        photo = original.resize((640, 480), Image.Resampling.LANCZOS, (left, top, left + width, top + height))
        if rng.random() < 0.5:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        photo.save(folder / f"{i:04}.jpg", quality=90)


def movie(folder):
    """The movie sentences of Hutto and Gilbert (ICWSM 2014), from the package vaderSentiment."""
    with tempfile.TemporaryDirectory() as temp:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", temp]
        subprocess.run([*pip, "vaderSentiment==0.5"], check=True)
        (archive,) = Path(temp).glob("*.zip")
        with zipfile.ZipFile(archive) as outer:
            name = next(n for n in outer.namelist() if n.endswith("hutto_ICWSM_2014.tar.gz"))
            with outer.open(name) as file, tarfile.open(fileobj=file) as inner:
                member = next(m for m in inner if m.name.endswith("movieReviewSnippets_GroundTruth.txt"))
                lines = TextIOWrapper(inner.extractfile(member), "utf-8", errors="replace").read().splitlines()
    with open(folder / "movie.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text"])
        for line in lines:
            number, _, text = line.split("\t", 2)
            table.writerow([number, text])


def probe(folder, correlated):
    """A mixture of 100 Gaussians in 768 dimensions whose classes overlap, standardised, f32.

    The independent set has unit noise. The correlated one has noise whose k-th principal axis has deviation k^-1/2, as
    embeddings have: its columns say much of the same, and that is what makes a probe on real features slow to fit.
    """
    rng = np.random.default_rng(1)
    labels = rng.integers(CLASSES, size=ROWS)
    centres = rng.standard_normal((CLASSES, COLUMNS), dtype=np.float32)
    noise = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    deviations = np.ones(COLUMNS, np.float32)
    if correlated:
        deviations = (1 + np.arange(COLUMNS, dtype=np.float32)) ** -0.5
    rotation, _ = np.linalg.qr(rng.standard_normal((COLUMNS, COLUMNS)))
    x = ((0.13 * centres[labels] + noise) * deviations) @ rotation.astype(np.float32)
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    x /= x.std(axis=0, dtype=np.float64).astype(np.float32)
    np.save(folder / "features.npy", np.ascontiguousarray(x, np.float32))
    np.save(folder / "labels.npy", labels)
    with open(folder / "features.jsonl", "w") as file:
        for row, label in enumerate(labels):
            file.write(json.dumps({"id": str(row), "label": f"{label:02}"}) + "\n")


def main():
    root = Path(sys.argv[1])
    makers = {
        "photos": photos,
        "movie": movie,
        "independent": lambda folder: probe(folder, correlated=False),
        "correlated": lambda folder: probe(folder, correlated=True),
    }
    for name, make in makers.items():
        folder, unfinished = root / name, root / f"{name}.unfinished"
        if not folder.exists():
            print(f"making {name}", file=sys.stderr)
            unfinished.mkdir(parents=True, exist_ok=True)
            make(unfinished)
            unfinished.rename(folder)


main()
