"""Writes reweight.json: the discriminator of skada 0.6.0, the optima of KLIEP and of kernel mean matching by scipy 1.17.1.

    pip install scikit-learn==1.9.1 skada==0.6.0 scipy==1.17.1 numpy && python make_reweight.py

skada's discriminator weighs by P(source)/P(target), the inverse of the ratio: what is written is its inverse. Its KLIEP goes up the
gradient by steps of 2e-16, which do not move it, so the optimum is scipy's. Its kernel mean matching by Frank and Wolfe leaves out the
upper bound: what is written are its objective where no weight reaches the bound, and scipy's where some do.
"""

import json
import pathlib

import numpy as np
from scipy.optimize import minimize
from skada import DiscriminatorReweightAdapter, KMMReweightAdapter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel

from domains import listed, pair


def weights(adapter, xs, xt):
    x = np.concatenate([xs, xt])
    domain = np.concatenate([np.ones(len(xs)), -2 * np.ones(len(xt))]).astype(int)
    return adapter.fit_transform(x, sample_domain=domain)[1]["sample_weight"][: len(xs)]


def kliep(xs, xt, gamma):
    a, b = rbf_kernel(xt, xt, gamma=gamma), rbf_kernel(xs, xt, gamma=gamma).mean(axis=0)
    value = lambda v: -np.log(a @ v).mean() + b @ v
    slope = lambda v: -a.T @ (1 / (a @ v)) / len(a) + b
    found = minimize(value, 1 / (b * len(b)), jac=slope, bounds=[(0, None)] * len(b), method="L-BFGS-B",
                     options={"maxiter": 100_000, "maxfun": 1_000_000, "ftol": 0, "gtol": 1e-10, "maxcor": 50})
    v = found.x / (b @ found.x)
    print("kliep", (-slope(v) / b).max(), np.log(a @ v).mean())
    return rbf_kernel(xs, xt, gamma=gamma) @ v, np.log(a @ v).mean()


def objective(k, kappa, beta):
    return 0.5 * beta @ k @ beta - kappa @ beta


cases = []
for seed, ns, nt, d, k in [(3, 60, 50, 4, 3), (4, 40, 55, 8, 2)]:
    xs, ys, xt, _ = pair(seed, ns, nt, d, k)
    xt = np.round(0.5 * (xt + xs[:1]), 3).astype(np.float32)
    case = listed(xs, ys, xt)
    xs, xt = xs.astype(np.float64), xt.astype(np.float64)
    inverse = 1 / weights(DiscriminatorReweightAdapter(LogisticRegression(tol=1e-10, max_iter=10_000)), xs, xt)
    case["discriminator"] = (inverse / inverse.mean()).tolist()
    case["gamma"] = 0.05
    case["kliep"], case["likelihood"] = [np.asarray(v).tolist() for v in kliep(xs, xt, 0.05)]
    kss, kappa = rbf_kernel(xs, gamma=0.05), ns * rbf_kernel(xs, xt, gamma=0.05).mean(axis=1)
    skada = weights(KMMReweightAdapter(gamma=0.05, B=1000.0, max_iter=20_000, tol=1e-12), xs, xt)
    eps = (np.sqrt(ns) - 1) / np.sqrt(ns)
    found = minimize(lambda v: objective(kss, kappa, v), np.ones(ns), jac=lambda v: kss @ v - kappa, bounds=[(0, 5)] * ns,
                     method="SLSQP", options={"maxiter": 10_000, "ftol": 1e-15},
                     constraints=[{"type": "ineq", "fun": lambda v: ns * (1 + eps) - v.sum(), "jac": lambda v: -np.ones(ns)},
                                  {"type": "ineq", "fun": lambda v: v.sum() - ns * (1 - eps), "jac": lambda v: np.ones(ns)}])
    case["kmm"] = {"1000": objective(kss, kappa, skada), "5": found.fun}
    print("kmm", case["kmm"], found.message, "greatest weights", skada.max(), found.x.max())
    cases.append(case)

pathlib.Path(__file__).with_name("reweight.json").write_text(json.dumps({"cases": cases}))
