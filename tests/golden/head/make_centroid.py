"""Writes centroid.json: nearest centroids by scikit-learn on digits.bin.gz.

    pip install scikit-learn==1.9.1 numpy
    python make_centroid.py
"""

import json

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid

digits = load_digits()
x, y = digits.data, digits.target
euclidean = NearestCentroid().fit(x, y)
unit = x / np.linalg.norm(x, axis=1, keepdims=True)
# The nearest of unit centroids is the one of the greatest cosine.
means = NearestCentroid().fit(unit, y).centroids_
prototypes = means / np.linalg.norm(means, axis=1, keepdims=True)
cosine = NearestCentroid().fit(prototypes, np.arange(10))
rows = list(range(0, 1797, 180))
distances = np.linalg.norm(x[rows][:, None] - euclidean.centroids_[None], axis=2)
for name, table in [("euclidean", np.linalg.norm(x[:, None] - euclidean.centroids_[None], axis=2)), ("cosine", unit @ prototypes.T)]:
    ordered = np.sort(table, axis=1)
    gaps = ordered[:, 1] - ordered[:, 0] if name == "euclidean" else ordered[:, -1] - ordered[:, -2]
    print(f"{name}: smallest margin {gaps.min():.1e}")
with open("centroid.json", "w") as file:
    json.dump(
        {
            "euclidean": euclidean.predict(x).tolist(),
            "cosine": cosine.predict(unit).tolist(),
            "centroids": euclidean.centroids_.ravel().tolist(),
            "rows": rows,
            "distances": distances.ravel().tolist(),
        },
        file,
    )
