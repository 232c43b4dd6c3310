"""Writes tsne.json: scikit-learn's TSNE of every third row of optdigits, and how well it keeps neighbourhoods.

    pip install scikit-learn==1.9.1 numpy
    python make_tsne.py

It sees what engraft's sees: the first 50 principal components, perplexity 30, a start from the first two. `kl` is the divergence of
all pairs in f64 for that embedding, with scikit-learn's own joint probabilities; its `kl_divergence_` leaves far pairs out.
"""

import json

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _joint_probabilities
from sklearn.metrics import pairwise_distances
from scipy.spatial.distance import squareform

x = load_digits().data[::3]
scores = PCA(50, svd_solver="full").fit_transform(x)
embedding = TSNE(perplexity=30, init="pca", random_state=0).fit_transform(scores).astype(np.float64).round(4)
p = squareform(_joint_probabilities(pairwise_distances(scores, squared=True).astype(np.float32), 30, 0))
q = 1 / (1 + pairwise_distances(embedding, squared=True))
np.fill_diagonal(q, 0)
q /= q.sum()
apart = ~np.eye(len(x), dtype=bool) & (p > 0)
golden = {
    "embedding": embedding.tolist(),
    "kl": float((p[apart] * np.log(p[apart] / q[apart])).sum()),
    "trustworthiness": trustworthiness(scores, embedding, n_neighbors=12),
}
with open("tsne.json", "w") as file:
    json.dump(golden, file, separators=(",", ":"))
    file.write("\n")
print(golden["kl"], golden["trustworthiness"])
