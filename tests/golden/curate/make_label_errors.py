"""Writes label_errors.json: what cleanlab 2.9.0 finds in random probabilities.

    pip install cleanlab==2.9.0 numpy && python make_label_errors.py

Probabilities are kept as whole 65536ths, which both precisions hold exactly.
"""

import json
import pathlib
import warnings

import numpy as np
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

warnings.simplefilter("ignore")


def case(name, seed, counts, sharpness, noise, silent=()):
    """`counts` rows of each class; a share `noise` of the labels is drawn anew; `silent` classes are never predicted."""
    rng = np.random.default_rng(seed)
    k = len(counts)
    truth = np.repeat(np.arange(k), counts)
    logits = rng.normal(size=(len(truth), k)) + sharpness * np.eye(k)[truth]
    for c in silent:
        logits[:, c] -= 9.0
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    whole = np.round(p * 65536).astype(int)
    labels = np.where(rng.random(len(truth)) < noise, rng.integers(0, k, len(truth)), truth)
    # Every class keeps a row.
    labels[[int(np.sum(counts[:c])) for c in range(k)]] = np.arange(k)
    p = whole / 65536
    issues = lambda how: np.flatnonzero(find_label_issues(labels, p, filter_by=how, n_jobs=1)).tolist()
    score = lambda how: get_label_quality_scores(labels, p, method=how).tolist()
    return {
        "name": name,
        "classes": k,
        "labels": labels.tolist(),
        "probabilities": whole.ravel().tolist(),
        "joint": compute_confident_joint(labels, p).ravel().tolist(),
        "prune_by_noise_rate": issues("prune_by_noise_rate"),
        "confident_learning": issues("confident_learning"),
        "self_confidence": score("self_confidence"),
        "normalized_margin": score("normalized_margin"),
    }


cases = [
    case("two classes", 1, [60, 40], 1.5, 0.2),
    case("three classes", 2, [50, 60, 70], 2.0, 0.15),
    case("clean", 3, [40, 40, 40], 9.0, 0.0),
    case("noise alone", 4, [40, 40, 40, 40], 0.0, 1.0),
    case("unbalanced", 5, [150, 12, 3, 1], 2.0, 0.1),
    case("a class without confident examples", 6, [50, 50, 30], 2.0, 0.2, silent=[2]),
    case("ten classes", 7, [20] * 10, 2.5, 0.15),
]
pathlib.Path(__file__).with_name("label_errors.json").write_text(json.dumps(cases))
