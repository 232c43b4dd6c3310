# pip install onnx==1.23.2 numpy==2.4.6
"""A small model with all that graph surgery has to follow: an inner graph, a function, sparse and external tensors."""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

value = helper.make_tensor_value_info
branch = helper.make_graph(
    [helper.make_node("Add", ["x", "w"], ["then"])], "then", [], [value("then", TensorProto.FLOAT, [2])])
other = helper.make_graph([helper.make_node("Identity", ["x"], ["else"])], "else", [], [value("else", TensorProto.FLOAT, [2])])
sparse = helper.make_sparse_tensor(
    numpy_helper.from_array(np.ones(1, np.float32), "s"), numpy_helper.from_array(np.zeros(1, np.int64)), [2])
external = TensorProto(name="e", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
external.external_data.add(key="location", value="e.bin")
graph = helper.make_graph(
    [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=other),
     helper.make_node("Twice", ["y"], ["z"], domain="own")],
    "main",
    [value("x", TensorProto.FLOAT, ["n"]), value("c", TensorProto.BOOL, [])],
    [value("z", TensorProto.FLOAT, None)],
    [numpy_helper.from_array(np.ones(2, np.float32), "w"), helper.make_tensor("v", TensorProto.FLOAT, [2], [1.0, 2.0]), external],
    sparse_initializer=[sparse])
twice = helper.make_function(
    "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)])
model = helper.make_model(graph, functions=[twice], opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])
onnx.save(model, pathlib.Path(__file__).parent / "branches.onnx")
