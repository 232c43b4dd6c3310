"""Writes gradients.json: the gradients of whole tails by PyTorch's autograd, in float64.

    python make_gradients.py FOLDER

FOLDER/<name>/model.onnx are the backbones as engraft keeps them. The tail is run by PyTorch's own operators, node by node, on
inputs that are written down by a formula; the gradients are those of sum(output * cos(position)) by every constant of several
floats that a node of the tail reads. Of each gradient its length, its greatest value, its sum with cos(position) and eight
values are kept. Made with Python 3.11, torch 2.15.0, onnx 1.23.2, numpy 2.4.6.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

MASK = [1, 1, 1, 1, 1, 1, 1, 0] + [1] * 8
TAILS = [
    ("all-minilm-l6-v2", "layer5", "last_hidden_state", [2, 8, 384], 1.0),
    ("efficientnet-lite0", "block13/add", "features", [2, 192, 7, 7], 2.0),
    ("vit-s14", "/backbone/encoder/layer.10/Add_1_output_0", "cls", [2, 257, 384], 2.0),
]


def values(count, scale=1.0, step=0.37):
    """Rounded to f32, as the tail is given them."""
    return torch.from_numpy((scale * np.sin(step * np.arange(count))).astype(np.float32)).double()


def convolution(x, w, b, *, pads, strides, group, kernel_shape):
    assert list(w.shape[2:]) == kernel_shape
    top, left, bottom, right = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, strides, groups=group)


def gathered(x, index, *, axis=0):
    chosen = x.index_select(axis, index.reshape(-1) % x.shape[axis])
    return chosen.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


def reshaped(x, shape, *, allowzero=0):
    return x.reshape([x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(shape.tolist())])


def unsqueezed(x, axes):
    for axis in sorted(axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def cast(x, *, to):
    assert to == onnx.TensorProto.FLOAT
    return x.double()


OPERATORS = {
    "Add": torch.add,
    "Cast": cast,
    "Clip": torch.clamp,
    "Concat": lambda *x, axis: torch.cat(x, axis),
    "Conv": convolution,
    "Div": torch.div,
    "Erf": torch.erf,
    "Flatten": lambda x, axis=1: x.flatten(axis),
    "Gather": gathered,
    "Gemm": lambda x, w, b, transB: F.linear(x, w if transB else w.T, b),
    "GlobalAveragePool": lambda x: x.mean(dim=(2, 3), keepdim=True),
    "LayerNormalization": lambda x, w, b, axis, epsilon: F.layer_norm(x, x.shape[axis:], w, b, epsilon),
    "MatMul": torch.matmul,
    "Mul": torch.mul,
    "Pow": torch.pow,
    "ReduceMean": lambda x, axes, keepdims=1: x.mean(dim=axes, keepdim=bool(keepdims)),
    "Reshape": reshaped,
    "Shape": lambda x: torch.tensor(x.shape),
    "Softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Transpose": lambda x, perm: x.permute(*perm),
    "Unsqueeze": unsqueezed,
}


def tensor(proto):
    value = torch.from_numpy(numpy_helper.to_array(proto).copy())
    return value.double() if value.is_floating_point() else value


def tail(graph, cut, target, inputs):
    """The nodes that the target needs and that nothing before the cut or the inputs gives."""
    known, needed, nodes = {cut, *inputs}, {target}, []
    for node in reversed(graph.node):
        if any(output in needed and output not in known for output in node.output):
            needed.update(node.input)
            nodes.append(node)
    return nodes[::-1]


def gradients(model, cut, target, shape, scale):
    graph = model.graph
    fed = {cut: values(int(np.prod(shape)), scale).reshape(shape)}
    for port in graph.input:
        # Of texts the mask is read, and of the ids only how many there are; images are behind the cut.
        if port.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            fed[port.name] = torch.tensor(MASK if port.name == "attention_mask" else [7] * 16).reshape(2, 8)
    nodes = tail(graph, cut, target, fed)
    known = {proto.name: tensor(proto) for proto in graph.initializer}
    read = {name for node in nodes for name in node.input}
    weights = [n for n, v in known.items() if n in read and v.is_floating_point() and v.numel() > 1]
    for name in weights:
        known[name].requires_grad_()
    known.update(fed)
    for node in nodes:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            known[node.output[0]] = tensor(attributes["value"])
            continue
        arguments = [known[name] if name else None for name in node.input]
        known[node.output[0]] = OPERATORS[node.op_type](*arguments, **attributes)
    output = known[target]
    (output * torch.cos(torch.arange(output.numel()).double()).reshape(output.shape)).sum().backward()
    return {name: told(known[name].grad.flatten()) for name in weights if known[name].grad is not None}


def told(gradient):
    n = gradient.numel()
    places = sorted({7919 * k % n for k in range(8)})
    return {
        "size": n,
        "length": gradient.norm().item(),
        "greatest": gradient.abs().max().item(),
        "with_cosines": (gradient * torch.cos(torch.arange(n).double())).sum().item(),
        "values": [[place, gradient[place].item()] for place in places],
    }


def main():
    folder, result = Path(sys.argv[1]), {}
    for name, cut, target, shape, scale in TAILS:
        model = onnx.load(folder / name / "model.onnx")
        found = gradients(model, cut, target, shape, scale)
        result[name] = {"cut": cut, "target": target, "shape": shape, "scale": scale, "gradients": found}
    result = {"author": f"PyTorch {torch.__version__.split('+')[0]}", "mask": MASK, "tails": result}
    text = json.dumps(result, indent=None, separators=(",", ":")).replace('},"', '},\n"')
    (Path(__file__).parent / "gradients.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
