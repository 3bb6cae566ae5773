"""Writing a model artifact: the folder that the worker loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.convert.checkpoint import Checkpoint, CheckpointError
from worker.convert.graph import build_graph
from worker.convert.precision import PRECISIONS
from worker.inference.artifact import CONFIG, GRAPH, HASHED_FILES, MANIFEST, MANIFEST_FORMAT, PIECES

CONFIG_KEYS = (
    "architectures",
    "model_type",
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_hidden_groups",
    "inner_group_num",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "max_position_embeddings",
    "type_vocab_size",
    "id2label",
    "label2id",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)
"""What an artifact keeps of a checkpoint's ``config.json``; the rest only matters for training."""


@dataclass(frozen=True)
class ArtifactDescription:
    """What a person decides about an artifact."""

    name: str
    version: str
    precision: str


def write_artifact(checkpoint: Checkpoint, out: Path, description: ArtifactDescription) -> None:
    """Convert `checkpoint` into the artifact folder `out`, made where it is missing.

    Raises `CheckpointError` where the description does not allow it.
    """
    if description.precision not in PRECISIONS:
        raise CheckpointError(f"precision {description.precision!r} is none of {', '.join(PRECISIONS)}")
    model = build_graph(
        checkpoint.shape,
        checkpoint.weights,
        precision=description.precision,
        metadata={"name": description.name, "version": description.version},
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / GRAPH).write_bytes(model.SerializeToString(deterministic=True))
    (out / PIECES).write_bytes(checkpoint.pieces)
    _write_json(out / CONFIG, {key: checkpoint.config[key] for key in CONFIG_KEYS if key in checkpoint.config})
    source = checkpoint.provenance
    _write_json(
        out / MANIFEST,
        {
            "format": MANIFEST_FORMAT,
            "name": description.name,
            "version": description.version,
            "precision": description.precision,
            "max_length": checkpoint.max_length,
            "lower_case": checkpoint.lower_case,
            "sha256": {name: _sha256(out / name) for name in HASHED_FILES},
            "source": {
                "kind": source.kind,
                "location": source.location,
                "revision": source.revision,
                "sha256": dict(source.files),
                "notes": list(source.notes),
            },
        },
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
