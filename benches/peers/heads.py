"""scikit-learn's heads on the features that engraft embedded: fits each and counts how often it is right.

logistic, ridge and mlp have the same scaling, penalties and layer as engraft's; ridge chooses its penalty by leaving each row
out, too. centroid takes the nearest mean of rows of length 1, and knn the vote of DINO over 20 neighbours.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from threadpoolctl import threadpool_limits


def load(path):
    rows = [json.loads(line) for line in open(Path(path).with_suffix(".jsonl"), encoding="utf-8")]
    return np.load(path), np.array([row["label"] for row in rows])


def head(kind):
    # DINO's vote: exp(cosine / 0.07), and of rows of length 1 the cosine is 1 - distance^2 / 2.
    vote = lambda distance: np.exp((1 - distance**2 / 2 - 1) / 0.07)
    return {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-5, max_iter=10_000)),
        "ridge": lambda: make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-4, 5, 19))),
        "centroid": lambda: make_pipeline(Normalizer(), NearestCentroid()),
        "knn": lambda: make_pipeline(Normalizer(), KNeighborsClassifier(20, weights=vote, algorithm="brute")),
        "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier((256,), early_stopping=True, random_state=0)),
    }[kind]()


def main():
    kind, trained, judged = sys.argv[1:]
    (x, y), (others, truth) = load(trained), load(judged)
    with threadpool_limits(2):
        started = time.perf_counter()
        fitted = head(kind).fit(x, y)
        seconds = time.perf_counter() - started
        accuracy = (fitted.predict(others) == truth).mean()
    print(json.dumps({"accuracy": float(accuracy), "seconds": seconds}))


main()
