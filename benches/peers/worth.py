"""What `engraft tune` is worth beside the probe, on five labelled sets.

    python benches/peers/worth.py FOLDER ENGRAFT [SEEDS] [FLAG ...]

FOLDER is that of shifts.py, whose data this uses and makes if need be. Of each set and seed 1,200 rows are drawn, half of them held out, and
tuned with the default settings and FLAGs. Writes FOLDER/worth.json – remove it after engraft has changed – and prints Markdown: means over seeds with 95 % intervals of the mean difference.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import shifts

ROWS = 1200
IMAGES = ["emoji-google", "optdigits", "fashion"]
TEXTS = ["tweets", "movie"]


def drawn(root, name, seed, folder):
    """A part of a set: a folder of links to images, or a table."""
    rng = np.random.default_rng(seed)
    if name in IMAGES:
        files = sorted((root / name).glob("*/*.png"))
        for place in rng.permutation(len(files))[:ROWS]:
            link = folder / "images" / files[place].parent.name / files[place].name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(files[place].resolve())
        return [folder / "images", "--model", "efficientnet-lite0"]
    with open(root / f"{name}.csv", newline="", encoding="utf-8") as table:
        header, *rows = csv.reader(table)
    with open(folder / "texts.csv", "w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *(rows[place] for place in rng.permutation(len(rows))[:ROWS])])
    return [folder / "texts.csv", "--id-column", "id", "--model", "all-minilm-l6-v2"]


def markdown(results, flags):
    cells = ["set", "seeds", "held out", "probe", "tuned", "difference", "delivered less probe", "log loss", "tuned's", "best epochs", "delivered"]
    lines = [shifts.row(cells), shifts.row(["---"] * len(cells))]
    for name in [*IMAGES, *TEXTS]:
        runs = [run for key, run in results.items() if key.split(" ")[0] == name and key.split(" ")[2:] == flags]
        if not runs:
            continue
        of = lambda which, figure: [run[which][figure] for run in runs]
        differences = [tuned - probe for tuned, probe in zip(of("tuned", "accuracy"), of("probe", "accuracy"))]
        gains = [difference if run["delivered"] == "tuned" else 0.0 for run, difference in zip(runs, differences)]
        told = lambda values: f"{100 * shifts.mean(values):+.1f}" + (f" ± {100 * shifts.interval(values):.1f}" if len(values) > 1 else "")
        numbers = [shifts.percent(shifts.mean(of(which, "accuracy"))) for which in ("probe", "tuned")]
        losses = [f"{shifts.mean(of(which, 'log_loss')):.3f}" for which in ("probe", "tuned")]
        epochs = ", ".join(str(run["best_epoch"]) for run in runs)
        tuned = sum(run["delivered"] == "tuned" for run in runs)
        delivered = f"tuned {tuned} of {len(runs)}"
        lines.append(shifts.row([name, str(len(runs)), str(runs[0]["n_held_out"]), *numbers, told(differences), told(gains), *losses, epochs, delivered]))
    return "\n".join(lines)


def main():
    root, engraft, seeds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    flags = sys.argv[4:]
    root.mkdir(parents=True, exist_ok=True)
    shifts.embed(root, engraft)
    file = root / "worth.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for seed in range(seeds):
        for name in [*IMAGES, *TEXTS]:
            key = " ".join([name, str(seed), *flags])
            if key in results:
                continue
            with tempfile.TemporaryDirectory() as temp:
                temp = Path(temp)
                tune = [engraft, "tune", *drawn(root, name, seed, temp), "-o", temp / "model.onnx", "--holdout", "0.5"]
                tune += ["--seed", str(seed), "--json", "-q", *flags]
                results[key] = json.loads(subprocess.run(tune, check=True, stdout=subprocess.PIPE).stdout)
            file.write_text(json.dumps(results))
            difference = results[key]["tuned"]["accuracy"] - results[key]["probe"]["accuracy"]
            print(key, results[key]["delivered"], f"{difference:+.4f}", file=sys.stderr, flush=True)
    print(markdown(results, flags))


if __name__ == "__main__":
    main()
