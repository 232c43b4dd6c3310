"""Writes the references of the metrics, computed by scikit-learn and scipy.

    pip install scikit-learn==1.9.1 scipy numpy
    python make_eval.py

eval.json: cases of labels and probabilities with their metrics. Among them: classes that no row has, a class that is
never predicted, ties, probabilities of exactly 0 and 1.
multi_label.json: targets and scores with ties, among them a label that no row has and one that every row has.
"""

import json
import warnings

import numpy as np
from scipy.stats import binomtest
from sklearn import metrics

warnings.filterwarnings("ignore")
rng = np.random.default_rng(0)


def probabilities(n, k, y, strength, digits=None):
    z = rng.normal(size=(n, k))
    z[np.arange(n), y] += strength
    p = np.exp(z)
    p /= p.sum(axis=1, keepdims=True)
    if digits is not None:
        p = np.round(p, digits)
        p /= p.sum(axis=1, keepdims=True)
    return p


def reliability(y, predicted, p):
    """Guo et al. 2017, section 2: 15 bins (lower, upper] of the top probability."""
    top, right = p.max(axis=1), predicted == y
    # The edges of f32 probabilities are f32: 0.2 lies on an edge, not above it.
    edges = (np.arange(1, 15) / 15).astype(np.float32).astype(np.float64)
    places = np.digitize(top, edges, right=True)
    bins = []
    for b in range(15):
        inside = places == b
        count = int(inside.sum())
        bins.append([count, float(top[inside].mean()), float(right[inside].mean())] if count else [0, None, None])
    return bins, sum(n * abs(accuracy - confidence) for n, confidence, accuracy in bins if n) / len(y)


def case(name, y, p, top):
    p = p.astype(np.float32).astype(np.float64)
    k = p.shape[1]
    every = np.arange(k)
    predicted = p.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, predicted, labels=every, zero_division=0)
    present = np.unique(np.concatenate([y, predicted]))
    eps = np.finfo(np.float32).eps  # scikit-learn clips f32 probabilities there
    if k == 2:
        auc = metrics.roc_auc_score(y, p[:, 1]) if len(set(y)) == 2 else None
    else:
        usable = [c for c in every if 0 < (y == c).sum() < len(y)]
        auc = float(np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in usable])) if usable else None
        with_rows = [c for c in every if (y == c).any()]
        ap = float(np.mean([metrics.average_precision_score(y == c, p[:, c]) for c in with_rows]))
    if k == 2:
        ap = metrics.average_precision_score(y, p[:, 1]) if (y == 1).any() else None
    bins, ece = reliability(y, predicted, p)
    brier = metrics.brier_score_loss(y, p / p.sum(axis=1, keepdims=True), labels=every)
    # brier_score_loss refuses probabilities that are rounded to f32, hence its formula on those.
    onehot = np.eye(k)[y]
    ours = ((p - onehot) ** 2).sum(axis=1).mean() * (0.5 if k == 2 else 1.0)
    assert abs(ours - brier) < 1e-6
    correct = int((predicted == y).sum())
    interval = binomtest(correct, len(y)).proportion_ci(0.95, method="wilson")
    # Several classes may share the k-th place; ours, like argmax, prefers the lower index.
    order = np.argsort(-p, axis=1, kind="stable")[:, :top]
    return {
        "name": name,
        "labels": y.tolist(),
        "probabilities": p.tolist(),
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "interval": [interval.low, interval.high],
        "macro_f1": metrics.f1_score(y, predicted, labels=present, average="macro", zero_division=0),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "confusion": metrics.confusion_matrix(y, predicted, labels=every).tolist(),
        "log_loss": metrics.log_loss(y, np.clip(p, eps, 1 - eps), labels=every),
        "top": top,
        "top_accuracy": float((order == y[:, None]).any(axis=1).mean()),
        "roc_auc": auc,
        "average_precision": ap,
        "micro_f1": metrics.f1_score(y, predicted, labels=every, average="micro", zero_division=0),
        "mcc": float(metrics.matthews_corrcoef(y, predicted)),
        "brier": float(ours),
        "ece": float(ece),
        "reliability": bins,
    }


cases = []
y = rng.integers(0, 4, 60)
cases.append(case("four classes", y, probabilities(60, 4, y, 1.0), 2))
y = rng.integers(0, 2, 50)
cases.append(case("two classes", y, probabilities(50, 2, y, 0.7), 1))
y = rng.integers(0, 2, 50)
cases.append(case("two classes with ties", y, probabilities(50, 2, y, 0.7, digits=1), 1))
y = rng.choice([0, 2, 3], 40)
cases.append(case("a class without rows", y, probabilities(40, 5, y, 1.0), 3))
y = rng.integers(0, 3, 40)
p = probabilities(40, 3, y, 1.0)
p[:, 2] *= 0.01
cases.append(case("a class never predicted", y, p / p.sum(axis=1, keepdims=True), 2))
y = np.array([0, 1, 1, 0, 2])
cases.append(case("certain, and once wrong", y, np.eye(3)[[0, 1, 0, 0, 2]], 2))
y = np.array([1, 1, 1])
cases.append(case("one class only", y, probabilities(3, 2, y, 0.5), 1))

with open("eval.json", "w") as file:
    json.dump(cases, file)

targets = rng.random((40, 6)) < [0.1, 0.3, 0.5, 0.7, 0.0, 1.1]
scores = np.round(0.4 * targets + 0.6 * rng.random((40, 6)), 2).astype(np.float32).astype(np.float64)
predicted = scores >= 0.5
precision, recall, f1, _ = metrics.precision_recall_fscore_support(targets, predicted, average=None, zero_division=0)
auc = [float(metrics.roc_auc_score(t, s)) if 0 < t.sum() < len(t) else None for t, s in zip(targets.T, scores.T)]
ap = [float(metrics.average_precision_score(t, s)) if t.any() else None for t, s in zip(targets.T, scores.T)]
# Clipped as scikit-learn clips f32 probabilities.
clipped = np.clip(scores, 2.0**-23, 1 - 2.0**-23)
losses = [metrics.log_loss(t, p, labels=[False, True]) for t, p in zip(targets.T, clipped.T)]
with open("multi_label.json", "w") as file:
    json.dump(
        {
            "targets": targets.tolist(),
            "scores": scores.tolist(),
            "accuracy": metrics.accuracy_score(targets, predicted),
            "log_loss": float(np.mean(losses)),
            "micro_roc_auc": metrics.roc_auc_score(targets, scores, average="micro"),
            "micro_average_precision": metrics.average_precision_score(targets, scores, average="micro"),
            "micro_f1": metrics.f1_score(targets, predicted, average="micro"),
            "macro_f1": metrics.f1_score(targets, predicted, average="macro", zero_division=0),
            "roc_auc": auc,
            "macro_roc_auc": float(np.mean([a for a in auc if a is not None])),
            "average_precision": ap,
            "macro_average_precision": float(np.mean([a for a in ap if a is not None])),
            "precision": precision.tolist(),
            "recall": recall.tolist(),
        },
        file,
    )
