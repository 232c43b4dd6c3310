"""Writes the references of conformal prediction: LAC by MAPIE, APS by MAPIE's parts, the two others by their papers' formulas.

    pip install mapie==1.6.0 scikit-learn==1.9.1 numpy
    python make_conformal.py
"""

import json

import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores.sets.aps import APSConformityScore
from mapie.conformity_scores.sets.utils import get_last_index_included
from sklearn.base import BaseEstimator, ClassifierMixin

ALPHA = 0.1
rng = np.random.default_rng(3)


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its probabilities."""

    def fit(self, x, y):
        self.classes_ = np.arange(x.shape[1])
        self.n_features_in_ = x.shape[1]
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


def draw(n, k=5):
    y = rng.integers(0, k, n)
    z = rng.normal(size=(n, k))
    z[np.arange(n), y] += 1.0
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    # Multiples of 2^-20 that add up to 1 exactly, in f32 too.
    p = np.floor(p * 2**20) / 2**20
    p[:, 0] += 1 - p.sum(axis=1)
    assert (p.astype(np.float32) == p).all() and (p.sum(axis=1) == 1).all()
    return p, y


# Where (n + 1)(1 - alpha) is whole, MAPIE's quantile is one score higher than the theorem asks: 123 is not such an n.
p, y = draw(123)
new, new_y = draw(40)


def mapie(score):
    model = SplitConformalClassifier(Given().fit(p, y), confidence_level=1 - ALPHA, conformity_score=score, prefit=True)
    _, sets = model.conformalize(p, y).predict_set(new)
    return sets[:, :, 0]


def quantile(s):
    place = int(np.ceil((len(s) + 1) * (1 - ALPHA) - 1e-9))
    return np.inf if place > len(s) else np.sort(s)[place - 1]


def cumulated(p, penalty=0.0, free=0):
    order = np.argsort(-p, axis=1, kind="stable")
    places = np.arange(1, p.shape[1] + 1)
    sums = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1) + penalty * np.maximum(0, places - free)
    s = np.empty_like(p)
    np.put_along_axis(s, order, sums, axis=1)
    return s


def threshold(known, fresh, top):
    sets = fresh <= quantile(known[np.arange(len(y)), y])
    if top:
        sets[np.arange(len(new)), new.argmax(axis=1)] = True
    return sets


def mapie_aps():
    """MAPIE draws its APS scores at random when it calibrates: its parts without the draw."""
    known, _ = APSConformityScore().get_true_label_cumsum_proba(y, p, np.arange(5))
    order = np.argsort(-new, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(new, order, axis=1), axis=1)
    last = get_last_index_included(sums[:, :, None], np.array([quantile(known.ravel())]), False)[:, 0, 0]
    return new >= np.take_along_axis(new, order[np.arange(len(new)), last][:, None], axis=1)


lac, aps = mapie("lac"), mapie_aps()
assert (lac == threshold(1 - p, 1 - new, False)).all() and (aps == threshold(cumulated(p), cumulated(new), True)).all()
by_class = np.stack([1 - new[:, c] <= quantile(1 - p[y == c, c]) for c in range(5)], axis=1)
raps = threshold(cumulated(p, 0.1, 2), cumulated(new, 0.1, 2), True)
rules = [("lac", lac), ("class_lac", by_class), ("aps", aps), ({"raps": {"penalty": 0.1, "free": 2}}, raps)]
with open("conformal.json", "w") as file:
    json.dump(
        {
            "alpha": ALPHA,
            "probabilities": p.tolist(),
            "labels": y.tolist(),
            "new": new.tolist(),
            "new_labels": new_y.tolist(),
            "rules": [
                {
                    "rule": rule,
                    "sets": [np.flatnonzero(row).tolist() for row in sets],
                    "coverage": float(sets[np.arange(len(new)), new_y].mean()),
                    "mean_size": float(sets.sum(axis=1).mean()),
                }
                for rule, sets in rules
            ],
        },
        file,
    )
