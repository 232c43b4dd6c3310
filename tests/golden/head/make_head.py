"""Writes the references of the logistic head: optima found by scikit-learn.

    pip install scikit-learn==1.9.1 numpy
    python make_head.py

digits.bin.gz  optdigits (load_digits): 1797 rows of 65 bytes, 64 pixels 0..16 and the label.
head.json      for each case: the objective sum(CE) + alpha/2 |W|^2 at scikit-learn's tightest optimum,
               its relative gradient norm there, and the probabilities of some rows; `weighted` with weights of rows
               (0, 0.5, 1, 1.5, 0, ...) and classes, standardised without them.
"""

import gzip
import json

import numpy as np
from scipy.special import log_softmax
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight


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


def weighted(x, y, alpha, class_weight, sample_weight):
    model = LogisticRegression(C=1 / alpha, solver="newton-cholesky", tol=1e-13, max_iter=10_000, class_weight=class_weight)
    model.fit(x, y, sample_weight=sample_weight)
    classes = len(model.classes_)
    of_class = compute_class_weight(class_weight, classes=model.classes_, y=y, sample_weight=sample_weight)
    weight = of_class[y] * (1 if sample_weight is None else sample_weight)
    z = x @ model.coef_.T + model.intercept_
    z = np.concatenate([np.zeros((len(x), 1)), z], axis=1) if classes == 2 else z
    loss = -log_softmax(z, axis=1)[np.arange(len(y)), y]
    objective = (weight * loss).sum() + alpha / 2 * (model.coef_**2).sum()
    print(f"weighted {x.shape} alpha {alpha} {class_weight}: objective {objective:.10f}")
    given = class_weight if class_weight in (None, "balanced") else list(class_weight.values())
    return {"alpha": alpha, "class_weight": given, "row_weights": sample_weight is not None, "objective": objective}


golden["weighted_digits"], golden["weighted_iris"] = [], []
for name, data, y in [("digits", digits.data, digits.target), ("iris", binary_x, binary_y)]:
    # An unbalanced part.
    keep_rows = np.arange(len(y))[(y > 0) | (np.arange(len(y)) % 3 == 0)]
    x, y = StandardScaler().fit_transform(data[keep_rows]), y[keep_rows]
    given = {k: 1.0 + 0.5 * k for k in range(y.max() + 1)}
    rows_weight = (np.arange(len(y)) % 4) / 2
    for class_weight in [None, "balanced", given]:
        for sample_weight in [None, rows_weight]:
            if class_weight is None and sample_weight is None:
                continue
            golden[f"weighted_{name}"].append(weighted(x, y, 1.0, class_weight, sample_weight))
golden["iris_x"] = iris.data[keep].ravel().tolist()
golden["iris_y"] = binary_y.tolist()
golden["iris_rows"] = list(range(0, 100, 9))

with open("head.json", "w") as file:
    json.dump(golden, file)
