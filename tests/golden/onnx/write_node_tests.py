"""Writes the models of the onnx package's own operator tests, with their inputs, into the folder given: <name>/model.onnx and
<name>/input_0.pb and so on, as the package keeps its other test models. Run by tests/onnx_models.rs with onnx 1.23.2.
"""

import pathlib
import sys

from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

out = pathlib.Path(sys.argv[1])
for case in collect_testcases(None):
    inputs, _ = case.data_sets[0]
    declared = case.model.graph.input[: len(inputs)]
    # Sequences, maps and optionals are not fed by the tests.
    if len(declared) < len(inputs) or not all(value.type.HasField("tensor_type") for value in declared):
        continue
    folder = out / case.name
    (folder / "test_data_set_0").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for i, (value, tensor) in enumerate(zip(declared, inputs)):
        if not isinstance(tensor, TensorProto):
            tensor = numpy_helper.from_array(tensor, value.name)
        (folder / "test_data_set_0" / f"input_{i}.pb").write_bytes(tensor.SerializeToString())
