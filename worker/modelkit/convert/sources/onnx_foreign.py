"""An ONNX classifier that cannot be rebuilt, checked to be used as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from worker.errors import ArtifactError, InferenceError
from worker.inference import Artifact, ClassifierSession
from worker.modelkit.convert.checkpoint import ForeignGraph, Provenance, SourceOptions, check_pieces, chosen_length
from worker.modelkit.convert.shape import CheckpointError, read_labels, with_labels
from worker.modelkit.convert.sources.onnx_proof import first_line, load
from worker.modelkit.convert.sources.onnx_weights import logits_name
from worker.tokenization.tokenizer import Tokenizer

DEFAULT_PLACES = 512
"""Places of the published ALBERTs, where neither the graph nor a configuration says how many."""

_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_RANKS: Mapping[str, int] = {"input_ids": 2, "attention_mask": 2, "token_type_ids": 2, "lengths": 1}
_SHORT = 2


@dataclass(frozen=True)
class Companions:
    """What lies beside a graph."""

    config: Mapping[str, Any]
    """``config.json``, empty where there is none."""
    pieces: bytes
    lower_case: bool
    max_length: int | None
    """What ``tokenizer_config.json`` says."""


def foreign_graph(
    path: Path,
    model: onnx.ModelProto,
    reason: str,
    companions: Companions,
    options: SourceOptions,
    provenance: Provenance,
) -> ForeignGraph:
    """`model` as it is, all its data inside, proven to run; `reason` says why it was not rebuilt.

    A softmax at its end is taken off. Raises `CheckpointError` where it does not fit, or does not run at its length.
    """
    where = f"{path}: its weights cannot be found by structure ({reason}), and it cannot be used as it is either"
    misfit = why_it_does_not_fit(model)
    if misfit:
        raise CheckpointError(f"{where}: {misfit}")
    graph = without_softmax(model).SerializeToString()
    try:
        session = load(graph, optimise=True)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise CheckpointError(f"{where}: ONNX Runtime cannot load it ({first_line(error)})") from error
    rows, places = _table_sizes(model)
    config = dict(companions.config) | {"num_labels": _label_count(session, logits_name(model))}
    config = labelled(config, options, path)
    config["vocab_size"] = rows or _whole_number(config, "vocab_size")
    config["max_position_embeddings"] = _whole_number(config, "max_position_embeddings") or places or DEFAULT_PLACES
    max_length = chosen_length(options.max_length, companions.max_length, config["max_position_embeddings"])
    lower_case = companions.lower_case if options.lower_case is None else options.lower_case
    tokeniser = Tokenizer(companions.pieces, max_length=max_length, lower_case=lower_case)
    config["vocab_size"] = config["vocab_size"] or tokeniser.vocabulary_size
    check_pieces(tokeniser, config["vocab_size"])
    artifact = Artifact(
        path=path.parent,
        name=path.stem,
        version="",
        precision="",
        labels=read_labels(config),
        max_length=max_length,
        lower_case=lower_case,
        vocabulary_size=config["vocab_size"],
        files=frozenset(),
    )
    _check_that_it_runs(where, artifact, session)
    return ForeignGraph(graph, reason, config, artifact.labels, companions.pieces, lower_case, max_length, provenance)


def labelled(config: Mapping[str, Any], options: SourceOptions, path: Path) -> dict[str, Any]:
    """`config` with labels that somebody has named, as many as its ``num_labels``, which is the graph's.

    Raises `CheckpointError` where nobody has, or for another number of them.
    """
    number, named = config.get("num_labels"), dict(config)
    if options.labels is not None:
        named.pop("id2label", None)
    names = named.get("id2label")
    if names and not isinstance(names, dict):
        raise CheckpointError('config.json: id2label must name the labels, e.g. {"0": "neg", "1": "pos"}')
    if number is not None and names and len(names) != number:
        raise CheckpointError(
            f"{path}: its output is for {number} labels, but id2label in config.json names {len(names)}"
        )
    return with_labels(named, options.labels)


def why_it_does_not_fit(model: onnx.ModelProto) -> str:
    """Why the worker cannot feed `model` with batches; empty where it can. Only what can be seen without running it."""
    misfit = _why_its_inputs_do_not_fit(model)
    if misfit:
        return misfit
    if not _reaching(model) & {"attention_mask", "lengths"}:
        return "its output does not depend on the attention mask, so it would read the padding of batches"
    last = _last_computation(model)
    if last is not None and last.op_type == "Sigmoid":
        return "it ends in a sigmoid, so its labels do not exclude each other"
    return ""


def _why_its_inputs_do_not_fit(model: onnx.ModelProto) -> str:
    initialisers = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value.type.tensor_type for value in model.graph.input if value.name not in initialisers}
    for name, tensor in inputs.items():
        if name not in _RANKS:
            return f"it asks for an input {name!r}, and known are {', '.join(_RANKS)}"
        if tensor.elem_type not in _INTEGERS or len(tensor.shape.dim) != _RANKS[name]:
            return f"its input {name!r} is not a matrix of int32 or int64"
        sizes = [size.dim_value for size in tensor.shape.dim]
        if any(size > 0 for size in sizes):
            fixed = " x ".join(str(size) if size > 0 else "any" for size in sizes)
            return f"its input {name!r} has a fixed shape ({fixed}), which batches do not; export it with dynamic axes"
    if "input_ids" not in inputs or not inputs.keys() & {"attention_mask", "lengths"}:
        return "it does not have the inputs input_ids and attention_mask"
    return ""


def without_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself, or a copy whose last softmax does nothing, since the worker computes it."""
    last = _last_computation(model)
    if last is None or last.op_type != "Softmax":
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    softmax = next(node for node in copy.graph.node if node.output[:] == last.output[:])
    softmax.op_type = "Identity"
    del softmax.attribute[:]
    return copy


def _reaching(model: onnx.ModelProto) -> set[str]:
    """Every tensor whose values, and not its shape alone, reach the logits."""
    producers = {name: node for node in model.graph.node for name in node.output}
    reached, stack = set[str](), [logits_name(model)]
    while stack:
        name = stack.pop()
        if name in reached:
            continue
        reached.add(name)
        node = producers.get(name)
        if node is not None and node.op_type not in ("Shape", "Size"):
            stack.extend(_read_by(node))
    return reached


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """What `node` reads, and the nodes of its branches, where it has some."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield from (value.name for value in attribute.g.output)
            for inner in attribute.g.node:
                yield from _read_by(inner)


def _whole_number(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and value > 0 else None


def _last_computation(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """What makes the logits, behind casts and names."""
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(logits_name(model))
    for _ in range(len(model.graph.node)):
        if node is None or node.op_type not in ("Cast", "Identity", "Reshape", "Squeeze"):
            break
        node = producers.get(node.input[0])
    return node


def _table_sizes(model: onnx.ModelProto) -> tuple[int | None, int | None]:
    """Rows of the table of words and of that of places, where the graph shows them."""
    tables = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if len(tensor.dims) == 2}
    tokens = {"input_ids"}
    words: list[int] = []
    others: list[int] = []
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in tokens:
            tokens.add(node.output[0])
        elif node.op_type == "EmbedLayerNormalization":
            return tables.get(node.input[2]), tables.get(node.input[3])
        elif node.op_type == "Gather" and node.input[0] in tables:
            (words if node.input[1] in tokens else others).append(tables[node.input[0]])
    return max(words, default=None), max(others, default=None)


def _label_count(session: onnxruntime.InferenceSession, output: str) -> int | None:
    shape: list[Any] = next((value.shape for value in session.get_outputs() if value.name == output), [])
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _check_that_it_runs(where: str, artifact: Artifact, session: onnxruntime.InferenceSession) -> None:
    """Compute a longest and a shortest review in one batch, as the worker would."""
    ids = np.full((2, artifact.max_length), min(3, artifact.vocabulary_size - 1), dtype=np.int32)
    try:
        ClassifierSession(artifact, session, "cpu").predict(ids, np.array([artifact.max_length, _SHORT], np.int32))
    except ArtifactError as error:
        raise CheckpointError(f"{where}: {str(error).removeprefix(f'{artifact.model_path}: ')}") from error
    except InferenceError as error:
        raise CheckpointError(f"{where}: with {artifact.max_length} tokens, {error}") from error
