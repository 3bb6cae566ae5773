"""ALBERT's dataflow in an ONNX graph, followed from the logits up to the token ids.

::

    classifier <- tanh <- pooler <- first token <- layer <- ... <- layer <- mapping <- normalisation <- embeddings

    layer: normalise(attended + ffn_output(activation(ffn(attended))))
           attended: normalise(inputs + dense(softmax(query . key / sqrt(size) + mask) . value))

Only the operators and what they are fed with count, never a name. What is read here may still be wrong in a detail (a
query for a key, a scale): `worker.modelkit.convert.sources.onnx_proof` computes with it before anybody believes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import onnx

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.onnx_graph import ELEMENTWISE, MOVES, Array, OnnxGraph, operator_of
from worker.modelkit.convert.sources.onnx_patterns import (
    Linear,
    Normalisation,
    activation_at,
    linear_at,
    normalisation_at,
)

_COMPARISONS = frozenset({"And", "Equal", "Greater", "Less", "Not", "Range"})
_MOST_LAYERS = 1000
Part = TypeVar("Part")


class NotRecognisedError(CheckpointError):
    """The graph is no ALBERT classifier that can be rebuilt; the message says what was missing."""


@dataclass(frozen=True)
class Attention:
    """One attention: its inputs' linear layers, and a tensor whose last axis has the size of one head."""

    query: Linear
    key: Linear
    value: Linear
    heads: str
    mask_inputs: frozenset[str]
    """Inputs of the graph that reach the scores beside queries and keys."""


@dataclass(frozen=True)
class Layer:
    """One layer as the graph computes it."""

    attention: Attention
    dense: Linear
    attention_norm: Normalisation
    ffn: Linear
    hidden_act: str
    ffn_output: Linear
    norm: Normalisation


@dataclass(frozen=True)
class Embeddings:
    """The tables that are added up, and the inputs that they are looked up by."""

    words: Array
    """``[vocabulary, size]``."""
    places: Array
    """``[places, size]``."""
    segments: Array | None
    """``[segments, size]``."""
    norm: Normalisation
    roles: dict[str, str] = field(default_factory=dict)
    """What each input that looks something up is: ``input_ids``, ``token_type_ids`` or ``position_ids``."""


@dataclass(frozen=True)
class Parts:
    """An ALBERT classifier, taken apart."""

    embeddings: Embeddings
    mapping: Linear
    layers: list[Layer]
    """First to last."""
    pooler: Linear
    classifier: Linear


def read_parts(graph: OnnxGraph, output: str) -> Parts:
    """Take apart the classifier that ends in the logits `output`; raises `NotRecognisedError`."""
    classifier = _required(linear_at(graph, output), "the output is no linear layer (a classifier)")
    tanh = graph.node(classifier.inputs)
    if tanh is None or operator_of(tanh) != "Tanh":
        raise NotRecognisedError("the classifier does not read from a tanh (a pooler)")
    pooler = _required(linear_at(graph, tanh.input[0]), "the pooler is no linear layer")
    norms = graph.walk(pooler.inputs, lambda name: normalisation_at(graph, name), MOVES).found
    if len(norms) != 1:
        raise NotRecognisedError("the pooler does not read from a layer normalisation")
    norm: Normalisation | None = norms[0]
    layers: list[Layer] = []
    hidden = norms[0].output
    while norm is not None and (layer := _layer(graph, norm)) is not None:
        layers.append(layer)
        hidden = layer.attention.query.inputs
        norm = normalisation_at(graph, hidden)
        if len(layers) > _MOST_LAYERS:
            raise NotRecognisedError(f"it has more than {_MOST_LAYERS} layers")
    if not layers:
        raise NotRecognisedError("before the pooler there is no transformer layer")
    if norm is not None:
        raise NotRecognisedError(
            "the embeddings go into the first layer without a mapping to the hidden size, which ALBERT always has:"
            " the graph is of another family (BERT?)"
        )
    mapping = _required(
        linear_at(graph, hidden), "the first layer does not read from a linear layer (ALBERT's mapping)"
    )
    return Parts(_embeddings(graph, mapping.inputs), mapping, layers[::-1], pooler, classifier)


def _layer(graph: OnnxGraph, norm: Normalisation) -> Layer | None:
    """The layer that ends in `norm`; None where `norm` is not the end of a layer."""
    for ffn_output, skipped in _summands(graph, norm.inputs):
        attention_norm = normalisation_at(graph, skipped)
        if attention_norm is None:
            continue
        activation = activation_at(graph, ffn_output.inputs)
        if activation is None or activation.of.inputs != attention_norm.output:
            continue
        if not activation.name:
            raise NotRecognisedError(f"its activation, made of {activation.operators}, is none that is known")
        for dense, hidden in _summands(graph, attention_norm.inputs):
            attention = _attention(graph, dense.inputs)
            if attention is None:
                continue
            if {part.inputs for part in (attention.query, attention.key, attention.value)} != {hidden}:
                raise NotRecognisedError("queries, keys and values are not all made of the layer's input")
            return Layer(attention, dense, attention_norm, activation.of, activation.name, ffn_output, norm)
    return None


def _summands(graph: OnnxGraph, name: str) -> list[tuple[Linear, str]]:
    """Where `name` is a sum: each of the two that is a linear layer, and the other one."""
    node = graph.node(name)
    if node is None or operator_of(node) != "Add":
        return []
    names = [graph.unwrap(operand) for operand in node.input]
    pairs = ((linear_at(graph, names[index]), names[1 - index]) for index in (0, 1))
    return [(linear, other) for linear, other in pairs if linear is not None]


def _attention(graph: OnnxGraph, name: str) -> Attention | None:
    """The attention whose result, heads joined, is `name`."""
    node = _only(graph.walk(name, lambda tensor: _product_of_variables(graph, tensor), MOVES).found)
    if node is None:
        return None
    if operator_of(node) == "Attention":
        return _whole_attention(graph, list(node.input))
    softmax = _only(graph.walk(node.input[0], lambda tensor: _softmax_input(graph, tensor), MOVES | {"Where"}).found)
    if softmax is None:
        return None
    scores = graph.walk(softmax, lambda tensor: _product_of_variables(graph, tensor), ELEMENTWISE | MOVES)
    product = _only(scores.found)
    if product is None or operator_of(product) != "MatMul":
        return None
    mask = frozenset(_inputs_of(graph, softmax, product.output[0]))
    return _attention_of(graph, product.input[0], product.input[1], node.input[1], mask)


def _whole_attention(graph: OnnxGraph, names: list[str]) -> Attention | None:
    """ONNX's own operator, of opset 23, fed with heads that are apart already."""
    mask = frozenset(_inputs_of(graph, names[3], "")) if len(names) > 3 and names[3] else frozenset[str]()
    return _attention_of(graph, names[0], names[1], names[2], mask)


def _attention_of(graph: OnnxGraph, query: str, key: str, value: str, mask: frozenset[str]) -> Attention | None:
    parts = [
        _only(graph.walk(name, lambda tensor: linear_at(graph, tensor), MOVES | {"Div", "Mul"}).found)
        for name in (query, key, value)
    ]
    if parts[0] is None or parts[1] is None or parts[2] is None:
        return None
    return Attention(parts[0], parts[1], parts[2], query, mask)


def _product_of_variables(graph: OnnxGraph, name: str) -> onnx.NodeProto | None:
    node = graph.node(name)
    if node is None or operator_of(node) not in ("Attention", "MatMul"):
        return None
    return node if len(graph.operands(node)[0]) > 1 else None


def _softmax_input(graph: OnnxGraph, name: str) -> str | None:
    node = graph.node(name)
    return node.input[0] if node is not None and operator_of(node) == "Softmax" else None


def _inputs_of(graph: OnnxGraph, start: str, stop: str) -> list[str]:
    """Inputs of the graph whose values (not only their shapes) reach `start`, other than by way of `stop`."""

    def end(name: str) -> str | None:
        return name if name == stop or graph.is_input(name) else None

    return [name for name in graph.walk(start, end, ELEMENTWISE | MOVES | _COMPARISONS).found if name != stop]


def _embeddings(graph: OnnxGraph, name: str) -> Embeddings:
    norm = _required(normalisation_at(graph, name), "the mapping does not read from a layer normalisation (embeddings)")
    tables = [_table(graph, term) for term in _terms(graph, norm.inputs)]
    looked_up = sorted((table for table in tables if table[1]), key=lambda table: -len(table[0]))
    if not looked_up:
        raise NotRecognisedError("no table of embeddings is looked up by an input")
    words = looked_up[0]
    others = sorted((table for table in tables if table is not words), key=lambda table: -len(table[0]))
    if not 1 <= len(others) <= 2:
        raise NotRecognisedError(
            f"it adds up {len(tables)} tables of embeddings where ALBERT has 3 (words, places, segments)"
        )
    roles = {words[1]: "input_ids"}
    for table, role in zip(others, ("position_ids", "token_type_ids"), strict=False):
        if table[1]:
            roles[table[1]] = role
    segments = others[1][0] if len(others) > 1 else None
    return Embeddings(words[0], others[0][0], segments, norm, roles)


def _terms(graph: OnnxGraph, name: str) -> list[str]:
    """What the sum `name` is made of."""
    terms: list[str] = []
    stack = [name]
    while stack:
        term = graph.unwrap(stack.pop())
        node = graph.node(term)
        if node is not None and operator_of(node) in ("Add", "Sum"):
            stack.extend(node.input)
        elif node is not None and operator_of(node) == "Expand":
            stack.append(node.input[0])
        else:
            terms.append(term)
    return terms


def _table(graph: OnnxGraph, name: str) -> tuple[Array, str]:
    """The table that the term `name` is looked up in, and the input that it is looked up by (empty: none)."""
    node, value, source = graph.node(name), graph.constant(name), ""
    if value is None and node is not None and operator_of(node) in ("Gather", "Slice"):
        value = graph.constant(node.input[0])
        if operator_of(node) == "Gather":
            source = next(iter(_inputs_of(graph, node.input[1], "")), "")
    if value is None or value.ndim < 1:
        raise NotRecognisedError("the embeddings are no sum of rows of tables")
    table = value.reshape(-1, value.shape[-1])
    if value.ndim > 2 and len(table) != value.shape[-2]:
        raise NotRecognisedError("the embeddings are no sum of rows of tables")
    return table, source


def _only(found: list[Part]) -> Part | None:
    return found[0] if len(found) == 1 else None


def _required(part: Part | None, missing: str) -> Part:
    if part is None:
        raise NotRecognisedError(missing)
    return part
