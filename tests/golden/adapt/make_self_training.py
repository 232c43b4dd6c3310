"""Writes self_training.json: SelfTrainingClassifier and LabelSpreading by scikit-learn 1.9.1.

    pip install scikit-learn==1.9.1 numpy && python make_self_training.py
"""

import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from domains import listed, pair

cases = []
for seed, ns, nt, d, k in [(9, 60, 70, 5, 4), (10, 40, 50, 9, 2)]:
    xs, ys, xt, _ = pair(seed, ns, nt, d, k)
    case = listed(xs, ys, xt)
    x, y = np.concatenate([xs, xt]).astype(np.float64), np.concatenate([ys, -np.ones(nt, int)])
    case["pseudo"] = []
    for threshold, rounds in [(0.8, 1), (0.6, 4)]:
        base = LogisticRegression(tol=1e-10, max_iter=10_000)
        fitted = SelfTrainingClassifier(base, threshold=threshold, max_iter=rounds).fit(x, y)
        case["pseudo"].append({"threshold": threshold, "rounds": rounds, "labels": fitted.transduction_[ns:].tolist(),
                               "probabilities": fitted.predict_proba(xt.astype(np.float64)).ravel().tolist()})
        print(np.bincount(fitted.transduction_[ns:] + 1), fitted.n_iter_)
    case["spreading"] = []
    for neighbours, alpha, iterations, tol in [(7, 0.2, 30, 1e-3), (4, 0.9, 200, 1e-8)]:
        fitted = LabelSpreading(kernel="knn", n_neighbors=neighbours, alpha=alpha, max_iter=iterations, tol=tol).fit(x, y)
        case["spreading"].append({"neighbours": neighbours, "alpha": alpha, "iterations": iterations, "tolerance": tol,
                                  "probabilities": np.nan_to_num(fitted.label_distributions_[ns:]).ravel().tolist()})
    cases.append(case)

pathlib.Path(__file__).with_name("self_training.json").write_text(json.dumps({"cases": cases}))
