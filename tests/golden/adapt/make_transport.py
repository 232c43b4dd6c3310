"""Writes transport.json: SinkhornLpl1Transport by POT 0.9.7, JDOT by the steps of skada 0.6.0 with an entropic plan of POT.

    pip install scikit-learn==1.9.1 skada==0.6.0 POT==0.9.7.post1 numpy && python make_transport.py

The squared distances are divided by their mean first, so that regularisations mean the same for all features.
"""

import json
import pathlib

import numpy as np
import ot
from skada._ot import get_data_jdot_class, get_jdot_class_cost_matrix
from sklearn.linear_model import LogisticRegression

from domains import listed, pair


def lpl1(xs, ys, xt, reg, eta):
    unit = ot.dist(xs, xt).mean()
    fitted = ot.da.SinkhornLpl1Transport(reg_e=reg * unit, reg_cl=eta * unit, max_iter=10, max_inner_iter=20_000, tol=1e-11)
    fitted.fit(Xs=xs, ys=ys, Xt=xt)
    return fitted.transform(Xs=xs), fitted.coupling_


def jdot(xs, ys, xt, alpha, reg, rounds):
    """`solve_jdot_classification`, with `ot.solve` made entropic."""
    features = ot.dist(xs, xt)
    features = features / features.mean()
    a, b = np.full(len(xs), 1 / len(xs)), np.full(len(xt), 1 / len(xt))
    hard, labels, estimator = np.eye(ys.max() + 1)[ys], np.arange(ys.max() + 1), LogisticRegression(tol=1e-12, max_iter=100_000)
    cost = (1 - alpha) * features
    shares = []
    for _ in range(rounds):
        plan = ot.sinkhorn(a, b, cost, reg, method="sinkhorn_log", numItermax=20_000, stopThr=1e-11)
        carried = plan.T @ hard * len(xt)
        shares.append(carried)
        rows, said, weights = get_data_jdot_class(xt, carried, labels, thr_weights=1e-6)
        estimator.fit(rows, said, sample_weight=weights)
        cost = (1 - alpha) * features + alpha * get_jdot_class_cost_matrix(hard, xt, estimator)
    return shares


cases = []
for seed, ns, nt, d, k in [(11, 40, 30, 4, 3), (12, 25, 35, 8, 2)]:
    xs, ys, xt, _ = pair(seed, ns, nt, d, k)
    case = listed(xs, ys, xt)
    xs, xt = xs.astype(np.float64), xt.astype(np.float64)
    case["lpl1"] = []
    for reg, eta in [(0.3, 0.0), (0.3, 0.1), (1.0, 0.3)]:
        moved, plan = lpl1(xs, ys, xt, reg, eta)
        shares = np.stack([plan[ys == c].sum(axis=0) for c in range(k)], axis=1) * nt
        case["lpl1"].append({"reg": reg, "class_reg": eta, "moved": moved.ravel().tolist(), "shares": shares.ravel().tolist()})
    case["jdot"] = [{"alpha": alpha, "reg": reg, "rounds": [s.ravel().tolist() for s in jdot(xs, ys, xt, alpha, reg, 3)]}
                    for alpha, reg in [(0.5, 0.3), (0.2, 0.5)]]
    cases.append(case)

pathlib.Path(__file__).with_name("transport.json").write_text(json.dumps({"cases": cases}))
