"""Small pairs of domains that the golden scripts of this folder share."""

import numpy as np


def pair(seed, ns, nt, d, k, constant=False):
    """Source rows, their classes, target rows, their classes: other means, other covariance, other shares of the classes."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.normal(size=(k, d))
    ys = np.concatenate([np.arange(k), rng.integers(0, k, ns - k)])
    yt = np.minimum(rng.geometric(0.5, nt) - 1, k - 1)
    turn = np.eye(d) + 0.3 * rng.normal(size=(d, d))
    xs = centres[ys] + rng.normal(size=(ns, d))
    xt = (centres[yt] + rng.normal(size=(nt, d))) @ turn + rng.normal(size=d)
    if constant:
        xs[:, 1] = 0.5
        xt[:, 1] = 0.25
    # Three decimals, rounded as f32 holds them.
    return np.round(xs, 3).astype(np.float32), ys, np.round(xt, 3).astype(np.float32), yt


def listed(xs, ys, xt):
    """A pair for JSON; f32 values print so that they read back as the same f32."""
    floats = lambda x: [float(str(v)) for v in x.ravel()]
    return {"columns": xs.shape[1], "source": floats(xs), "labels": ys.tolist(), "target": floats(xt)}
