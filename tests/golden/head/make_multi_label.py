"""Writes the reference of logistic regression where a row may have any number of labels: scikit-learn's one-vs-rest.

    pip install scikit-learn==1.9.1 numpy
    python make_multi_label.py

multi_label.json  optdigits (digits.bin.gz) with the labels "even", "5 or more" and "prime": for each case the sum over the
                 labels of the objectives at scikit-learn's tightest optima, and the probabilities of some rows.
"""

import gzip
import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

with gzip.open("digits.bin.gz") as file:
    table = np.frombuffer(file.read(), dtype=np.uint8).reshape(-1, 65).astype(np.float64)
x, digit = table[:, :64], table[:, 64].astype(int)
labels = np.stack([digit % 2 == 0, digit >= 5, np.isin(digit, [2, 3, 5, 7])], axis=1).astype(int)
rows = list(range(0, 1797, 180))

cases = []
for scaling, data in [("none", x), ("standardize", StandardScaler().fit_transform(x))]:
    for alpha in [100.0, 1.0]:
        one = LogisticRegression(C=1 / alpha, solver="newton-cholesky", tol=1e-13, max_iter=10_000)
        model = OneVsRestClassifier(one).fit(data, labels)
        objective = 0.0
        for label, estimator in enumerate(model.estimators_):
            z = estimator.decision_function(data)
            loss = np.logaddexp(0, np.where(labels[:, label] == 1, -z, z)).sum()
            objective += loss + alpha / 2 * (estimator.coef_**2).sum()
        print(f"{scaling} alpha {alpha}: {objective:.10f}")
        probabilities = model.predict_proba(data[rows]).ravel().tolist()
        cases.append({"scaling": scaling, "alpha": alpha, "objective": objective, "probabilities": probabilities})

with open("multi_label.json", "w") as file:
    json.dump({"rows": rows, "cases": cases}, file)
