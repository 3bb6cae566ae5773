"""Writing a model artifact: the folder that the worker loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.convert.checkpoint import Checkpoint, CheckpointError
from worker.convert.external import move_weights
from worker.convert.graph import build_graph
from worker.convert.precision import PRECISIONS, HalfPlan
from worker.convert.ranges import calibration_ids, half_plan
from worker.inference.artifact import CONFIG, GRAPH, MANIFEST, MANIFEST_FORMAT, PADDING_FREE_GRAPH, PIECES, WEIGHTS

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

    Float artifacts have a second graph for GPUs, and their weights in a file of their own, which both graphs read.
    Half precision is measured first, which takes seconds. Raises `CheckpointError` where the description or the model
    does not allow it.
    """
    if description.precision not in PRECISIONS:
        raise CheckpointError(f"precision {description.precision!r} is none of {', '.join(PRECISIONS)}")
    plan = _half_plan(checkpoint) if description.precision == "fp16" else None
    out.mkdir(parents=True, exist_ok=True)
    files = {
        **_graphs(checkpoint, description, plan),
        PIECES: checkpoint.pieces,
        CONFIG: _json({key: checkpoint.config[key] for key in CONFIG_KEYS if key in checkpoint.config}),
    }
    for name, content in files.items():
        (out / name).write_bytes(content)
    source = checkpoint.provenance
    manifest = {
        "format": MANIFEST_FORMAT,
        "name": description.name,
        "version": description.version,
        "precision": description.precision,
        "max_length": checkpoint.max_length,
        "lower_case": checkpoint.lower_case,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "source": {
            "kind": source.kind,
            "location": source.location,
            "revision": source.revision,
            "sha256": dict(source.files),
            "notes": list(source.notes),
        },
    }
    if plan is not None:
        manifest["precision_notes"] = list(plan.notes)
    (out / MANIFEST).write_bytes(_json(manifest))


def _half_plan(checkpoint: Checkpoint) -> HalfPlan:
    rows = calibration_ids(checkpoint.shape, checkpoint.tokeniser(), checkpoint.max_length)
    return half_plan(checkpoint.shape, checkpoint.weights, rows)


def _graphs(checkpoint: Checkpoint, description: ArtifactDescription, plan: HalfPlan | None) -> dict[str, bytes]:
    """The graphs and their weights, by the name of the file."""
    paddings = {GRAPH: False} if description.precision == "int8" else {GRAPH: False, PADDING_FREE_GRAPH: True}
    models = {
        name: build_graph(
            checkpoint.shape,
            checkpoint.weights,
            precision=description.precision,
            plan=plan,
            padding_free=padding_free,
            metadata={"name": description.name, "version": description.version},
        )
        for name, padding_free in paddings.items()
    }
    weights = {WEIGHTS: move_weights(list(models.values()), WEIGHTS)} if len(models) > 1 else {}
    return {name: model.SerializeToString(deterministic=True) for name, model in models.items()} | weights


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
