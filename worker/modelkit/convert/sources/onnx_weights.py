"""Finding ALBERT's weights in an ONNX graph by its structure, whatever its nodes and initialisers are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner

from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape, CheckpointError, Weights, checked_weights
from worker.modelkit.convert.sources.onnx_albert import Layer, NotRecognisedError, Parts, read_parts
from worker.modelkit.convert.sources.onnx_graph import Array, OnnxGraph, listed, operator_of
from worker.modelkit.convert.sources.onnx_half import in_float32
from worker.modelkit.convert.sources.onnx_patterns import Linear, Normalisation
from worker.modelkit.convert.sources.onnx_proof import Original, prove_equal

__all__ = ["SOFTMAX_NOTE", "NotRecognisedError", "Recovered", "logits_name", "recover"]

SOFTMAX_NOTE = "the graph puts out probabilities; its last softmax is left out, since the worker computes it"

_QUANTISED = re.compile(
    r"DequantizeLinear|DynamicQuantize|MatMulInteger|MatMulNBits|MatMulBnb4|QAttention|QLinear|QGemm"
)
"""Operators, by the beginnings of their names, that compute with weights of fewer bits."""


@dataclass(frozen=True)
class Recovered:
    """What a graph says of the model that it computes."""

    config: Mapping[str, Any]
    """The members of a ``config.json`` that follow from the graph; no labels but ``num_labels``."""
    weights: Weights
    """By Hugging Face's names."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was read, a line each."""


def recover(model: onnx.ModelProto) -> Recovered:
    """Find weights and shape; raises `NotRecognisedError`.

    What is found has been proven: the graph that is built of it gives the probabilities that `model` gives, within
    1e-4, on random reviews with padding. Weights are `model`'s own, bit for bit. `model` must hold all its data, and
    is left as it was.
    """
    try:
        model = in_float32(onnx.inliner.inline_local_functions(model) if model.functions else model)
        _refuse_what_is_not_plain(model)
        graph = OnnxGraph(model)
        output, as_logits = _logits(graph, logits_name(model))
        parts = read_parts(graph, output)
        roles = _roles(graph, parts)
    except CheckpointError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise NotRecognisedError(f"it is not sound ({type(error).__name__}: {str(error)[:200]})") from error
    original = Original(model, roles, logits_name(model), parts.layers[0].attention.heads)
    batches = original.batches(len(parts.embeddings.words), len(parts.embeddings.places))
    head_size = original.run(batches[0])[1].shape[-1]
    shape = _shape(parts, head_size)
    try:
        found = {name: np.ascontiguousarray(value) for name, value in _weights(parts, shape)}
        weights = checked_weights(found, shape)
    except CheckpointError as error:
        raise NotRecognisedError(str(error)) from error
    prove_equal(original, batches, build_graph(shape, weights, precision="fp32"), as_logits=as_logits)
    return Recovered(_config(shape), weights, _notes(model, shape, roles, as_logits=as_logits))


def logits_name(model: onnx.ModelProto) -> str:
    """The output that has the scores of the labels; empty where there is no output."""
    names = [output.name for output in model.graph.output]
    return "logits" if "logits" in names else next(iter(names), "")


def _refuse_what_is_not_plain(model: onnx.ModelProto) -> None:
    quantised = listed(node.op_type for node in model.graph.node if _QUANTISED.match(node.op_type))
    if quantised:
        raise NotRecognisedError(f"it is quantised ({quantised}), so the weights in full are not in it")
    fused = listed(operator_of(node) for node in model.graph.node if node.domain not in ("", "ai.onnx"))
    if fused:
        raise NotRecognisedError(f"an optimiser has been over it already ({fused})")


def _logits(graph: OnnxGraph, output: str) -> tuple[str, bool]:
    """The logits, and whether they are what the graph puts out; a last softmax is left behind."""
    node = graph.node(graph.unwrap(output))
    if node is not None and operator_of(node) == "Softmax":
        return node.input[0], False
    return output, True


def _roles(graph: OnnxGraph, parts: Parts) -> dict[str, str]:
    """What each input of the graph is."""
    roles = dict(parts.embeddings.roles)
    masks = frozenset[str]().union(*(layer.attention.mask_inputs for layer in parts.layers)) - roles.keys()
    for value in graph.inputs:
        if value.name in masks:
            rank = len(value.type.tensor_type.shape.dim)
            roles[value.name] = "lengths" if rank == 1 else "attention_mask"
    return roles


def _shape(parts: Parts, head_size: int) -> AlbertShape:
    words = parts.embeddings.words
    hidden = len(parts.mapping.weight)
    norms = [parts.embeddings.norm, *(norm for layer in parts.layers for norm in (layer.attention_norm, layer.norm))]
    epsilons = {norm.epsilon for norm in norms}
    activations = {layer.hidden_act for layer in parts.layers}
    if len(epsilons) != 1 or len(activations) != 1:
        raise NotRecognisedError("its layers differ in their activations, or in the epsilon of their normalisations")
    if head_size < 1 or hidden % head_size:
        raise NotRecognisedError(f"attention heads of {head_size} do not divide a hidden size of {hidden}")
    shape = AlbertShape(
        vocab_size=len(words),
        embedding_size=words.shape[1],
        hidden_size=hidden,
        intermediate_size=len(parts.layers[0].ffn.weight),
        num_hidden_layers=len(parts.layers),
        num_hidden_groups=1,
        inner_group_num=1,
        num_attention_heads=hidden // head_size,
        max_position_embeddings=len(parts.embeddings.places),
        type_vocab_size=1 if parts.embeddings.segments is None else len(parts.embeddings.segments),
        layer_norm_eps=float(str(np.float32(epsilons.pop()))),  # 1e-12, not what float32 makes of it
        hidden_act=activations.pop(),
        labels=tuple(f"LABEL_{index}" for index in range(len(parts.classifier.weight))),
    )
    return _sharing(parts.layers, shape)


def _sharing(layers: list[Layer], shape: AlbertShape) -> AlbertShape:
    """`shape` with groups and inner layers such that layers with the same weights, and only they, share them.

    The fewest weights win; of two ways to say the same, groups come before layers inside a group.
    """
    kinds: list[dict[str, Array]] = []
    pattern = []
    for layer in layers:
        weights = dict(_layer_weights("", layer))
        kind = next((index for index, known in enumerate(kinds) if _same(known, weights)), len(kinds))
        if kind == len(kinds):
            kinds.append(weights)
        pattern.append(kind)
    best = None
    for inner in (size for size in range(1, len(layers) + 1) if len(layers) % size == 0):
        for groups in range(1, len(layers) // inner + 1):
            if best is not None and groups * inner >= best.num_hidden_groups * best.inner_group_num:
                continue
            candidate = replace(
                shape, num_hidden_layers=len(layers) // inner, num_hidden_groups=groups, inner_group_num=inner
            )
            if len(set(zip(candidate.layers, pattern, strict=True))) == len(set(candidate.layers)):
                best = candidate
    return best or shape


def _same(known: Mapping[str, Array], weights: Mapping[str, Array]) -> bool:
    return all(_is_one(value, weights[name]) or np.array_equal(value, weights[name]) for name, value in known.items())


def _is_one(left: Array, right: Array) -> bool:
    """Both look at the same memory in the same way, so that there is no need to compare it."""
    ours, theirs = left.__array_interface__, right.__array_interface__
    return all(ours[key] == theirs[key] for key in ("data", "shape", "strides", "typestr"))


def _weights(parts: Parts, shape: AlbertShape) -> Iterator[tuple[str, Array]]:
    embeddings = parts.embeddings
    segments = embeddings.segments
    yield "albert.embeddings.word_embeddings.weight", embeddings.words
    yield "albert.embeddings.position_embeddings.weight", embeddings.places
    yield (
        "albert.embeddings.token_type_embeddings.weight",
        np.zeros((1, shape.embedding_size), dtype=np.float32) if segments is None else segments,
    )
    yield from _normalisation("albert.embeddings.LayerNorm", embeddings.norm)
    yield from _linear("albert.encoder.embedding_hidden_mapping_in", parts.mapping)
    for prefix, layer in zip(shape.layers, parts.layers, strict=True):
        yield from _layer_weights(prefix, layer)
    yield from _linear("albert.pooler", parts.pooler)
    yield from _linear("classifier", parts.classifier)


def _layer_weights(prefix: str, layer: Layer) -> Iterator[tuple[str, Array]]:
    attention = layer.attention
    yield from _linear(f"{prefix}attention.query", attention.query)
    yield from _linear(f"{prefix}attention.key", attention.key)
    yield from _linear(f"{prefix}attention.value", attention.value)
    yield from _linear(f"{prefix}attention.dense", layer.dense)
    yield from _normalisation(f"{prefix}attention.LayerNorm", layer.attention_norm)
    yield from _linear(f"{prefix}ffn", layer.ffn)
    yield from _linear(f"{prefix}ffn_output", layer.ffn_output)
    yield from _normalisation(f"{prefix}full_layer_layer_norm", layer.norm)


def _linear(name: str, linear: Linear) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    yield f"{name}.weight", linear.weight
    yield f"{name}.bias", linear.bias


def _normalisation(name: str, normalisation: Normalisation) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    yield f"{name}.weight", normalisation.scale
    yield f"{name}.bias", normalisation.shift


def _config(shape: AlbertShape) -> dict[str, Any]:
    members = {name: value for name, value in vars(shape).items() if name != "labels"}
    return {
        "architectures": ["AlbertForSequenceClassification"],
        "model_type": "albert",
        **members,
        "num_labels": len(shape.labels),
    }


def _notes(model: onnx.ModelProto, shape: AlbertShape, roles: Mapping[str, str], *, as_logits: bool) -> tuple[str, ...]:
    layers, sets = len(shape.layers), len(set(shape.layers))
    sharing = "that share one set" if sets == 1 else f"that share {sets} sets" if sets < layers else "with a set"
    producer = listed([f"{model.producer_name} {model.producer_version}".strip()]) or "an unknown exporter"
    depth = "1 layer" if layers == 1 else f"{layers} layers {sharing} of weights{' each' * (sets == layers)}"
    notes = [f"rebuilt from the graph: {depth}, exported by {producer}"]
    if not {"lengths", "attention_mask"} & set(roles.values()):
        notes.append("the graph has no attention mask; padding is masked in what was rebuilt of it")
    if not as_logits:
        notes.append(SOFTMAX_NOTE)
    return tuple(notes)
