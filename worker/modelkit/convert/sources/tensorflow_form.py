"""The TensorFlow form of a model that Spark NLP saved: weights and shape, without TensorFlow.

``albert_classification_tensorflow`` is a zip without an extension: ``saved_model.pb`` (see `graph_def`), and a tensor
bundle (see `tensor_bundle`) whose keys are no names; those are in a string tensor of it, or in the graph.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.modelkit.convert.shape import CheckpointError, Weights
from worker.modelkit.convert.sources.archive import open_zip
from worker.modelkit.convert.sources.graph_def import Graph
from worker.modelkit.convert.sources.protobuf import Message
from worker.modelkit.convert.sources.tensor_bundle import TensorBundle

GRAPH, INDEX, DATA = "saved_model.pb", "variables.index", "variables.data-00000-of-00001"
MAX_GRAPH_BYTES = 256 << 20
"""A graph has no weights in it; that of 24 layers has about 15 MB."""
MAX_INDEX_BYTES = 64 << 20

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_PARTS = re.compile(r"(?:^|/)((?:albert|classifier)/.+)$")
_WORDS = "albert.embeddings.word_embeddings.weight"
_PLACES = "albert.embeddings.position_embeddings.weight"
_SEGMENTS = "albert.embeddings.token_type_embeddings.weight"
_MAPPING = "albert.encoder.embedding_hidden_mapping_in.weight"
_INNER = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
_CLASSIFIER = "classifier.weight"


def read_tensorflow(data: bytes, where: str) -> tuple[dict[str, Any], Weights]:
    """The members of a ``config.json`` that follow from the model (labels only by their number), and the weights.

    `data` is the inner zip, which `where` names. Weights have Hugging Face's names and shapes, and are the very numbers
    that were saved. Raises `CheckpointError`, one line.
    """
    archive = open_zip(data, where)
    if DATA not in archive.names and any(name.startswith("variables.data-") for name in archive.names):
        raise CheckpointError(f"{where}: its tensors are in more than one file; only {DATA} is read")
    graph = Graph(archive.read(GRAPH, MAX_GRAPH_BYTES), f"{where}/{GRAPH}")
    bundle = TensorBundle(archive.read(INDEX, MAX_INDEX_BYTES), archive.read(DATA), where)
    weights = _weights(bundle, _names(bundle, graph, where), where)
    return _config(graph, weights, where), weights


def _names(bundle: TensorBundle, graph: Graph, where: str) -> dict[str, str]:
    """Keys of the bundle by the names of the variables."""
    named = {}
    if _OBJECT_GRAPH in bundle.entries:
        # TrackableObjectGraph: nodes = 1; each has attributes = 2 with full_name = 2 and checkpoint_key = 3.
        for node in Message(bundle.string(_OBJECT_GRAPH), f"{where}/{_OBJECT_GRAPH}").messages(1):
            for attribute in node.messages(2):
                if attribute.text(2):
                    named[attribute.text(2)] = attribute.text(3)
    if not any(_PARTS.search(name) for name in named):
        named = graph.saved_names()
    if not any(_PARTS.search(name) for name in named):
        raise CheckpointError(f"{where}: its variables are not named as an AlbertForSequenceClassification's are")
    return named


def _weights(bundle: TensorBundle, named: dict[str, str], where: str) -> Weights:
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for variable, key in named.items():
        name = hugging_face_name(variable)
        if name is None:
            continue
        if name in weights:
            raise CheckpointError(f"{where}: two variables are the weight {name}")
        value = bundle.floats(key)
        if variable.partition(":")[0].endswith("/kernel"):
            value = np.ascontiguousarray(value.T)  # Dense computes x @ kernel, and torch x @ weight.T
        weights[name] = value
    return weights


def hugging_face_name(variable: str) -> str | None:
    """``tf_albert_for_sequence_classification/albert/.../query/kernel`` -> ``albert....query.weight``.

    None for a variable that is no part of the model (steps of an optimiser, counters).
    """
    found = _PARTS.search(variable.partition(":")[0])
    if found is None:
        return None
    *path, last = found[1].replace("_._", "/").split("/")
    last = {"kernel": "weight", "gamma": "weight", "embeddings": "weight", "beta": "bias"}.get(last, last)
    return ".".join([*path, last])


def _config(graph: Graph, weights: Weights, where: str) -> dict[str, Any]:
    vocab_size, embedding_size = _matrix(weights, _WORDS, where)
    return {
        "architectures": ["AlbertForSequenceClassification"],
        "model_type": "albert",
        "vocab_size": vocab_size,
        "embedding_size": embedding_size,
        "hidden_size": _matrix(weights, _MAPPING, where)[0],
        "intermediate_size": _matrix(weights, _INNER, where)[0],
        "max_position_embeddings": _matrix(weights, _PLACES, where)[0],
        "type_vocab_size": _matrix(weights, _SEGMENTS, where)[0],
        "num_labels": _matrix(weights, _CLASSIFIER, where)[0],
        **asdict(graph.facts()),
    }


def _matrix(weights: Weights, name: str, where: str) -> tuple[int, int]:
    """The shape of a weight that the others are measured by."""
    if name not in weights:
        raise CheckpointError(f"{where}: weight {name} is missing: is this an AlbertForSequenceClassification?")
    shape = weights[name].shape
    if len(shape) != 2 or not all(shape):
        raise CheckpointError(f"{where}: weight {name} has the shape {shape}, and not rows and columns")
    return shape[0], shape[1]
