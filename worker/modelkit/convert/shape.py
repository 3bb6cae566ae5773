"""The shape of an ALBERT classifier: what a ``config.json`` says, checked, and the weights that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import ArtifactError

Weights = Mapping[str, npt.NDArray[np.float32]]
"""Hugging Face's parameter names, and their values in float32."""

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
MOST_LABELS_IN_EXAMPLE = 10
_PLACEHOLDER = re.compile(r"LABEL_\d+")


class CheckpointError(ArtifactError):
    """The checkpoint is no ALBERT classifier, or not a whole one."""


@dataclass(frozen=True)
class AlbertShape:
    """What the graph needs to know of a ``config.json``; the names are Hugging Face's."""

    vocab_size: int
    embedding_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_hidden_groups: int
    inner_group_num: int
    num_attention_heads: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_act: str
    labels: tuple[str, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AlbertShape:
        """Read a ``config.json``; raises `CheckpointError` for another family of models or one that cannot be built."""
        check_family(config)
        check_problem(config)
        shape = cls(
            vocab_size=_size(config, "vocab_size"),
            embedding_size=_size(config, "embedding_size"),
            hidden_size=_size(config, "hidden_size"),
            intermediate_size=_size(config, "intermediate_size"),
            num_hidden_layers=_size(config, "num_hidden_layers"),
            num_hidden_groups=_size(config, "num_hidden_groups", 1),
            inner_group_num=_size(config, "inner_group_num", 1),
            num_attention_heads=_size(config, "num_attention_heads"),
            max_position_embeddings=_size(config, "max_position_embeddings", 512),
            type_vocab_size=_size(config, "type_vocab_size", 2),
            layer_norm_eps=_epsilon(config),
            hidden_act=str(config.get("hidden_act", "gelu_new")),
            labels=read_labels(config),
        )
        if shape.hidden_act not in ACTIVATIONS:
            raise CheckpointError(f"config.json: hidden_act {shape.hidden_act!r} is none of {', '.join(ACTIVATIONS)}")
        if shape.hidden_size % shape.num_attention_heads:
            raise CheckpointError("config.json: hidden_size is not a multiple of num_attention_heads")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise CheckpointError("config.json: only position_embedding_type 'absolute' is supported")
        return shape

    @property
    def layers(self) -> list[str]:
        """The weights' prefix of each layer to compute, in order; layers that share weights share the prefix."""
        prefixes: list[str] = []
        for layer in range(self.num_hidden_layers):
            group = int(layer / (self.num_hidden_layers / self.num_hidden_groups))
            prefixes.extend(
                f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}."
                for inner in range(self.inner_group_num)
            )
        return prefixes

    def expected_weights(self) -> dict[str, tuple[int, ...]]:
        """Every parameter that the classifier needs, and its shape."""
        hidden, inner, embedding = self.hidden_size, self.intermediate_size, self.embedding_size
        expected: dict[str, tuple[int, ...]] = {
            "albert.embeddings.word_embeddings.weight": (self.vocab_size, embedding),
            "albert.embeddings.position_embeddings.weight": (self.max_position_embeddings, embedding),
            "albert.embeddings.token_type_embeddings.weight": (self.type_vocab_size, embedding),
            **_normalisation("albert.embeddings.LayerNorm", embedding),
            **_linear("albert.encoder.embedding_hidden_mapping_in", embedding, hidden),
            **_linear("albert.pooler", hidden, hidden),
            **_linear("classifier", hidden, len(self.labels)),
        }
        for prefix in dict.fromkeys(self.layers):
            for part in ("query", "key", "value", "dense"):
                expected |= _linear(f"{prefix}attention.{part}", hidden, hidden)
            expected |= _normalisation(f"{prefix}attention.LayerNorm", hidden)
            expected |= _linear(f"{prefix}ffn", hidden, inner)
            expected |= _linear(f"{prefix}ffn_output", inner, hidden)
            expected |= _normalisation(f"{prefix}full_layer_layer_norm", hidden)
        return expected


def check_family(config: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` for the ``config.json`` of another family of models."""
    family = config.get("model_type")
    if family != "albert":
        raise CheckpointError(f"config.json: model_type is {family!r}, and only 'albert' is supported")


def check_problem(config: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` where something else than a softmax over two labels or more ends the model."""
    problem = config.get("problem_type") or "single_label_classification"
    if problem != "single_label_classification":
        raise CheckpointError(
            f"config.json: problem_type is {problem!r}; only models that give a text one of several labels (a softmax)"
            " are supported"
        )
    names = config.get("id2label")
    if (len(names) if isinstance(names, dict) and names else config.get("num_labels")) == 1:
        raise CheckpointError("config.json: the model has one output only, a regression; two labels or more are needed")


def with_labels(config: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, Any]:
    """`config` with labels that somebody has named: `labels` where they are given, else its own.

    Raises `CheckpointError` where neither names them (Hugging Face writes ``LABEL_0`` then), and for a number of labels
    that is not the model's.
    """
    own = config.get("id2label") or {}
    if not isinstance(own, dict):
        raise CheckpointError('config.json: id2label must name the labels by their ids, e.g. {"0": "neg", "1": "pos"}')
    number = len(own) or config.get("num_labels")
    if number is not None and (not isinstance(number, int) or number < 1):
        raise CheckpointError(f"config.json: num_labels must be a whole number above 0, not {number!r}")
    if labels is None:
        if not own or all(_PLACEHOLDER.fullmatch(str(name)) for name in own.values()):
            some = [f"label{index}" for index in range(min(number or 2, MOST_LABELS_IN_EXAMPLE))]
            example = "neg,pos" if number in (2, None) else ",".join([*some, "..."][: number or 2])
            raise CheckpointError(
                f"nobody has named the labels of this model (id2label in config.json); say --labels {example},"
                " in the order of its outputs"
            )
        return dict(config)
    if number is not None and number != len(labels):
        raise CheckpointError(f"--labels names {len(labels)} labels ({', '.join(labels)}), but the model has {number}")
    return {
        **config,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def read_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of ``id2label`` in the order of their ids; raises `CheckpointError` where an id is missing."""
    names = config.get("id2label")
    if not isinstance(names, dict) or not names:
        raise CheckpointError('config.json: id2label is missing; it names the labels, e.g. {"0": "neg", "1": "pos"}')
    if set(names) != {str(index) for index in range(len(names))}:
        raise CheckpointError("config.json: the ids of id2label must be 0, 1, 2, ... without a gap")
    labels = tuple(str(names[str(index)]) for index in range(len(names)))
    if not all(label.strip() and label.isprintable() for label in labels) or len(set(labels)) < len(labels):
        raise CheckpointError("config.json: the labels of id2label must be printable and differ; see --labels")
    return labels


def checked_weights(stored: Mapping[str, npt.NDArray[Any]], shape: AlbertShape) -> Weights:
    """The parameters that the classifier needs, as float32; raises `CheckpointError` for a missing or wrong one."""
    weights = {}
    for name, expected in shape.expected_weights().items():
        if name not in stored:
            raise CheckpointError(f"weight {name} is missing: is this an AlbertForSequenceClassification?")
        value = np.asarray(stored[name])
        if value.shape != expected:
            raise CheckpointError(f"weight {name} has the shape {value.shape} where config.json asks for {expected}")
        weights[name] = value.astype(np.float32)
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"weight {name} holds values that are not finite")
    return weights


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _normalisation(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _epsilon(config: Mapping[str, Any]) -> float:
    value = config.get("layer_norm_eps", 1e-12)
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise CheckpointError(f"config.json: layer_norm_eps must be a number from 0 to 1, not {value!r}")
    return float(value)


def _size(config: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = config.get(name, default)
    if not isinstance(value, int) or value < 1:
        raise CheckpointError(f"config.json: {name} must be a whole number above 0, not {value!r}")
    return value
