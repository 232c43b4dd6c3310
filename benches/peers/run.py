#!/usr/bin/env python3
"""engraft and Python side by side on the same files: images, texts, the linear probe, and heads on five data sets.

    cargo build --release
    python3 benches/peers/run.py [images] [texts] [probe] [heads] [--rounds 5]

Python's packages (requirements.txt), the data and the results are kept under target/peers. The contestants take turns
(A B C A B C ...), so that a noisy neighbour disturbs all alike; medians over the rounds are compared.

seconds   the work itself: files in, vectors or a fitted model out. Python's imports and the loading of models are not in it.
process   the whole process, from start to exit
CPU       seconds of all cores that the process took: what a busy machine distorts least
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
ENGRAFT = TARGET / "release" / "engraft"
WORK = TARGET / "peers"
PYTHON = WORK / "venv" / "bin" / "python"
HOME = Path(os.environ.get("ENGRAFT_HOME", WORK / "home"))

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("ENGRAFT_")}
ENVIRONMENT |= {"ENGRAFT_HOME": str(HOME), "ENGRAFT_DEVICE": "cpu"}
# Where these are set, they bind OpenBLAS to another machine's kernels.
for variable in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]:
    ENVIRONMENT.pop(variable, None)

# The loosest tolerance with which scikit-learn comes within 1e-6 of the optimum on both sets, found by trying powers of
# ten: any tighter one would only cost it time.
SKLEARN_TOLERANCE = "1e-5"
# Likewise of engraft's, among 1e-6 (its default, which its certificate proves), 1e-5, 3e-5 and 1e-4.
ENGRAFT_TOLERANCE = "3e-5"


def run(command):
    """Runs a command; returns the JSON it prints, with the wall and CPU seconds of the process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    output = subprocess.run([str(c) for c in command], env=ENVIRONMENT, stdout=subprocess.PIPE, check=True).stdout
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(output) | {"process": wall, "cpu": cpu}


def interleave(contestants, rounds):
    """Each contestant's results, taken in turns. A contestant is a function that returns a result."""
    results = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            results[name].append(contestant())
            print(f"round {number + 1}: {name}: {results[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return results


def table(title, results, extra=()):
    """Prints medians, and each one's ratio to the first, which is engraft."""
    print(f"\n{title}\n")
    columns = ["seconds", "process", "cpu"]
    header = ["", *columns, "ratio", "process ratio", "cpu ratio", *extra]
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    medians = {name: {c: statistics.median(r[c] for r in rs) for c in columns} for name, rs in results.items()}
    first = next(iter(medians.values()))
    for name, median in medians.items():
        values = [f"{median[c]:.2f}" for c in columns] + [f"{median[c] / first[c]:.2f}" for c in columns]
        print("| " + " | ".join([name, *values, *[str(results[name][-1][e]) for e in extra]]) + " |")


def agreement(paths):
    """The least cosine between the rows of the first array and those of each other one."""
    code = """import sys, numpy as np
first, *others = [np.load(p).astype(np.float64) for p in sys.argv[1:]]
unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
for path, other in zip(sys.argv[2:], others): print(f"least cosine with {path}: {(unit(first) * unit(other)).sum(1).min():.7f}")
"""
    subprocess.run([PYTHON, "-c", code, *paths], check=True, env=ENVIRONMENT)


def model(name):
    run([ENGRAFT, "models", "pull", name, "--json"])
    return HOME / "models" / name / "model.onnx"


def images(rounds):
    path, photos, out = model("efficientnet-lite0"), WORK / "data" / "photos", WORK / "out"
    embed = [ENGRAFT, "embed", photos, "--model", "efficientnet-lite0", "--overwrite", "--json", "-o", out / "images.npy"]
    contestants = {"engraft": lambda: run(embed)}
    ways = ["loop", "pool", "workers", "opencv"]
    for way in ways:
        peer = [PYTHON, HERE / "images.py", way, path, photos, out / f"images-{way}.npy"]
        contestants[f"Python, {way}"] = lambda peer=peer: run(peer)
    results = interleave(contestants, rounds)
    table("2,000 JPEGs of 640x480 through efficientnet-lite0", results)
    agreement([out / "images.npy", *[out / f"images-{way}.npy" for way in ways]])


def texts(rounds):
    path, movie, out = model("all-minilm-l6-v2"), WORK / "data" / "movie" / "movie.csv", WORK / "out"
    embed = [ENGRAFT, "embed", movie, "--model", "all-minilm-l6-v2", "--overwrite", "--json", "-o", out / "texts.npy"]
    contestants = {"engraft": lambda: run(embed)}
    ways = ["order", "sorted", "fastembed"]
    for way in ways:
        peer = [PYTHON, HERE / "texts.py", way, path, movie, out / f"texts-{way}.npy"]
        contestants[f"Python, {way}"] = lambda peer=peer: run(peer)
    results = interleave(contestants, rounds)
    table("10,605 movie sentences through all-minilm-l6-v2", results)
    agreement([out / "texts.npy", *[out / f"texts-{way}.npy" for way in ways]])


def probe(rounds):
    sets = {"independent": "768x100", "correlated": "768x100", "narrow": "384x10", "narrow-correlated": "384x10"}
    for data, size in sets.items():
        alpha = 100
        folder, head = WORK / "data" / data, WORK / "out" / "head.onnx"
        train = [ENGRAFT, "train", folder / "features.npy", "--holdout", 0, "--alpha", alpha, "--overwrite", "-o", head]
        contestants = {
            "engraft": lambda train=train: fit(run([*train, "--json"])),
            f"engraft, tolerance {ENGRAFT_TOLERANCE}": lambda train=train: fit(
                run([*train, "--json", "--tolerance", ENGRAFT_TOLERANCE])
            ),
        }
        for threads, dtype in [(1, "float32"), (2, "float32"), (2, "float64")]:
            peer = [PYTHON, HERE / "probe.py", folder, alpha, threads, SKLEARN_TOLERANCE, dtype]
            contestants[f"scikit-learn, {threads} threads, {dtype}"] = lambda peer=peer: run(peer)
        results = interleave(contestants, rounds)
        best = min(r["objective"] for rs in results.values() for r in rs)
        for result in (r for rs in results.values() for r in rs):
            result["above the best"] = f"{result['objective'] / best - 1:.1e}"
        title = f"Probe on 50,000x{size}, {data} features, alpha {alpha}"
        table(title, results, extra=["iterations", "objective", "above the best"])


def heads(rounds):
    """Accuracy is the same in every round, so one is enough."""
    del rounds
    kinds = ["logistic", "ridge", "centroid", "knn", "mlp"]
    sets = {"emoji": "efficientnet-lite0", "fashion": "efficientnet-lite0", "optdigits": "efficientnet-lite0"}
    sets |= {"tweets": "all-minilm-l6-v2", "movie-labelled": "all-minilm-l6-v2"}
    rows = []
    for data, backbone in sets.items():
        features = {part: WORK / "out" / f"{data}-{part}.npy" for part in ["trained", "judged"]}
        for part, path in features.items():
            if not path.exists():
                source = WORK / "data" / data / part
                source = source if source.is_dir() else source.with_suffix(".csv")
                run([ENGRAFT, "embed", source, "--model", backbone, "-o", path, "--json"])
        for kind in kinds:
            out = WORK / "out" / "head.onnx"
            train = [ENGRAFT, "train", features["trained"], "--head", kind, "--holdout", 0, "--overwrite", "-o", out]
            trained = run([*train, "--json"])
            ours = run([ENGRAFT, "eval", out, features["judged"], "--json"])
            peer = run([PYTHON, HERE / "heads.py", kind, features["trained"], features["judged"]])
            low, high = ours["accuracy_interval"]
            row = [data, kind, f"{ours['accuracy']:.4f} [{low:.4f}, {high:.4f}]", f"{peer['accuracy']:.4f}"]
            rows.append([*row, f"{trained['process']:.2f}", f"{peer['seconds']:.2f}"])
            print(" ".join(rows[-1]), file=sys.stderr)
    print("\nHeads\n")
    header = ["data", "head", "engraft, 95 % interval", "scikit-learn", "train, seconds", "fit, seconds"]
    for row in [header, ["---"] * len(header), *rows]:
        print("| " + " | ".join(row) + " |")


def fit(result):
    certificate = result["certificate"]
    return result | {key: certificate[key] for key in ["seconds", "iterations", "objective"]}


def prepare():
    if not ENGRAFT.exists():
        sys.exit(f"{ENGRAFT} is missing: cargo build --release")
    if not PYTHON.exists():
        venv.create(WORK / "venv", with_pip=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
    subprocess.run(pip, check=True)
    subprocess.run([PYTHON, HERE / "data.py", WORK / "data"], check=True)
    (WORK / "out").mkdir(exist_ok=True)
    run([ENGRAFT, "setup", "--json"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = {"images": images, "texts": texts, "probe": probe, "heads": heads}
    parser.add_argument("benches", nargs="*", metavar="images|texts|probe|heads", help="which ones; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    chosen = arguments.benches or list(benches)
    unknown = [name for name in chosen if name not in benches]
    if unknown:
        parser.error(f"there is no {unknown[0]}: give images, texts, probe or heads")
    prepare()
    for name in chosen:
        benches[name](arguments.rounds)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    load = os.getloadavg()[1]
    print(f"\n{cpu}, {len(os.sched_getaffinity(0))} cores; load {load:.1f} over the last five minutes")


main()
