"""A small ALBERT to test with: random weights, and what it must answer by the reference in numpy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.checkpoint import Checkpoint, Provenance
from worker.modelkit.convert.reference import NumpyReference, softmax
from worker.modelkit.convert.shape import AlbertShape
from worker.modelkit.convert.sources.folder import read_folder

__all__ = [
    "TINY",
    "Array",
    "random_weights",
    "reference_logits",
    "softmax",
    "write_checkpoint",
    "write_tiny_artifact",
]

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
    """Logits in float64, ``[rows, labels]``; every layer in full, every row on its own and without padding.

    `worker.modelkit.convert.reference` is tested against transformers.
    """
    checkpoint = Checkpoint({}, shape, weights, b"", True, shape.max_position_embeddings, Provenance("numpy", "here"))
    reference = NumpyReference(checkpoint)
    return np.stack([reference.logits(row[:length]) for row, length in zip(ids, lengths, strict=True)])
