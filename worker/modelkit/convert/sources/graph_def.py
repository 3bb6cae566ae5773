"""What TensorFlow's graph says of an ALBERT: the figures that its weights do not show, and names for its variables.

Spark NLP's ``saved_model.pb`` is no SavedModel but a bare ``GraphDef`` (node = 1, library = 2). The computation stands
in the functions of its library, several times over; the largest one has all of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.cursor import Bytes
from worker.modelkit.convert.sources.protobuf import Message

_ACTIVATIONS = {"Tanh": "gelu_new", "Erf": "gelu", "Relu": "relu"}
"""The operator that only this activation has; Hugging Face's TensorFlow code writes them out like this."""
_LAYER = re.compile(r"(?:^|/)albert_layer_groups_\._(\d{1,4})/albert_layers_\._(\d{1,4})/(.+)$")
_SOFTMAX = re.compile(r"attention/Softmax(_\d+)?")
_HEADS = "attention/Reshape/shape/2"
_EPSILON = "/batchnorm/add/y"
_DEFAULT_EPSILON = 1e-12
_INT32, _FLOAT32 = 3, 1


@dataclass(frozen=True)
class GraphFacts:
    """By the names of Hugging Face's ``config.json``."""

    num_hidden_layers: int
    num_hidden_groups: int
    inner_group_num: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float


class Graph:
    """A ``GraphDef``. `where` names its file; every method raises `CheckpointError` for one that is no ALBERT's."""

    def __init__(self, data: Bytes, where: str) -> None:
        self._where = where
        self._graph = Message(data, where)
        self._functions = self._graph.message(2).messages(1)

    def facts(self) -> GraphFacts:
        """Read the largest function: a softmax for each layer that is computed, and constants for the rest."""
        layers: Counter[tuple[int, int]] = Counter()
        operators: Counter[str] = Counter()
        heads, epsilons = set(), set()
        for node in self._largest_function():
            if node.name.endswith(_EPSILON) and node.operator == "Const":
                epsilons.add(node.number())
            place = _LAYER.search(node.name)
            if place is None:
                continue
            operators[node.operator] += 1
            if node.operator == "Softmax" and _SOFTMAX.fullmatch(place[3]):
                layers[int(place[1]), int(place[2])] += 1
            elif place[3] == _HEADS and node.operator == "Const":
                heads.add(node.number())
        groups, inner, number = self._structure(layers)
        epsilon = self._only(epsilons or {_DEFAULT_EPSILON}, "epsilon of the normalisations")
        if not 0 < epsilon < 1:
            raise CheckpointError(f"{self._where}: the epsilon of the normalisations is {epsilon}")
        return GraphFacts(
            num_hidden_layers=number,
            num_hidden_groups=groups,
            inner_group_num=inner,
            num_attention_heads=int(self._only(heads, "number of attention heads")),
            hidden_act=self._activation(operators),
            layer_norm_eps=epsilon,
        )

    def saved_names(self) -> dict[str, str]:
        """The bundle's key of each variable by the variable's name, as the function that saves them has it.

        The inputs of the node that calls the function are a file name, then the variables in the order of the
        function's ``SaveV2/tensor_names``. Empty where there is no such function.
        """
        nodes = {node.name: node for node in map(_Node, self._graph.messages(1))}
        saving = {}
        for function in self._functions:
            keys = next((n.texts() for n in _nodes(function) if n.name == "SaveV2/tensor_names"), None)
            if keys is not None:
                saving[function.message(1).text(1)] = keys
        for node in nodes.values():
            keys = saving.get(node.function())
            if keys is not None:
                variables = [_variable_name(name, nodes) for name in node.inputs[1:]]
                return dict(zip(variables, keys, strict=False))
        return {}

    def _largest_function(self) -> Iterator[_Node]:
        if not self._functions:
            raise CheckpointError(f"{self._where}: not TensorFlow's graph of a model: it has no functions")
        return _nodes(max(self._functions, key=lambda function: function.count(3)))

    def _structure(self, layers: Mapping[tuple[int, int], int]) -> tuple[int, int, int]:
        """Groups, layers in a group, and layers of the model, checked by which layer uses which weights how often."""
        groups = len({group for group, _ in layers})
        inner = len({index for _, index in layers})
        number = sum(layers.values()) // inner if inner else 0
        expected: Counter[tuple[int, int]] = Counter()
        for layer in range(number):
            group = int(layer / (number / groups))
            expected.update((group, index) for index in range(inner))
        if not layers or layers != expected:
            raise CheckpointError(
                f"{self._where}: its layers are not an ALBERT's (attention by group and layer: {dict(layers)})"
            )
        return groups, inner, number

    def _activation(self, operators: Mapping[str, int]) -> str:
        found = {name for operator, name in _ACTIVATIONS.items() if operators.get(operator)}
        if len(found) != 1:
            raise CheckpointError(
                f"{self._where}: the activation is none of {', '.join(_ACTIVATIONS.values())}, which are supported"
            )
        return found.pop()

    def _only(self, values: set[float], what: str) -> float:
        if len(values) != 1:
            raise CheckpointError(f"{self._where}: the {what} cannot be told from the graph (found {sorted(values)})")
        return next(iter(values))


class _Node:
    """A ``NodeDef``: name = 1, op = 2, input = 3, attr = 5 (pairs of name and ``AttrValue``)."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self.name = message.text(1)
        self.operator = message.text(2)

    @property
    def inputs(self) -> list[str]:
        """Names of nodes, without the inputs that only say what comes first."""
        return [name.split(":")[0] for name in self._message.texts(3) if not name.startswith("^")]

    def function(self) -> str:
        """The name of the function that it calls."""
        return self._attribute("f").message(10).text(1)

    def shared_name(self) -> str:
        """The name of the variable that a ``VarHandleOp`` stands for."""
        return self._attribute("shared_name").text(2)

    def texts(self) -> list[str]:
        """A constant's strings (``TensorProto``: string_val = 8)."""
        return self._attribute("value").message(8).texts(8)

    def number(self) -> float:
        """A constant's one number (tensor_content = 4, float_val = 5, int_val = 7); 0 where it has none."""
        tensor = self._attribute("value").message(8)
        content = bytes(tensor.blob(4))
        if tensor.integer(1) == _FLOAT32:
            raw = content or b"".join(bytes(value) for value in tensor.blobs(5))
            # The shortest decimal that gives this float32: 1e-12, not 9.99999996e-13.
            return float(str(np.frombuffer(raw, "<f4")[0])) if len(raw) == 4 else 0.0
        if tensor.integer(1) == _INT32:
            if len(content) == 4:
                return int.from_bytes(content, "little", signed=True)
            values = tensor.integers(7)
            return values[0] if values else 0
        return 0

    def _attribute(self, name: str) -> Message:
        for pair in self._message.messages(5):
            if pair.text(1) == name:
                return pair.message(2)
        return Message(b"", self._message.where)


def _nodes(function: Message) -> Iterator[_Node]:
    """Of a ``FunctionDef``: signature = 1 (name = 1), node_def = 3."""
    return map(_Node, function.messages(3))


def _variable_name(node_name: str, nodes: Mapping[str, _Node]) -> str:
    """The variable that a node reads, or is: ``NAME/Read/ReadVariableOp``, or the handle itself."""
    node = nodes.get(node_name)
    if node is not None and node.operator == "ReadVariableOp" and node.inputs:
        node = nodes.get(node.inputs[0], node)
    if node is not None and node.operator == "VarHandleOp":
        return node.shared_name() or node.name
    return node_name
