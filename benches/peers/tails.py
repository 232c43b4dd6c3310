"""What PyTorch needs for a step forwards and backwards through the tail of a backbone: one line of JSON.

    python benches/peers/tails.py MODEL.onnx STEPS

MODEL.onnx is all-minilm-l6-v2 (one layer, 16 × 128 tokens, written with PyTorch's fused operators) or efficientnet-lite0 (what is behind
block13/add, node by node, which for convolutions is the same). Two threads; wall and processor seconds a step, peak memory in MiB.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/golden/tune"))
import make_gradients

BATCH, TOKENS, WIDTH, HEADS, INNER = 16, 128, 384, 12, 1536


class Layer(torch.nn.Module):
    """One of BERT's."""

    def __init__(self):
        super().__init__()
        linear = torch.nn.Linear
        self.query, self.key, self.value, self.out = (linear(WIDTH, WIDTH) for _ in range(4))
        self.inner, self.outer = linear(WIDTH, INNER), linear(INNER, WIDTH)
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))

    def forward(self, x, mask):
        heads = lambda x: x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)
        attended = F.scaled_dot_product_attention(heads(self.query(x)), heads(self.key(x)), heads(self.value(x)), mask)
        x = self.norms[0](x + self.out(attended.transpose(1, 2).reshape(x.shape)))
        return self.norms[1](x + self.outer(F.gelu(self.inner(x))))


def transformer():
    layer, x = Layer(), wave([BATCH, TOKENS, WIDTH])
    mask = torch.zeros(BATCH, 1, 1, TOKENS)
    return list(layer.parameters()), lambda: layer(x, mask)


def convolution(x, w, b, *, pads, strides, group, kernel_shape):
    assert pads[:2] == pads[2:]
    return F.conv2d(x, w, b, strides, pads[:2], groups=group)


def convolutional(graph):
    from onnx import helper

    cut, target = "block13/add", "features"
    nodes = make_gradients.tail(graph, cut, target, [])
    read = {name for node in nodes for name in node.input}
    known = {proto.name: make_gradients.tensor(proto) for proto in graph.initializer if proto.name in read}
    known = {name: value.float() if value.is_floating_point() else value for name, value in known.items()}
    weights = [value.requires_grad_() for value in known.values() if value.is_floating_point() and value.numel() > 1]
    operators = {**make_gradients.OPERATORS, "Conv": convolution}
    steps = [(operators[n.op_type], n.input, n.output[0], {a.name: helper.get_attribute_value(a) for a in n.attribute}) for n in nodes]
    x = wave([BATCH, 192, 7, 7])

    def forward():
        at = {**known, cut: x}
        for operator, inputs, output, attributes in steps:
            at[output] = operator(*(at[name] if name else None for name in inputs), **attributes)
        return at[target]

    return weights, forward


def wave(shape, step=0.37):
    count = torch.Size(shape).numel()
    return torch.sin(step * torch.arange(count).double()).float().reshape(shape)


def main():
    import onnx

    torch.set_num_threads(2)
    model, steps = sys.argv[1], int(sys.argv[2])
    weights, forward = transformer() if "minilm" in model else convolutional(onnx.load(model).graph)

    seed = wave(forward().shape, 1.0)

    def step():
        gradients = torch.autograd.grad(forward(), weights, seed)
        assert len(gradients) == len(weights)

    for _ in range(2):
        step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    wall, cpu = (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
