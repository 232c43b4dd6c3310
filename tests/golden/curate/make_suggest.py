"""Writes suggest.json: greedy k-centre and TypiClust's choice in numpy, k-means by scikit-learn 1.9.1.

    pip install scikit-learn==1.9.1 numpy && python make_suggest.py
"""

import json
import pathlib

import numpy as np
from sklearn.cluster import KMeans


def data(seed, n, d, heaps=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    if heaps:
        x = 0.5 * x + 3 * rng.normal(size=(heaps, d))[rng.integers(0, heaps, n)]
    return np.round(x, 3)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def k_centre(seed, n, d, labelled, count, skip=()):
    x = data(seed, n, d)
    u = unit(x)
    candidates = [i for i in range(n) if i not in labelled and i not in skip]
    centers, chosen, scores = list(labelled), [], []
    for _ in range(count):
        open_ = [i for i in candidates if i not in chosen]
        if not centers:
            mean = u[candidates].mean(axis=0)
            best, score = open_[int(np.argmin(np.linalg.norm(u[open_] - mean, axis=1)))], 2.0
        else:
            far = np.linalg.norm(u[open_][:, None] - u[centers][None], axis=2).min(axis=1)
            best, score = open_[int(far.argmax())], float(far.max())
        chosen.append(best)
        centers.append(best)
        scores.append(score)
    return dict(columns=d, x=x.ravel().tolist(), labelled=list(labelled), candidates=candidates, chosen=chosen, scores=scores)


def kmeans(seed, n, d, k):
    x = data(seed, n, d, heaps=k).astype(np.float32)
    start = list(range(k))
    fit = KMeans(k, init=x[start], n_init=1, algorithm="lloyd", tol=0, max_iter=100).fit(x)
    return dict(columns=d, x=np.round(x.astype(float), 3).ravel().tolist(), start=start, clusters=fit.labels_.tolist())


def typicality(seed, n, d, sizes, labelled, count):
    """As the paper's code (github.com/avihu111/TypiClust, typiclust.py) goes through its clusters."""
    x = data(seed, n, d)
    u = unit(x)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    labels = clusters.copy()
    order = [c for c in range(len(sizes)) if sizes[c] > 5]
    covered = np.bincount(clusters[labelled], minlength=len(sizes))
    order.sort(key=lambda c: (covered[c], -sizes[c]))
    labels[labelled] = -1
    chosen, scores = [], []
    for i in range(count):
        indices = np.flatnonzero(labels == order[i % len(order)])
        k = max(min(20, len(indices) // 2), 1)
        distance = np.sort(np.linalg.norm(u[indices][:, None] - u[indices][None], axis=2), axis=1)[:, 1 : k + 1]
        typical = 1 / (distance.mean(axis=1) + 1e-5)
        best = indices[typical.argmax()]
        chosen.append(int(best))
        scores.append(float(typical.max()))
        labels[best] = -1
    return dict(
        columns=d, x=x.ravel().tolist(), clusters=clusters.tolist(), labelled=labelled, chosen=chosen, scores=scores
    )


golden = {
    "k_centre": [
        k_centre(1, 40, 5, [0, 7], 10),
        k_centre(2, 30, 3, [], 12),
        k_centre(3, 60, 8, list(range(10)), 15, skip=range(20, 40)),
    ],
    "kmeans": [kmeans(4, 80, 4, 5), kmeans(5, 60, 2, 3)],
    "typicality": [
        typicality(6, 90, 6, [50, 10, 4, 26], [0, 61], 7),
        typicality(7, 60, 3, [20, 20, 20], [], 3),
    ],
}
pathlib.Path(__file__).with_name("suggest.json").write_text(json.dumps(golden))
