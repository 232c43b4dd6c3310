"""Writes ridge.json: leave-one-out predictions, errors and weights of ridge classification by scikit-learn.

    pip install scikit-learn==1.9.1 numpy
    python make_ridge.py

Rows and columns are of digits.bin.gz, labels modulo K; the features are scaled as the head does it (means and scales rounded to f32).
"""

import json

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge, RidgeClassifierCV, RidgeCV

ALPHAS = [0.01, 1.0, 30.0, 1000.0]
digits = load_digits()


def scaled(x, scaling):
    if scaling == "l2":
        x = x / np.maximum(np.sqrt((x**2).sum(axis=1, keepdims=True)), 1e-12)
    mean, inverse = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if scaling == "standardize":
        deviation = x.std(axis=0)
        constant = deviation < 1e-9
        mean = x.mean(axis=0).astype(np.float32).astype(np.float64)
        inverse = np.where(constant, 1, 1 / np.where(constant, 1, deviation)).astype(np.float32).astype(np.float64)
    return (x - mean) * inverse, mean, inverse


cases = []
for rows, columns, classes, scaling in [
    (range(0, 1797, 12), 64, 10, "standardize"),
    (range(0, 1797, 12), 64, 10, "none"),
    (range(0, 1797, 12), 64, 10, "l2"),
    (range(0, 1797, 45), 64, 5, "standardize"),
    (range(0, 1797, 45), 64, 5, "none"),
    (range(0, 1797, 20), 30, 2, "standardize"),
    (range(0, 1797, 45), 64, 2, "l2"),
]:
    rows = list(rows)
    x, mean, inverse = scaled(digits.data[rows][:, :columns], scaling)
    labels = digits.target[rows] % classes
    y = 2.0 * np.eye(classes)[labels] - 1
    logits, errors, accuracy = [], [], []
    for alpha in ALPHAS:
        out = RidgeCV([alpha], store_cv_results=True, scoring=None).fit(x, y)
        errors.append(float(out.cv_results_.mean()))
        # RidgeCV keeps squared errors alone: the predictions by leaving each row out in turn.
        left_out = np.zeros_like(y)
        for i in range(len(x)):
            keep = np.arange(len(x)) != i
            left_out[i] = Ridge(alpha, solver="svd").fit(x[keep], y[keep]).predict(x[i : i + 1])[0]
        assert np.allclose(((left_out - y) ** 2).mean(), errors[-1], rtol=1e-9)
        logits.append(left_out)
        accuracy.append(float((left_out.argmax(axis=1) == labels).mean()))
    chosen = float(RidgeClassifierCV(ALPHAS).fit(x, labels).alpha_)
    assert chosen == ALPHAS[int(np.argmin(errors))]
    fit = Ridge(chosen, solver="svd").fit(x, y)
    objective = ((fit.predict(x) - y) ** 2).sum() + chosen * (fit.coef_**2).sum()
    weights = fit.coef_.T * inverse[:, None]
    shown = list(range(0, len(rows), len(rows) // 8))
    cases.append(
        {
            "rows": rows,
            "columns": columns,
            "classes": classes,
            "scaling": scaling,
            "shown": shown,
            "logits": [table[shown].ravel().tolist() for table in logits],
            "squared_error": errors,
            "accuracy": accuracy,
            "chosen": chosen,
            "weights": weights.ravel().tolist(),
            "intercepts": (fit.intercept_ - mean @ weights).tolist(),
            "objective": float(objective),
        }
    )
    print(f"{len(rows)}x{columns}, {classes} classes, {scaling}: alpha {chosen}, objective {objective:.10f}")

with open("ridge.json", "w") as file:
    json.dump({"alphas": ALPHAS, "cases": cases}, file)
