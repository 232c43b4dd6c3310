"""Writes rank.json: LogME by its published algorithm, leave-one-out ridge by n fits of scikit-learn 1.9.1.

    pip install scikit-learn==1.9.1 numpy && python make_rank.py
"""

import json
import pathlib

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict


def data(seed, n, d, k, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    x = rng.normal(size=(n, d)) + shift + 1.5 * rng.normal(size=(k, d))[y]
    # Three decimals, rounded as f32 holds them.
    return np.round(x, 3).astype(np.float32), y


def logme(f, y):
    """The fixed-point iteration of github.com/thuml/LogME, `_fit_fixed_point`, classification."""
    f = f.astype(np.float64)
    n, d = f.shape
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    sigma = s**2
    evidences = []
    for c in range(y.max() + 1):
        target = (y == c).astype(np.float64)
        x2 = (u.T @ target) ** 2
        res_x2 = (target**2).sum() - x2.sum()
        alpha, beta = 1.0, 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / ((t + sigma) ** 2)).sum()
            res2 = (x2 / ((1 + sigma / t) ** 2)).sum() + res_x2
            alpha = gamma / (m2 + 1e-5)
            beta = (n - gamma) / (res2 + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidence = (
            d / 2.0 * np.log(alpha)
            + n / 2.0 * np.log(beta)
            - 0.5 * np.sum(np.log(alpha + beta * sigma))
            - beta / 2.0 * res2
            - alpha / 2.0 * m2
            - n / 2.0 * np.log(2 * np.pi)
        )
        evidences.append(evidence / n)
    return float(np.mean(evidences))


def logme_case(*args, **kwargs):
    x, y = data(*args, **kwargs)
    return dict(columns=x.shape[1], x=np.round(x.astype(float), 3).ravel().tolist(), labels=y.tolist(), logme=logme(x, y))


def loo_case(*args, alphas, **kwargs):
    x, y = data(*args, **kwargs)
    target = np.eye(y.max() + 1)[y]
    predict = lambda a: cross_val_predict(Ridge(alpha=a, solver="svd"), x.astype(np.float64), target, cv=LeaveOneOut())
    return dict(
        columns=x.shape[1],
        x=np.round(x.astype(float), 3).ravel().tolist(),
        labels=y.tolist(),
        alphas=alphas,
        predictions=[predict(a).ravel().tolist() for a in alphas],
    )


golden = {
    "logme": [
        logme_case(1, 80, 6, 2),
        logme_case(2, 90, 12, 5, shift=2.0),
        logme_case(3, 20, 35, 3),
        logme_case(4, 25, 25, 2, shift=-1.0),
        logme_case(5, 200, 3, 7),
    ],
    "loo": [
        loo_case(6, 40, 5, 2, alphas=[0.01, 1.0, 100.0]),
        loo_case(7, 30, 8, 4, shift=3.0, alphas=[0.1, 10.0]),
        loo_case(8, 20, 40, 3, shift=1.0, alphas=[0.1, 10.0]),
    ],
}
pathlib.Path(__file__).with_name("rank.json").write_text(json.dumps(golden))
