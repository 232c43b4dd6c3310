"""scikit-learn: fits LogisticRegression(solver="lbfgs") and computes its objective in f64."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits


def objective(fitted, x, labels, alpha):
    weights = fitted.coef_.astype(np.float64)
    loss = 0.0
    for rows in np.array_split(np.arange(len(labels)), 20):
        logits = x[rows].astype(np.float64) @ weights.T + fitted.intercept_
        loss += (logsumexp(logits, axis=1) - logits[np.arange(len(rows)), labels[rows]]).sum()
    return loss + 0.5 * alpha * (weights**2).sum()


def main():
    folder, alpha, threads, tolerance, dtype = sys.argv[1:]
    alpha = float(alpha)
    x = np.load(Path(folder) / "features.npy").astype(dtype)
    labels = np.load(Path(folder) / "labels.npy")
    model = LogisticRegression(C=1 / alpha, solver="lbfgs", tol=float(tolerance), max_iter=10_000)
    with threadpool_limits(int(threads)):
        started = time.perf_counter()
        model.fit(x, labels)
        seconds = time.perf_counter() - started
    result = {"seconds": seconds, "iterations": int(model.n_iter_[0]), "objective": objective(model, x, labels, alpha)}
    print(json.dumps(result))


main()
