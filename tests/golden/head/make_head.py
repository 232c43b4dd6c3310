"""Writes the references of the logistic head: optima found by scikit-learn.

    pip install scikit-learn==1.9.1 numpy
    python make_head.py

digits.bin.gz  optdigits (load_digits): 1797 rows of 65 bytes, 64 pixels 0..16 and the label.
head.json      for each case: the objective sum(CE) + alpha/2 |W|^2 at scikit-learn's tightest optimum,
               its relative gradient norm there, and the probabilities of some rows.
"""

import gzip
import json

import numpy as np
from scipy.special import log_softmax
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


def reference(x, y, alpha, rows):
    model = LogisticRegression(C=1 / alpha, solver="newton-cholesky", tol=1e-13, max_iter=10_000).fit(x, y)
    w, b = model.coef_, model.intercept_
    onehot = np.eye(len(model.classes_))[y]
    if len(w) == 1:
        z = np.concatenate([np.zeros((len(x), 1)), x @ w.T + b], axis=1)
        residual = (np.exp(log_softmax(z, axis=1)) - onehot)[:, 1:]
        start = (np.full_like(onehot, 0.5) - onehot)[:, 1:]
    else:
        z = x @ w.T + b
        residual = np.exp(log_softmax(z, axis=1)) - onehot
        start = 1 / onehot.shape[1] - onehot
    objective = -(log_softmax(z, axis=1) * onehot).sum() + alpha / 2 * (w**2).sum()

    def norm(r, w):
        return np.sqrt(((x.T @ r + alpha * w.T) ** 2).sum() + (r.sum(axis=0) ** 2).sum())

    gradient = norm(residual, w) / norm(start, 0 * w)
    print(f"{x.shape} alpha {alpha}: objective {objective:.10f}, relative gradient {gradient:.1e}")
    return {
        "alpha": alpha,
        "objective": objective,
        "gradient_norm": gradient,
        "probabilities": np.exp(log_softmax(z[rows], axis=1)).ravel().tolist(),
        "accuracy": float((z.argmax(axis=1) == y).mean()),
    }


digits = load_digits()
table = np.concatenate([digits.data, digits.target[:, None]], axis=1).astype(np.uint8)
with open("digits.bin.gz", "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
    file.write(table.tobytes())

iris = load_iris()
keep = iris.target > 0
binary_x, binary_y = iris.data[keep].astype(np.float32).astype(np.float64), iris.target[keep] - 1

rows = list(range(0, 1797, 180))
golden = {"rows": rows, "digits": [], "iris": []}
for name, x, y, at in [("digits", digits.data, digits.target, rows), ("iris", binary_x, binary_y, list(range(0, 100, 9)))]:
    for scaling, data in [("none", x), ("standardize", StandardScaler().fit_transform(x))]:
        for alpha in [100.0, 1.0, 0.01]:
            golden[name].append({"scaling": scaling, **reference(data, y, alpha, at)})
golden["iris_x"] = iris.data[keep].ravel().tolist()
golden["iris_y"] = binary_y.tolist()
golden["iris_rows"] = list(range(0, 100, 9))

with open("head.json", "w") as file:
    json.dump(golden, file)
