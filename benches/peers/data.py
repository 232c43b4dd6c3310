"""Makes the benchmarks' data, seeded: 2,000 photos, 10,605 movie sentences, two sets of features for the probe, and five
labelled sets for the heads, each in two: what is trained on and what is judged."""

import csv
import gzip
import json
import struct
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
ROWS = 50_000


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


def sentences(name):
    """Ids, scores and texts of Hutto and Gilbert (ICWSM 2014), from the package vaderSentiment."""
    with tempfile.TemporaryDirectory() as temp:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", temp]
        subprocess.run([*pip, "vaderSentiment==0.5"], check=True)
        (archive,) = Path(temp).glob("*.zip")
        with zipfile.ZipFile(archive) as outer:
            inside = next(n for n in outer.namelist() if n.endswith("hutto_ICWSM_2014.tar.gz"))
            with outer.open(inside) as file, tarfile.open(fileobj=file) as inner:
                member = next(m for m in inner if m.name.endswith(f"{name}_GroundTruth.txt"))
                lines = TextIOWrapper(inner.extractfile(member), "utf-8", errors="replace").read().splitlines()
    for line in lines:
        number, score, text = line.split("\t", 2)
        yield number, float(score), text


def movie(folder):
    with open(folder / "movie.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text"])
        table.writerows([number, text] for number, _, text in sentences("movieReviewSnippets"))


def held_out(labels):
    """Which rows are judged: a fifth of each class."""
    labels, judged = np.asarray(labels), np.zeros(len(labels), bool)
    rng = np.random.default_rng(2)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        judged[rows[: len(rows) // 5]] = True
    return judged


def sentiment(folder, name):
    """The sign of the score, where it is half a point or more."""
    rows = [(number, "+" if score > 0 else "-", text) for number, score, text in sentences(name) if abs(score) >= 0.5]
    judged = held_out([label for _, label, _ in rows])
    for part in [False, True]:
        with open(folder / ("judged.csv" if part else "trained.csv"), "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["id", "label", "text"])
            table.writerows(row for row, of in zip(rows, judged) if of == part)


def images(folder, pictures):
    """Folders of classes, from pairs of a label and an image."""
    pictures = list(pictures)
    judged = held_out([label for label, _ in pictures])
    for i, (label, picture) in enumerate(pictures):
        place = folder / ("judged" if judged[i] else "trained") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{i:05}.png")


def emoji_pictures(vendor):
    """A vendor's emoji in the seven categories of the demo: pairs of category and image."""
    with tempfile.TemporaryDirectory() as temp:
        subprocess.run(["npm", "pack", "--silent", f"emoji-datasource-{vendor}@16.0.0"], cwd=temp, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(temp).glob("*.tgz")
        with tarfile.open(archive) as tar:
            tar.extractall(temp, filter="data")
        package = Path(temp) / "package"
        left_out = {"Flags", "People & Body", "Component"}
        listed = [e for e in json.loads((package / "emoji.json").read_text()) if e["has_img_google"] and e["has_img_twitter"] and e["category"] not in left_out]
        listed.sort(key=lambda e: e["short_name"])
        for e in listed:
            yield e["category"], Image.open(package / f"img/{vendor}/64" / e["image"]).copy()


def emoji(folder):
    images(folder, emoji_pictures("google"))


def digit_pictures():
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label, x in zip(digits.target, digits.images):
        yield label, Image.fromarray((x * 255 / 16).astype(np.uint8))


def optdigits(folder):
    images(folder, digit_pictures())


def fashion_pictures(name):
    """Fashion-MNIST's part of this name: pairs of label and image."""
    with tempfile.TemporaryDirectory() as temp:
        subprocess.run(["apt-get", "download", "--quiet", "dataset-fashion-mnist"], cwd=temp, check=True, stdout=subprocess.DEVNULL)
        (package,) = Path(temp).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, temp], check=True)
        read = lambda kind: gzip.decompress(next(Path(temp).rglob(f"{name}-{kind}-ubyte.gz")).read_bytes())
        pixels, labels = read("images-idx3"), read("labels-idx1")[8:]
        count, height, width = struct.unpack(">III", pixels[4:16])
        pixels = np.frombuffer(pixels, np.uint8, offset=16).reshape(count, height, width)
        for label, picture in zip(labels, pixels):
            yield label, Image.fromarray(picture)


def fashion(folder):
    """As it is split: 60,000 and 10,000."""
    for part, name in [("trained", "train"), ("judged", "t10k")]:
        for i, (label, picture) in enumerate(fashion_pictures(name)):
            place = folder / part / str(label)
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{i:05}.png")


def probe(folder, columns, classes, correlated):
    """A mixture of Gaussians whose classes overlap, standardised, f32.

    The independent set has unit noise. The correlated one has noise whose k-th principal axis has deviation k^-1/2, as
    embeddings have: its columns say much of the same, and that is what makes a probe on real features slow to fit.
    """
    rng = np.random.default_rng(1)
    labels = rng.integers(classes, size=ROWS)
    centres = rng.standard_normal((classes, columns), dtype=np.float32)
    noise = rng.standard_normal((ROWS, columns), dtype=np.float32)
    deviations = np.ones(columns, np.float32)
    if correlated:
        deviations = (1 + np.arange(columns, dtype=np.float32)) ** -0.5
    rotation, _ = np.linalg.qr(rng.standard_normal((columns, columns)))
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
        "independent": lambda folder: probe(folder, 768, 100, correlated=False),
        "correlated": lambda folder: probe(folder, 768, 100, correlated=True),
        "narrow": lambda folder: probe(folder, 384, 10, correlated=False),
        "narrow-correlated": lambda folder: probe(folder, 384, 10, correlated=True),
        "emoji": emoji,
        "fashion": fashion,
        "optdigits": optdigits,
        "tweets": lambda folder: sentiment(folder, "tweets"),
        "movie-labelled": lambda folder: sentiment(folder, "movieReviewSnippets"),
    }
    for name, make in makers.items():
        folder, unfinished = root / name, root / f"{name}.unfinished"
        if not folder.exists():
            print(f"making {name}", file=sys.stderr)
            unfinished.mkdir(parents=True, exist_ok=True)
            make(unfinished)
            unfinished.rename(folder)


if __name__ == "__main__":
    main()
