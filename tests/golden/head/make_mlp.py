"""Writes mlp.json: loss and gradient of scikit-learn's MLPClassifier, and logits with torch's tanh GELU formula in numpy.

    pip install scikit-learn==1.9.1 numpy
    python make_mlp.py
"""

import json
import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

rng = np.random.default_rng(4)
rows, columns, width, classes = 8, 6, 5, 3
x = rng.normal(size=(rows, columns))
labels = np.arange(rows) % classes
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    model = MLPClassifier((width,), activation="relu", alpha=0, max_iter=1, batch_size=rows).fit(x, labels)
model.coefs_ = [rng.normal(size=(columns, width)), rng.normal(size=(width, classes))]
model.intercepts_ = [rng.normal(size=width), rng.normal(size=classes)]
onehot = np.eye(classes)[labels]
deltas = [None] * 2
coefs, intercepts = [np.empty_like(w) for w in model.coefs_], [np.empty_like(b) for b in model.intercepts_]
activations = [x, np.empty((rows, width)), np.empty((rows, classes))]
loss, coefs, intercepts = model._backprop(x, onehot, None, activations, deltas, coefs, intercepts)

z = x @ model.coefs_[0] + model.intercepts_[0]
gelu = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
logits = gelu @ model.coefs_[1] + model.intercepts_[1]
flat = lambda a: np.asarray(a).ravel().tolist()
with open("mlp.json", "w") as file:
    json.dump(
        {
            "x": flat(x),
            "labels": labels.tolist(),
            "hidden": flat(model.coefs_[0]),
            "hidden_bias": flat(model.intercepts_[0]),
            "output": flat(model.coefs_[1]),
            "output_bias": flat(model.intercepts_[1]),
            "relu_loss": float(loss),
            "relu_gradient": flat(coefs[0]) + flat(intercepts[0]) + flat(coefs[1]) + flat(intercepts[1]),
            "gelu_logits": flat(logits),
        },
        file,
    )
print(f"loss {loss}")
