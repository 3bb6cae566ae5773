"""Writing a model artifact: the folder that the worker loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worker.inference.artifact import (
    CONFIG,
    GRAPH,
    MANIFEST,
    MANIFEST_FORMAT,
    PADDING_FREE_GRAPH,
    PIECES,
    WEIGHTS,
    Artifact,
)
from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.inference.golden import GOLDEN
from worker.modelkit.convert.checkpoint import Checkpoint, CheckpointError, ForeignGraph, Source
from worker.modelkit.convert.external import move_weights
from worker.modelkit.convert.golden_writer import golden_set
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.precision import PRECISIONS, PrecisionPlan
from worker.modelkit.convert.ranges import calibration_ids, half_plan

AS_IT_IS = "as_is"
"""Precision of a graph that somebody else made and that could not be rebuilt."""
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
    calibration: Calibration = UNCALIBRATED


def write_artifact(
    source: Source, out: Path, description: ArtifactDescription, plan: PrecisionPlan | None = None
) -> None:
    """Convert `source` into the artifact folder `out`, made where it is missing.

    `plan` is for int8; half precision is measured here, which takes seconds. Float artifacts have a second graph for
    GPUs, and their weights in a file of their own, which both graphs read. The artifact computes its golden set on this
    machine's CPU. Raises `CheckpointError` where the description or the model does not allow it.
    """
    files, graph = (
        _foreign(source, description) if isinstance(source, ForeignGraph) else _built(source, description, plan)
    )
    files |= {
        PIECES: source.pieces,
        CONFIG: as_json({key: source.config[key] for key in CONFIG_KEYS if key in source.config}),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)
    unfinished = Artifact(
        path=out,
        name=description.name,
        version=description.version,
        precision=description.precision,
        labels=source.labels,
        max_length=source.max_length,
        lower_case=source.lower_case,
        vocabulary_size=int(source.config["vocab_size"]),
        files=frozenset(files),
        calibration=description.calibration,
    )
    files[GOLDEN] = as_json(golden_set(unfinished).as_json())
    (out / GOLDEN).write_bytes(files[GOLDEN])
    origin = source.provenance
    manifest = {
        "format": MANIFEST_FORMAT,
        "name": description.name,
        "version": description.version,
        "precision": description.precision,
        "max_length": source.max_length,
        "lower_case": source.lower_case,
        "graph": graph,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "source": {
            "kind": origin.kind,
            "location": origin.location,
            "revision": origin.revision,
            "sha256": dict(origin.files),
            "notes": list(origin.notes),
        },
    }
    if description.calibration != UNCALIBRATED:
        manifest["calibration"] = asdict(description.calibration)
    (out / MANIFEST).write_bytes(as_json(manifest))


def as_json(value: Mapping[str, Any]) -> bytes:
    """A JSON file for people and programs."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _foreign(source: ForeignGraph, description: ArtifactDescription) -> tuple[dict[str, bytes], dict[str, Any]]:
    if description.precision != AS_IT_IS:
        where = source.provenance.location
        raise CheckpointError(f"{where}: its graph can only be used as it is ({source.reason}); leave --precision out")
    return {GRAPH: source.graph}, {"kind": AS_IT_IS, "why": source.reason, "notes": []}


def _built(
    source: Checkpoint, description: ArtifactDescription, plan: PrecisionPlan | None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The graphs and their weights by the name of the file, and what the manifest says of them."""
    if description.precision not in PRECISIONS:
        raise CheckpointError(f"precision {description.precision!r} is none of {', '.join(PRECISIONS)}")
    if description.precision == "fp16":
        rows = calibration_ids(source.shape, source.tokeniser(), source.max_length)
        plan = half_plan(source.shape, source.weights, rows)
    paddings = {GRAPH: False} if description.precision == "int8" else {GRAPH: False, PADDING_FREE_GRAPH: True}
    models = {
        name: build_graph(
            source.shape,
            source.weights,
            precision=description.precision,
            plan=plan,
            padding_free=padding_free,
            metadata={"name": description.name, "version": description.version},
        )
        for name, padding_free in paddings.items()
    }
    weights = {WEIGHTS: move_weights(list(models.values()), WEIGHTS)} if len(models) > 1 else {}
    plan = plan or PrecisionPlan()
    return (
        {name: model.SerializeToString(deterministic=True) for name, model in models.items()} | weights,
        {
            "kind": "built",
            "float32_products": sorted(plan.full),
            "float32_layers": sorted(plan.full_layers),
            "halvings": dict(plan.exponents),
            "notes": list(plan.notes),
        },
    )
