"""Writes subspace.json: subspace alignment by skada 0.6.0, transfer components by scipy 1.17.1.

    pip install scikit-learn==1.9.1 skada==0.6.0 scipy==1.17.1 numpy && python make_subspace.py

Axes have no sign, so what is written are the products of all mapped rows. skada's transfer components give `numpy.linalg.eigh` the
matrix (I + μKLK)⁻¹KHK, which is not symmetric and of which it reads one half: the reference is the generalised problem itself.
"""

import json
import pathlib

import numpy as np
import scipy.linalg
from skada import SubspaceAlignmentAdapter

from domains import listed, pair


def alignment(xs, xt, k):
    x = np.concatenate([xs, xt])
    domain = np.concatenate([np.ones(len(xs)), -2 * np.ones(len(xt))]).astype(int)
    adapter = SubspaceAlignmentAdapter(n_components=k, random_state=0)
    return adapter.fit_transform(x, sample_domain=domain)


def components(xs, xt, k, mu):
    x = np.concatenate([xs, xt])
    x = x - x.mean(axis=0)
    n = len(x)
    kernel = x @ x.T
    h = np.eye(n) - 1 / n
    l = np.concatenate([np.full(len(xs), 1 / len(xs)), np.full(len(xt), -1 / len(xt))])
    a, b = kernel @ h @ kernel, np.eye(n) + mu * kernel @ np.outer(l, l) @ kernel
    values, vectors = scipy.linalg.eigh((a + a.T) / 2, (b + b.T) / 2)
    return kernel @ vectors[:, np.argsort(values)[::-1][:k]]


cases = []
for seed, ns, nt, d, k in [(5, 18, 15, 6, 3), (6, 10, 11, 20, 2)]:
    xs, ys, xt, _ = pair(seed, ns, nt, d, k)
    case = listed(xs, ys, xt)
    xs, xt = xs.astype(np.float64), xt.astype(np.float64)
    products = lambda z: (z @ z.T).ravel().tolist()
    case["dimension"] = 4
    case["alignment"] = products(alignment(xs, xt, 4))
    case["components"] = {str(mu): products(components(xs, xt, 4, mu)) for mu in [0.1, 10.0]}
    cases.append(case)

pathlib.Path(__file__).with_name("subspace.json").write_text(json.dumps({"cases": cases}))
