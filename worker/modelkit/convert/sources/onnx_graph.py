"""An ONNX graph to read from: who makes each tensor, which tensors are constant, and how to walk up from one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
Found = TypeVar("Found")

SAME_VALUES = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators whose output holds the values of their first input, in the same order."""
MOVES = SAME_VALUES | {"Expand", "Gather", "Slice", "Tile", "Transpose"}
"""Operators that move the values of their first input about, and change none."""
_ARITHMETIC = frozenset({"Abs", "Add", "Div", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub", "Sum"})
ELEMENTWISE = _ARITHMETIC | {"Cast", "Clip", "Erf", "Exp", "Gelu", "Identity", "Relu", "Sigmoid", "Tanh", "Where"}
"""Operators that compute each value by itself."""
_STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Walk(Generic[Found]):
    """What a walk towards the inputs met."""

    found: list[Found]
    """What it was looking for, nearest first."""
    nodes: list[onnx.NodeProto]
    """What lay between, nearest first."""
    ends: list[str]
    """Tensors, neither found nor constant, that it could not go on from."""


class OnnxGraph:
    """Reads one graph; constants are folded as far as weights and shapes of real exports need it.

    Raises ValueError, TypeError or KeyError for a model whose tensors are not sound.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self._nodes = {name: node for node in model.graph.node for name in node.output if name}
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.inputs = [value for value in model.graph.input if value.name not in self._constants]
        self._input_names = {value.name for value in self.inputs}
        for node in model.graph.node:  # in the order of the data, so that one pass is enough
            self._fold(node)

    def operator(self, name: str) -> str:
        """The operator that makes `name`, with its domain unless that is ONNX's own; empty for inputs and constants."""
        node = self.node(name)
        return "" if node is None else operator_of(node)

    def node(self, name: str) -> onnx.NodeProto | None:
        """The node that makes `name`; None for inputs and constants."""
        return None if name in self._constants else self._nodes.get(name)

    def constant(self, name: str) -> Array | None:
        """The value of `name` where it does not depend on the inputs."""
        return self._constants.get(name)

    def is_input(self, name: str) -> bool:
        """Whether `name` is an input of the graph."""
        return name in self._input_names

    def operands(self, node: onnx.NodeProto) -> tuple[list[str], list[str]]:
        """The inputs of `node` that depend on the graph's inputs, and those that are constant."""
        names = [name for name in node.input if name]
        return [name for name in names if name not in self._constants], [
            name for name in names if name in self._constants
        ]

    def unwrap(self, name: str) -> str:
        """The tensor that `name` has its values from, behind casts and changes of shape."""
        while (node := self.node(name)) is not None and operator_of(node) in SAME_VALUES:
            name = node.input[0]
        return name

    def walk(self, start: str, match: Callable[[str], Found | None], through: frozenset[str]) -> Walk[Found]:
        """Walk from `start` towards the inputs, through the operators `through`, up to all tensors that `match`."""
        found: list[Found] = []
        nodes: list[onnx.NodeProto] = []
        ends: list[str] = []
        queue, seen = deque([start]), {start}
        while queue:
            name = queue.popleft()
            match_here = match(name)
            if match_here is not None:
                found.append(match_here)
                continue
            node = self.node(name)
            if node is None or operator_of(node) not in through:
                ends.append(name)
                continue
            nodes.append(node)
            sources = node.input[:1] if operator_of(node) in MOVES else self.operands(node)[0]
            for source in sources:
                if source not in seen:
                    seen.add(source)
                    queue.append(source)
        return Walk(found, nodes, ends)

    def _fold(self, node: onnx.NodeProto) -> None:
        fold = _FOLDS.get(operator_of(node))
        if fold is None or any(name and name not in self._constants for name in node.input):
            return
        value = fold(attributes_of(node), [self._constants[name] for name in node.input if name])
        if value is not None:
            self._constants[node.output[0]] = value


def operator_of(node: onnx.NodeProto) -> str:
    """``MatMul``, or ``com.microsoft.FastGelu``."""
    return node.op_type if node.domain in _STANDARD_DOMAINS else f"{node.domain}.{node.op_type}"


def listed(names: Iterable[str]) -> str:
    """Names that a file has made up, for a message of one line."""
    clean = ["".join(character for character in name if character.isprintable())[:80] for name in sorted(set(names))]
    return ", ".join(clean[:8]) + (", ..." if len(clean) > 8 else "")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of `node` by name; tensors are arrays."""
    return {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}


def _plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _constant(attributes: Mapping[str, Any], _: Sequence[Array]) -> Array | None:
    value = next(iter(attributes.values()), None)
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, float) or (isinstance(value, list) and any(isinstance(item, float) for item in value)):
        return np.asarray(value, dtype=np.float32)
    return np.asarray(value, dtype=np.int64) if isinstance(value, int | list) else None


def _cast(attributes: Mapping[str, Any], operands: Sequence[Array]) -> Array:
    return operands[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"]), copy=False)


def _reshape(attributes: Mapping[str, Any], operands: Sequence[Array]) -> Array:
    value, target = operands
    keeps = not attributes.get("allowzero", 0)
    return value.reshape(
        [value.shape[axis] if size == 0 and keeps else int(size) for axis, size in enumerate(target.tolist())]
    )


def _axes(attributes: Mapping[str, Any], operands: Sequence[Array]) -> tuple[int, ...] | None:
    """An attribute up to opset 12, an input from 13 on."""
    if len(operands) > 1:
        return tuple(int(axis) for axis in operands[1].ravel())
    return tuple(attributes["axes"]) if "axes" in attributes else None


_FOLDS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Array]], Array | None]] = {
    "Constant": _constant,
    "Identity": lambda _, operands: operands[0],
    "Cast": _cast,
    "Transpose": lambda attributes, operands: np.transpose(operands[0], attributes.get("perm")),
    "Reshape": _reshape,
    "Squeeze": lambda attributes, operands: np.squeeze(operands[0], _axes(attributes, operands)),
    "Unsqueeze": lambda attributes, operands: np.expand_dims(operands[0], _axes(attributes, operands) or ()),
    "Add": lambda _, operands: operands[0] + operands[1],
    "Sub": lambda _, operands: operands[0] - operands[1],
    "Mul": lambda _, operands: operands[0] * operands[1],
    "Neg": lambda _, operands: -operands[0],
    "Sqrt": lambda _, operands: np.sqrt(operands[0]),
}
