"""Writes the references of comparisons: scipy's binomial test and t distribution, and the papers' formulas.

    pip install scipy==1.17.1 numpy
    python make_comparison.py
"""

import json

import numpy as np
from scipy import stats

rng = np.random.default_rng(1)
mcnemar = [[a, b, stats.binomtest(a, a + b, 0.5).pvalue if a + b else 1.0]
           for a, b in [(0, 0), (0, 1), (3, 9), (10, 10), (40, 61), (1000, 1100), (0, 1500)]]

# Agresti & Min 2005: half a row in each cell, then Wald's interval of a difference of paired shares.
paired = []
for n, a, b in [(20, 3, 1), (50, 0, 0), (30, 30, 0), (400, 25, 60)]:
    cells = np.array([a, b, n - a - b]) + [0.5, 0.5, 1.0]
    p = cells / cells.sum()
    half = stats.norm.ppf(0.975) * np.sqrt((p[0] + p[1] - (p[0] - p[1]) ** 2) / cells.sum())
    paired.append([n, a, b, [max(p[0] - p[1] - half, -1.0), min(p[0] - p[1] + half, 1.0)]])

student = [[t, v, 2 * stats.t.sf(abs(t), v)] for t in [0.0, -0.3, 1.0, 2.5, 12.0] for v in [1, 2, 3, 4, 9, 49, 200]]
quantiles = [[v, stats.t.ppf(0.975, v)] for v in [1, 2, 3, 4, 9, 49, 200]]

folds = []
for j, train, test in [(5, 80, 20), (10, 90, 10), (50, 800, 200)]:
    first, second = rng.normal(0.8, 0.02, j), rng.normal(0.79, 0.02, j)
    d = first - second
    error = np.sqrt((1 / j + test / train) * d.var(ddof=1))
    low, high = stats.t.interval(0.95, j - 1, loc=d.mean(), scale=error)
    folds.append({"first": first.tolist(), "second": second.tolist(), "train": train, "test": test,
                  "difference": d.mean(), "interval": [low, high], "p": 2 * stats.t.sf(abs(d.mean() / error), j - 1)})

with open("comparison.json", "w") as file:
    json.dump({"mcnemar": mcnemar, "paired": paired, "student": student, "quantiles": quantiles, "folds": folds}, file)
