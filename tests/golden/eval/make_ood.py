"""Writes the references of out-of-distribution scores: pytorch-ood for energy, k-NN and ViM in double precision where it
allows, scikit-learn's Ledoit-Wolf covariance for Mahalanobis.

    pip install pytorch-ood==0.4.0 torch scikit-learn==1.9.1 numpy
    python make_ood.py
"""

import json

import numpy as np
import torch
from pytorch_ood.detector import KNN, EnergyBased, ViM
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(4)
N, D, K, DIM, NEAR = 60, 8, 3, 4, 5


def single(x):
    return np.round(x, 3).astype(np.float32).astype(np.float64)


y = rng.integers(0, K, N)
centers = rng.normal(size=(K, D)) * 2
mix = rng.normal(size=(D, D)) * np.linspace(1.5, 0.1, D)
x = single(centers[y] + rng.normal(size=(N, D)) @ mix.T * 0.5)
w, b = single(rng.normal(size=(D, K))), single(rng.normal(size=K))
new = single(np.concatenate([centers[rng.integers(0, K, 15)] + rng.normal(size=(15, D)), rng.normal(size=(15, D)) * 4]))
logits = (new @ w + b).astype(np.float32).astype(np.float64)

energy = -logsumexp(logits, axis=1)
assert np.allclose(energy, EnergyBased(None).predict_logits(torch.tensor(logits)).numpy())

means = np.stack([x[y == c].mean(axis=0) for c in range(K)])
precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(x - means[y]).covariance_)
difference = new[:, None] - means[None]
mahalanobis = np.einsum("nkd,de,nke->nk", difference, precision, difference).min(axis=1)

knn = KNN(None, k=NEAR).fit_features(torch.tensor(x), torch.tensor(y)).predict_features(torch.tensor(new)).numpy()

# The paper's formulas in f64; pytorch-ood has them in f32.
origin = -np.linalg.pinv(w.T) @ b
centered = x - origin
rest = np.linalg.eigh(centered.T @ centered / N)[1][:, : D - DIM]
alpha = (x @ w + b).max(axis=1).mean() / np.linalg.norm(centered @ rest, axis=1).mean()
vim = alpha * np.linalg.norm((new - origin) @ rest, axis=1) + energy
peer = ViM(None, d=DIM, w=torch.tensor(w.T), b=torch.tensor(b)).fit_features(torch.tensor(x), torch.tensor(y))
assert np.allclose(vim, peer.predict_features(torch.tensor(new)).numpy(), rtol=1e-3, atol=1e-3)

known, strange = np.round(rng.normal(size=50), 1), np.round(rng.normal(1.5, 1, size=40), 1)
auroc = roc_auc_score(np.repeat([0, 1], [50, 40]), np.concatenate([known, strange]))
fpr = (strange <= np.quantile(known, 0.95)).mean()
scores = [("energy", energy), ("mahalanobis", mahalanobis), ({"knn": {"k": NEAR}}, knn), ({"vim": {"dimension": DIM}}, vim)]
with open("ood.json", "w") as file:
    json.dump(
        {
            "features": x.tolist(),
            "labels": y.tolist(),
            "weights": w.tolist(),
            "intercepts": b.tolist(),
            "new": new.tolist(),
            "new_logits": logits.tolist(),
            "scores": [{"score": score, "values": values.tolist()} for score, values in scores],
            "known": known.tolist(),
            "strange": strange.tolist(),
            "auroc": float(auroc),
            "fpr95": float(fpr),
        },
        file,
    )
