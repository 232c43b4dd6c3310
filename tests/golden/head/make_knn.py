"""Writes knn.json: the weighted k-NN vote of DINO's eval_knn.py (Caron et al. 2021) on rows of digits.bin.gz.

    pip install scikit-learn==1.9.1 numpy
    python make_knn.py

`vote` is that script's rule line by line, torch's topk and scatter_ written in numpy and f64.
"""

import json

import numpy as np
from sklearn.datasets import load_digits

T = 0.07
digits = load_digits()
train, test = list(range(0, 1797, 4)), list(range(1, 1797, 60))


def normalize(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def vote(similarity, labels, k):
    indices = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(similarity, indices, axis=1)
    retrieved_neighbors = labels[indices]
    retrieval_one_hot = np.eye(10)[retrieved_neighbors]
    distances_transform = np.exp(distances / T)
    probs = np.sum(retrieval_one_hot * distances_transform[:, :, None], axis=1)
    return probs, probs.argmax(axis=1)


x, y = normalize(digits.data[train]), digits.target[train]
cases = []
for k in [1, 10, 100]:
    probs, predicted = vote(normalize(digits.data[test]) @ x.T, y, k)
    probabilities = probs / probs.sum(axis=1, keepdims=True)
    cases.append({"neighbours": k, "predicted": predicted.tolist(), "probabilities": probabilities.ravel().tolist()})
own = x @ x.T
np.fill_diagonal(own, -np.inf)
leave_one_out = [[k, float((vote(own, y, k)[1] == y).mean())] for k in [10, 20, 100, 200]]
print(leave_one_out)
with open("knn.json", "w") as file:
    json.dump({"train": train, "test": test, "cases": cases, "leave_one_out": leave_one_out}, file)
