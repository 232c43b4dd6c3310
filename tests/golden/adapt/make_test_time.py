"""Writes test_time.json: T3A and SHOT's labels by the published steps in numpy, prototypes by the paper's formula.

    pip install scikit-learn==1.9.1 scipy==1.17.1 numpy && python make_test_time.py

`t3a` follows github.com/matsuolab/T3A, domainbed/adapt_algorithms.py, in batches of 16; `shot` follows github.com/tim-learn/SHOT,
digit/uda_digit.py, `obtain_label` with cosines, on the rows whose entropy is small enough.
"""

import json
import pathlib

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from domains import listed, pair


def entropy(p):
    return -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=1)


def t3a(w, b, x, k):
    """w: classes×d. Gives the classes×d templates after the last batch."""
    supports, p = w, softmax(w @ w.T + b, axis=1)
    labels, ent = p.argmax(axis=1), entropy(p)
    for batch in np.array_split(x, range(16, len(x), 16)):
        p = softmax(batch @ w.T + b, axis=1)
        supports = np.concatenate([supports, batch])
        labels = np.concatenate([labels, p.argmax(axis=1)])
        ent = np.concatenate([ent, entropy(p)])
        kept = np.concatenate([np.flatnonzero(labels == c)[np.argsort(ent[labels == c], kind="stable")][:k] for c in range(len(w))])
        supports, labels, ent = supports[kept], labels[kept], ent[kept]
    supports = supports / np.linalg.norm(supports, axis=1, keepdims=True)
    templates = np.stack([supports[labels == c].sum(axis=0) for c in range(len(w))])
    return templates / np.maximum(np.linalg.norm(templates, axis=1, keepdims=True), 1e-12)


def shot(w, b, x, share):
    p = softmax(x @ w.T + b, axis=1)
    kept = entropy(p) <= share * np.log(len(w)) + 1e-9
    p, rows = p[kept], np.concatenate([x[kept], np.ones((kept.sum(), 1))], axis=1)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    labelset = np.flatnonzero(np.bincount(p.argmax(axis=1), minlength=len(w)) > 0)
    centres = p.T @ rows / (1e-8 + p.sum(axis=0)[:, None])
    for _ in range(1):
        said = labelset[cdist(rows, centres[labelset], "cosine").argmin(axis=1)]
        p = np.eye(len(w))[said]
        centres = p.T @ rows / (1e-8 + p.sum(axis=0)[:, None])
    all_rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    said = labelset[cdist(all_rows, centres[labelset], "cosine").argmin(axis=1)]
    return centres, said


def prototypes(xs, ys, xt, rounds, scale):
    k = ys.max() + 1
    hard = np.eye(k)[ys]
    centres = hard.T @ xs / hard.sum(axis=0)[:, None]
    for _ in range(rounds):
        soft = softmax(-scale * cdist(xt, centres, "sqeuclidean"), axis=1)
        centres = (hard.T @ xs + soft.T @ xt) / (hard.sum(axis=0) + soft.sum(axis=0))[:, None]
    return centres


cases = []
for seed, ns, nt, d, k in [(7, 60, 70, 5, 4), (8, 40, 50, 9, 2)]:
    xs, ys, xt, _ = pair(seed, ns, nt, d, k)
    case = listed(xs, ys, xt)
    xs, xt = xs.astype(np.float64), xt.astype(np.float64)
    head = LogisticRegression(C=0.1).fit(xs, ys)
    w, b = head.coef_, head.intercept_
    if k == 2:
        w, b = np.concatenate([-w, w]) / 2, np.concatenate([-b, b]) / 2
    w, b = np.round(w, 4).astype(np.float32), np.round(b, 4).astype(np.float32)
    case["weights"], case["intercepts"] = [float(str(v)) for v in w.ravel()], [float(str(v)) for v in b]
    w, b = w.astype(np.float64), b.astype(np.float64)
    case["templates"] = []
    for supports in [5, 20, None]:
        found = t3a(w, b, xt, supports)
        case["templates"].append({"supports": supports, "weights": found.ravel().tolist(),
                                  "predicted": (xt @ found.T).argmax(axis=1).tolist()})
    case["centroids"] = []
    for share in [0.5, 1.0]:
        centres, said = shot(w, b, xt, share)
        case["centroids"].append({"entropy": share, "centroids": centres.ravel().tolist(), "predicted": said.tolist()})
    case["prototypes"] = [{"rounds": rounds, "scale": scale, "prototypes": prototypes(xs, ys, xt, rounds, scale).ravel().tolist()}
                          for rounds, scale in [(1, 1.0), (6, 0.3)]]
    cases.append(case)

pathlib.Path(__file__).with_name("test_time.json").write_text(json.dumps({"cases": cases}))
