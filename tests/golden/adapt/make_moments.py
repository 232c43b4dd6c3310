"""Writes moments.json: standardisation by scikit-learn 1.9.1, CORAL by skada 0.6.0, linear transport by POT 0.9.7.

    pip install scikit-learn==1.9.1 skada==0.6.0 POT==0.9.7.post1 numpy && python make_moments.py
"""

import json
import pathlib

import numpy as np
import ot
from skada import CORALAdapter
from sklearn.preprocessing import StandardScaler

from domains import listed, pair

CASES = [(0, 60, 50, 6, 3, False), (1, 60, 50, 6, 3, True), (2, 12, 15, 20, 2, False)]


def standardized(xs, xt):
    source, target = StandardScaler().fit(xs), StandardScaler().fit(xt)
    return target.inverse_transform(source.transform(xs))


def coral(xs, xt, reg):
    x = np.concatenate([xs, xt])
    domain = np.concatenate([np.ones(len(xs)), -2 * np.ones(len(xt))]).astype(int)
    adapter = CORALAdapter(reg=reg)
    # skada centres the target where the source is left around zero; here the source is moved onto the target's mean.
    return adapter.fit_transform(x, sample_domain=domain)[: len(xs)] + xt.mean(axis=0)


def linear(xs, xt, reg):
    a, b = ot.gaussian.empirical_bures_wasserstein_mapping(xs, xt, reg=reg)
    return xs @ a + b


cases = []
for seed, ns, nt, d, k, constant in CASES:
    xs, ys, xt, _ = pair(seed, ns, nt, d, k, constant)
    case = listed(xs, ys, xt)
    xs, xt = xs.astype(np.float64), xt.astype(np.float64)
    case["standardize"] = None if constant else standardized(xs, xt).ravel().tolist()
    case["coral"] = {"ledoit_wolf": coral(xs, xt, "auto").ravel().tolist(), "share": coral(xs, xt, 0.1).ravel().tolist()}
    if d < ns and not constant:
        case["coral"]["none"] = coral(xs, xt, None).ravel().tolist()
    case["linear"] = {str(reg): linear(xs, xt, reg).ravel().tolist() for reg in [1e-2, 1e-6] if reg > 1e-3 or d < ns}
    cases.append(case)

pathlib.Path(__file__).with_name("moments.json").write_text(json.dumps({"cases": cases}))
