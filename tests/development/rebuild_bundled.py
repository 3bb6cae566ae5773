"""Write the bundled artifact anew from its own weights: run it when the graph or the artifact's layout changes.

The weights come out of their 8 bits and go back into the same ones, so the model stays what it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bundled_weights import bundled_weights  # noqa: E402

from worker.inference.artifact import BUNDLED_PATH, CONFIG, GRAPH, MANIFEST, PIECES, Artifact  # noqa: E402
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact  # noqa: E402
from worker.modelkit.convert.checkpoint import Provenance, SourceOptions, checkpoint_from  # noqa: E402
from worker.modelkit.convert.precision import PrecisionPlan  # noqa: E402


def main() -> None:
    """Rebuild in place, and refuse to where an 8-bit weight would change."""
    manifest = json.loads((BUNDLED_PATH / MANIFEST).read_bytes())
    config = json.loads((BUNDLED_PATH / CONFIG).read_bytes())
    before = _quantised()
    origin = manifest["source"]
    provenance = Provenance(
        origin["kind"],
        origin.get("location", "python -m worker.modelkit.train"),
        files=origin["sha256"],
        notes=("the float32 checkpoint was not kept: the graph is built from the 8-bit weights",),
    )
    checkpoint = checkpoint_from(
        config,
        bundled_weights(),
        (BUNDLED_PATH / PIECES).read_bytes(),
        provenance,
        SourceOptions(),
        lower_case=manifest["lower_case"],
        max_length=manifest["max_length"],
    )
    version = sys.argv[1] if len(sys.argv) > 1 else manifest["version"]
    calibration = Artifact.load(BUNDLED_PATH).calibration
    description = ArtifactDescription(manifest["name"], version, "int8", calibration)
    write_artifact(checkpoint, BUNDLED_PATH, description, plan_of(manifest["graph"]))
    after = _quantised()
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if before.keys() != after.keys() or changed:
        raise SystemExit(f"these weights changed: {changed or before.keys() ^ after.keys()}; restore them from git")
    print(f"{BUNDLED_PATH}: {manifest['name']}@{version}, {len(after)} weights as they were")


def plan_of(graph: Mapping[str, Any]) -> PrecisionPlan:
    """What the artifact keeps in float32, as the `graph` of its manifest says."""
    return PrecisionPlan(
        full=frozenset(graph["float32_products"]),
        full_layers=frozenset(graph["float32_layers"]),
        exponents=graph["halvings"],
        notes=tuple(graph["notes"]),
    )


def _quantised() -> dict[str, np.ndarray]:
    in_8_bits = [
        tensor
        for tensor in onnx.load(BUNDLED_PATH / GRAPH).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8
    ]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in in_8_bits}


if __name__ == "__main__":
    main()
