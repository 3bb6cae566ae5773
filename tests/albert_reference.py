"""A small ALBERT to test with: random weights, and what it must answer, written straight from the paper in numpy."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from worker.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.convert.shape import AlbertShape
from worker.convert.sources.folder import read_folder
from worker.inference.artifact import BUNDLED_PATH, PIECES

Array = npt.NDArray[Any]

TINY = {
    "architectures": ["AlbertForSequenceClassification"],
    "model_type": "albert",
    "vocab_size": 50,
    "embedding_size": 6,
    "hidden_size": 8,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "num_attention_heads": 2,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "id2label": {"0": "neg", "1": "pos"},
}
"""A ``config.json`` that is quick to compute; tests override what they are about."""


def random_weights(shape: AlbertShape, seed: int = 0, spread: float = 0.5) -> dict[str, npt.NDArray[np.float32]]:
    """Weights of a size that keeps attention and activations off their flat parts."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, dimensions in shape.expected_weights().items():
        value = generator.normal(0, spread if len(dimensions) > 1 else 0.2, dimensions)
        if "norm" in name.lower() and name.endswith("weight"):
            value += 1
        weights[name] = value.astype(np.float32)
    return weights


def write_checkpoint(path: Path, seed: int = 0, **overrides: Any) -> Path:
    """A checkpoint folder in Hugging Face's layout with random weights and the bundled vocabulary."""
    path.mkdir(parents=True, exist_ok=True)
    config = TINY | {"vocab_size": 30_000} | overrides
    (path / "config.json").write_text(json.dumps(config))
    save_file(random_weights(AlbertShape.from_config(config), seed), path / "model.safetensors")
    shutil.copyfile(BUNDLED_PATH / PIECES, path / PIECES)
    return path


def write_tiny_artifact(path: Path, precision: str = "fp32", seed: int = 0, **overrides: Any) -> Path:
    """A whole artifact folder with random weights and the bundled vocabulary."""
    checkpoint = write_checkpoint(path.with_name(path.name + "-checkpoint"), seed, **overrides)
    write_artifact(read_folder(checkpoint), path, ArtifactDescription("tiny", "1.2.3", precision))
    return path


def reference_logits(shape: AlbertShape, weights: dict[str, Array], ids: Array, lengths: Array) -> Array:
    """Logits in float64, ``[rows, labels]``; every layer in full, every row on its own and without padding."""
    return np.stack([_row_logits(shape, weights, row[:length]) for row, length in zip(ids, lengths, strict=True)])


def softmax(values: Array) -> Array:
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def _row_logits(shape: AlbertShape, weights: dict[str, Array], ids: Array) -> Array:
    weights = {name: value.astype(np.float64) for name, value in weights.items()}

    def linear(name: str, values: Array) -> Array:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalise(name: str, values: Array) -> Array:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + shape.layer_norm_eps)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def attend(prefix: str, values: Array) -> Array:
        heads = shape.num_attention_heads
        query, key, value = (
            linear(f"{prefix}{part}", values).reshape(len(ids), heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = softmax(query @ key.transpose(0, 2, 1) / math.sqrt(shape.hidden_size // heads))
        return (scores @ value).transpose(1, 0, 2).reshape(len(ids), -1)

    table = "albert.embeddings.{}_embeddings.weight"
    hidden = weights[table.format("word")][ids] + weights[table.format("position")][: len(ids)]
    hidden = normalise("albert.embeddings.LayerNorm", hidden + weights[table.format("token_type")][0])
    hidden = linear("albert.encoder.embedding_hidden_mapping_in", hidden)
    for layer in range(shape.num_hidden_layers):
        group = layer * shape.num_hidden_groups // shape.num_hidden_layers
        for inner in range(shape.inner_group_num):
            prefix = f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}."
            attended = linear(f"{prefix}attention.dense", attend(f"{prefix}attention.", hidden))
            hidden = normalise(f"{prefix}attention.LayerNorm", hidden + attended)
            inside = _activation(shape.hidden_act, linear(f"{prefix}ffn", hidden))
            hidden = normalise(f"{prefix}full_layer_layer_norm", linear(f"{prefix}ffn_output", inside) + hidden)
    return linear("classifier", np.tanh(linear("albert.pooler", hidden[0])))


def _activation(name: str, values: Array) -> Array:
    if name == "relu":
        return np.maximum(values, 0)
    if name == "gelu":
        return values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))
    return 0.5 * values * (1 + np.tanh(math.sqrt(2 / math.pi) * (values + 0.044715 * values**3)))
