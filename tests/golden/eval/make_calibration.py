"""Writes the references of calibration, by the calibrators inside scikit-learn's CalibratedClassifierCV.

    pip install scikit-learn==1.9.1 scipy numpy
    python make_calibration.py

scikit-learn stops its sigmoids at a gradient of 1e-6: its optimum is polished by scipy on the same loss.
"""

import json

import numpy as np
from scipy.optimize import root
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression

rng = np.random.default_rng(2)


def sigmoid(z, t):
    own = _SigmoidCalibration().fit(z, t)
    target = np.where(t > 0, (t.sum() + 1) / (t.sum() + 2), 1 / ((1 - t).sum() + 2))
    size = np.abs(z).max()
    gradient = lambda ab: [((expit(ab[0] * z / size + ab[1]) - target) * z / size).sum(),
                           (expit(ab[0] * z / size + ab[1]) - target).sum()]
    solved = root(gradient, [-own.a_ * size, -own.b_], tol=1e-14)
    a, b = solved.x[0] / size, solved.x[1]
    assert np.abs(gradient(solved.x)).max() < 1e-11
    assert np.abs(expit(a * z + b) - own.predict(z)).max() < 1e-4
    return a, b


def case(n, k, strength, scale, digits):
    y = rng.integers(0, k, n)
    z = rng.normal(size=(n + 20, k))
    z[np.arange(n), y] += strength
    z = np.round(z * scale, digits).astype(np.float32).astype(np.float64)
    z, new = z[:n], z[n:]
    decide = (lambda z: (z[:, 1] - z[:, 0])[:, None]) if k == 2 else (lambda z: z)
    targets = [(y == c).astype(float) for c in ([1] if k == 2 else range(k))]

    def whole(columns):
        p = np.stack(columns, axis=1)
        if k == 2:
            return np.hstack([1 - p, p])
        total = p.sum(axis=1, keepdims=True)
        return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / k)

    temperature = _TemperatureScaling().fit(z, y)
    sigmoids = [sigmoid(d, t) for d, t in zip(decide(z).T, targets)]
    isotonic = [IsotonicRegression(out_of_bounds="clip").fit(d, t) for d, t in zip(decide(z).T, targets)]
    return {
        "logits": z.tolist(),
        "labels": y.tolist(),
        "new_logits": new.tolist(),
        "inverse_temperature": float(temperature.beta_),
        "temperature": temperature.predict(new).tolist(),
        "sigmoids": [[float(a), float(b)] for a, b in sigmoids],
        "platt": whole([expit(a * d + b) for (a, b), d in zip(sigmoids, decide(new).T)]).tolist(),
        "isotonic": whole([m.predict(d) for m, d in zip(isotonic, decide(new).T)]).tolist(),
    }


cases = [case(80, 2, 1.0, 3.0, 3), case(120, 4, 1.5, 2.0, 3), case(100, 3, 1.0, 50.0, 0), case(60, 3, 1.0, 0.5, 1)]
with open("calibration.json", "w") as file:
    json.dump(cases, file)
