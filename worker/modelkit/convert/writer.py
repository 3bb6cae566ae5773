"""Writing an ONNX graph node by node, each initialiser once however often it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

MICROSOFT = "com.microsoft"
OPSET = 17
"""Old enough for every ONNX Runtime that the worker allows; new enough for what the graph uses."""
IR_VERSION = 8


class GraphWriter:
    """Collects nodes and initialisers; `model` makes a checked ONNX model of them."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initialisers: dict[str, onnx.TensorProto] = {}
        self._halves: set[str] = set()

    def initialiser(self, name: str, value: npt.NDArray[Any]) -> str:
        """Store `value` under `name`, unless it is there already; answers `name`.

        Raises ValueError where another value has that name: sharing must never change a weight.
        """
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        known = self._initialisers.setdefault(name, tensor)
        if known is not tensor and known != tensor:
            raise ValueError(f"two initialisers are called {name}: this is a bug")
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            self._halves.add(name)
        return name

    def is_half(self, name: str) -> bool:
        """Whether the value `name` is in float16."""
        return name in self._halves

    def cast(self, name: str, dtype: type[np.floating[Any]]) -> str:
        """The value `name` in `dtype`."""
        return self.node("Cast", [name], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def node(self, operator: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output; answers the output's name. An empty input name leaves that input out."""
        return self.nodes(operator, inputs, 1, domain=domain, **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], outputs: int, *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Append a node with several outputs; answers their names."""
        name = f"{operator}_{len(self._nodes)}"
        names = [name if index == 0 else f"{name}:{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(operator, _trimmed(inputs), names, name, domain=domain, **attributes))
        # Every operator that is written here puts out floats of the type of its first input, but for Cast.
        half = attributes["to"] == onnx.TensorProto.FLOAT16 if operator == "Cast" else self.is_half(inputs[0])
        if half:
            self._halves.update(names)
        return names

    def rename(self, name: str, new_name: str) -> None:
        """Give the output of the latest node that is called `name` another name."""
        node = self._nodes[-1]
        if list(node.output) != [name]:
            raise ValueError(f"{name} is not the output of the latest node: this is a bug")
        node.output[0] = new_name

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        *,
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """The finished model; raises onnx's checker errors where the graph is not sound."""
        used = {name for node in self._nodes for name in node.input}
        initialisers = [tensor for name, tensor in self._initialisers.items() if name in used]
        graph = helper.make_graph(self._nodes, "albert", inputs, outputs, initialisers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="reviews-worker", ir_version=IR_VERSION)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model


def tensor_info(name: str, dtype: type[np.generic], dimensions: Sequence[str | int]) -> onnx.ValueInfoProto:
    """An input or output of the graph; a dimension that is a string is free."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, element, list(dimensions))


def _trimmed(inputs: Sequence[str]) -> list[str]:
    names = list(inputs)
    while names and not names[-1]:
        names.pop()
    return names
