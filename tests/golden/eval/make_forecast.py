"""Writes the references of the learning curve, by scipy.optimize.curve_fit with bounds.

    pip install scipy==1.17.1 numpy
    python make_forecast.py
"""

import json

import numpy as np
from scipy.optimize import curve_fit

rng = np.random.default_rng(5)


def law(n, c, a, b):
    return c + a * n**-b


def case(c, a, b, noise, repeats, weighted):
    n = np.repeat([1.0, 2, 4, 8, 16, 32, 64], repeats)
    sigma = noise / np.sqrt(n) if weighted else np.full(len(n), noise)
    error = np.round(np.maximum(law(n, c, a, b) + sigma * rng.normal(size=len(n)), 0), 6)
    weight = 1 / sigma**2 if weighted else np.ones(len(n))
    bounds = ([0, 0, 0.01], [np.inf, np.inf, 4])
    fits = [
        curve_fit(law, n, error, p0=[0.01, 0.5, start], sigma=weight**-0.5, bounds=bounds,
                  xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=100000)[0]
        for start in [0.1, 0.5, 1.5]
    ]
    loss = lambda p: (weight * (error - law(n, *p)) ** 2).sum()
    best = min(fits, key=loss)
    if best[0] < 1e-6:  # on the bound, which an interior method only nears
        two = curve_fit(lambda n, a, b: law(n, 0, a, b), n, error, p0=best[1:], sigma=weight**-0.5,
                        xtol=1e-15, ftol=1e-15, gtol=1e-15)[0]
        assert loss([0, *two]) <= loss(best) * (1 + 1e-9)
        best = np.array([0, *two])
    return {
        "points": [{"n": s, "error": e, "weight": w} for s, e, w in zip(n.tolist(), error.tolist(), weight.tolist())],
        "floor": float(best[0]),
        "scale": float(best[1]),
        "exponent": float(best[2]),
        "ahead": [[float(m), float(law(m, *best))] for m in [128.0, 256.0]],
    }


cases = [case(0.08, 0.6, 0.7, 0.01, 3, False), case(0.05, 0.5, 0.5, 0.02, 3, True), case(0.0, 0.7, 0.3, 0.01, 2, False),
         case(-0.1, 0.8, 0.4, 0.005, 2, False)]
with open("forecast.json", "w") as file:
    json.dump(cases, file)
