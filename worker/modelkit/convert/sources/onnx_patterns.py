"""Parts that every exporter writes in its own way: a linear layer, a layer normalisation, an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx

from worker.modelkit.convert.sources.onnx_graph import (
    ELEMENTWISE,
    MOVES,
    Array,
    OnnxGraph,
    attributes_of,
    listed,
    operator_of,
)

_NORMALISING = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub"})


@dataclass(frozen=True)
class Linear:
    """``inputs @ weight.T + bias``."""

    inputs: str
    output: str
    weight: Array
    """``[outputs, inputs]``, as Hugging Face stores it."""
    bias: Array


@dataclass(frozen=True)
class Normalisation:
    """``(inputs - mean) / sqrt(variance + epsilon) * scale + shift`` over the last axis."""

    inputs: str
    output: str
    scale: Array
    shift: Array
    epsilon: float


class Activation(NamedTuple):
    """Which function, by Hugging Face's name, and the linear layer that it is applied to."""

    name: str
    """Empty where it is none that is known."""
    operators: str
    """What it is made of, for a person."""
    of: Linear


def linear_at(graph: OnnxGraph, name: str) -> Linear | None:
    """The linear layer whose output is `name`: ``MatMul`` and ``Add``, or ``Gemm``, with changes of shape between."""
    output = graph.unwrap(name)
    node = graph.node(output)
    if node is None:
        return None
    bias: Array | None = None
    if operator_of(node) == "Add":
        variable, constant = graph.operands(node)
        if len(variable) != 1 or len(constant) != 1:
            return None
        bias = _vector(graph.constant(constant[0]))
        node = graph.node(graph.unwrap(variable[0]))
        if node is None or bias is None:
            return None
    product = _product(graph, node)
    if product is None:
        return None
    inputs, weight, own_bias = product
    if bias is None:
        bias = own_bias
    elif own_bias is not None:
        return None
    if bias is None:
        bias = np.zeros(len(weight), dtype=weight.dtype)
    return Linear(inputs, output, weight, bias) if bias.shape == weight.shape[:1] else None


def _product(graph: OnnxGraph, node: onnx.NodeProto) -> tuple[str, Array, Array | None] | None:
    """Inputs, weight ``[outputs, inputs]`` and bias of a product with a constant matrix."""
    operator = operator_of(node)
    if operator not in ("MatMul", "Gemm") or graph.constant(node.input[0]) is not None:
        return None
    weight = graph.constant(node.input[1])
    if weight is None or weight.ndim != 2:
        return None
    inputs = graph.unwrap(node.input[0])
    if operator == "MatMul":
        return inputs, weight.T, None
    attributes = attributes_of(node)
    if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        return None
    has_bias = len(node.input) > 2 and node.input[2]
    bias = _vector(graph.constant(node.input[2])) if has_bias else None
    if has_bias and bias is None:
        return None
    return inputs, weight if attributes.get("transB", 0) else weight.T, bias


def normalisation_at(graph: OnnxGraph, name: str) -> Normalisation | None:
    """The layer normalisation whose output is `name`, as one operator or spelt out."""
    output = graph.unwrap(name)
    node = graph.node(output)
    if node is None:
        return None
    if operator_of(node) == "LayerNormalization":
        return _whole_normalisation(graph, node, output)
    return _spelt_normalisation(graph, output) if operator_of(node) == "Add" else None


def _whole_normalisation(graph: OnnxGraph, node: onnx.NodeProto, output: str) -> Normalisation | None:
    scale = _vector(graph.constant(node.input[1]))
    if scale is None:
        return None
    shift = _vector(graph.constant(node.input[2])) if len(node.input) > 2 else np.zeros_like(scale)
    epsilon = attributes_of(node).get("epsilon", 1e-5)
    return None if shift is None else Normalisation(graph.unwrap(node.input[0]), output, scale, shift, epsilon)


def _spelt_normalisation(graph: OnnxGraph, output: str) -> Normalisation | None:
    """Both PyTorch's spelling and TensorFlow's, ``x * s + (shift - mean * s)`` with ``s = rsqrt(...) * scale``.

    Whatever the order of the operations: what is averaged first is the input, a vector that multiplies is the scale,
    one that is added (or subtracted from) is the shift, and a number that is added is epsilon.
    """
    inputs = _averaged(graph, output)
    if inputs is None:
        return None
    walk = graph.walk(
        output, lambda name: name if graph.unwrap(name) == inputs else None, _NORMALISING | {"ReduceMean"}
    )
    if walk.ends:
        return None
    scales, shifts, epsilons = [], [], []
    for node in walk.nodes:
        for name in graph.operands(node)[1] if operator_of(node) != "ReduceMean" else ():
            value = graph.constant(name)
            if value is None:
                continue
            vector = None if value.size == 1 else _vector(value)
            if vector is not None and operator_of(node) == "Mul":
                scales.append(vector)
            elif vector is not None and operator_of(node) in ("Add", "Sub"):
                shifts.append(vector)
            elif value.size == 1 and operator_of(node) == "Add":
                epsilons.append(float(value.reshape(())))
    if not len(scales) == len(shifts) == len(epsilons) == 1 or scales[0].shape != shifts[0].shape:
        return None
    return Normalisation(inputs, output, scales[0], shifts[0], epsilons[0])


def _averaged(graph: OnnxGraph, output: str) -> str | None:
    """The input of the normalisation that ends in `output`: what its mean is taken of."""

    def mean(name: str) -> onnx.NodeProto | None:
        return graph.node(name) if graph.operator(name) == "ReduceMean" else None

    means = graph.walk(output, mean, _NORMALISING).found
    if not means:
        return None
    averaged = graph.unwrap(means[0].input[0])
    if graph.operator(averaged) not in ("Mul", "Pow"):
        return averaged
    # The mean of squares, so the variance: what is squared is the difference from the mean.
    difference = graph.node(graph.unwrap(_made(graph, averaged).input[0]))
    if difference is None or operator_of(difference) != "Sub" or graph.operator(difference.input[1]) != "ReduceMean":
        return averaged
    return graph.unwrap(difference.input[0])


def activation_at(graph: OnnxGraph, name: str) -> Activation | None:
    """The function between a linear layer and `name`; None where `name` depends on more, or on something else."""
    linear: Callable[[str], Linear | None] = lambda tensor: linear_at(graph, tensor)  # noqa: E731
    walk = graph.walk(name, linear, ELEMENTWISE | MOVES)
    if len({layer.output for layer in walk.found}) != 1:
        return None
    computing = [node for node in walk.nodes if operator_of(node) not in MOVES]
    operators = {operator_of(node) for node in computing} | {graph.operator(name) or "an input" for name in walk.ends}
    spelt = listed(operators) or "nothing"
    return Activation(_activation_name(computing, operators), spelt, walk.found[0])


def _activation_name(nodes: list[onnx.NodeProto], operators: set[str]) -> str:
    if operators == {"Relu"}:
        return "relu"
    if operators == {"Gelu"} and len(nodes) == 1:
        return "gelu_new" if attributes_of(nodes[0]).get("approximate") == "tanh" else "gelu"
    if "Erf" in operators and operators <= {"Add", "Div", "Erf", "Mul"}:
        return "gelu"
    if "Tanh" in operators and operators <= {"Add", "Mul", "Pow", "Tanh"}:
        return "gelu_new"
    return ""


def _vector(value: Array | None) -> Array | None:
    """`value` as ``[size]``, where all its other axes have the length 1."""
    if value is None or value.shape[-1:] != (value.size,):
        return None
    return value.reshape(-1)


def _made(graph: OnnxGraph, name: str) -> onnx.NodeProto:
    node = graph.node(name)
    if node is None:
        raise ValueError(f"{name} is made by no node")
    return node
