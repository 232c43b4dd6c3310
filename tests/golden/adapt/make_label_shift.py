"""Writes label_shift.json: the formulas of Saerens et al. (2002) and Lipton et al. (2018) in numpy, on scikit-learn's digits with
class shares drawn by Dirichlet's distribution, as Lipton et al. shift MNIST.

    pip install scikit-learn==1.9.1 numpy && python make_label_shift.py
"""

import json
import pathlib

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

x, y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
keep = y < 4
x, y = x[keep] / 16 + rng.normal(scale=0.6, size=x[keep].shape), y[keep]
order = rng.permutation(len(y))
fit, held, rest = order[:200], order[200:400], order[400:]
head = LogisticRegression(C=0.05).fit(x[fit], y[fit])


def saerens(priors, p):
    q = priors.copy()
    for _ in range(100_000):
        r = q / priors * p
        r /= r.sum(axis=1, keepdims=True)
        new = r.mean(axis=0)
        if np.abs(new - q).max() < 1e-14:
            break
        q = new
    return q


def lipton(joint, predicted):
    w = np.linalg.solve(joint, predicted)
    q = np.maximum(w, 0) * joint.sum(axis=0)
    return q / q.sum()


cases = []
for alpha in [0.5, 1.0, 10.0]:
    shares = rng.dirichlet([alpha] * 4)
    rows = np.concatenate([rng.choice(rest[y[rest] == c], round(120 * shares[c])) for c in range(4)])
    p = np.round(head.predict_proba(x[rows]), 6)
    p /= p.sum(axis=1, keepdims=True)
    said = head.predict(x[held])
    joint = np.array([[np.mean((said == i) & (y[held] == j)) for j in range(4)] for i in range(4)])
    predicted = np.bincount(head.predict(x[rows]), minlength=4) / len(rows)
    priors = np.bincount(y[fit], minlength=4) / len(fit)
    cases.append(
        {
            "true": (np.bincount(y[rows], minlength=4) / len(rows)).tolist(),
            "priors": priors.tolist(),
            "probabilities": p.ravel().tolist(),
            "joint": joint.ravel().tolist(),
            "predicted": predicted.tolist(),
            "em": saerens(priors, p).tolist(),
            "bbse": lipton(joint, predicted).tolist(),
        }
    )
    print(alpha, np.abs(saerens(priors, p) - cases[-1]["true"]).max(), np.abs(lipton(joint, predicted) - cases[-1]["true"]).max())

pathlib.Path(__file__).with_name("label_shift.json").write_text(json.dumps({"cases": cases}))
