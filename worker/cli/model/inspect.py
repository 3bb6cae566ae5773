"""``reviews-worker model inspect``: what an artifact is, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
import orjson

from worker.cli.model.places import artifact_folder
from worker.errors import ArtifactError
from worker.inference.artifact import CONFIG, MANIFEST, Artifact
from worker.inference.calibration import UNCALIBRATED
from worker.inference.golden import GoldenSet

_SHAPE = (
    ("layers", "num_hidden_layers"),
    ("groups", "num_hidden_groups"),
    ("hidden", "hidden_size"),
    ("heads", "num_attention_heads"),
    ("feed-forward", "intermediate_size"),
    ("embedding", "embedding_size"),
    ("vocabulary", "vocab_size"),
    ("activation", "hidden_act"),
)


@click.command()
@click.argument("artifact", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(artifact: str, as_json: bool) -> None:
    """Say what a model artifact is, and where it came from.

    DIR is its folder; the word "bundled" takes the model that comes with the package.

    Checks all files against their hashes; computes nothing.
    """
    found = Artifact.load(artifact_folder(artifact))
    found.load_tokeniser()
    golden = GoldenSet.load(found.golden_path)
    manifest = json.loads((found.path / MANIFEST).read_bytes())
    config = json.loads((found.path / CONFIG).read_bytes())
    if as_json:
        sizes = {name: (found.path / name).stat().st_size for name in sorted(found.files)}
        members = {**manifest, "labels": found.labels, "config": config, "bytes": sizes}
        click.echo(orjson.dumps(members | {"golden_reviews": len(golden.reviews)}).decode())
        return
    try:
        lines = list(_lines(found, manifest, config, golden))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{found.path / MANIFEST}: what it says of its making cannot be read ({type(error).__name__}: {error});"
            " import the model again"
        ) from error
    for name, value in lines:
        click.echo(f"{name:<12}{value}")


def _lines(
    artifact: Artifact, manifest: Mapping[str, Any], config: Mapping[str, Any], golden: GoldenSet
) -> Iterator[tuple[str, str]]:
    yield "model", f"{artifact.identity} ({artifact.precision})"
    yield "labels", ", ".join(artifact.labels)
    case = "lower-cased text" if artifact.lower_case else "text as it is"
    yield "reads", f"{case}, {artifact.max_length} tokens at most"
    yield "calibration", _calibration(artifact)
    shape = [f"{name} {config[key]}" for name, key in _SHAPE if key in config]
    yield "shape", ", ".join(shape)
    graph = manifest["graph"]
    built = graph.get("kind") == "built"
    yield "graph", "built for ALBERT from the weights" if built else f"used as it is: {graph.get('why', '')}"
    for note in graph.get("notes", ()):
        yield "", note
    source = manifest["source"]
    revision = f", revision {source['revision']}" if source.get("revision") else ""
    yield "source", f"{source.get('location', 'unknown')} ({source.get('kind', 'unknown')}{revision})"
    for note in source.get("notes", ()):
        yield "", note
    for name, digest in source.get("sha256", {}).items():
        yield "", f"{name}  sha256 {digest}"
    if "compared" in manifest:
        yield "compared", _compared(manifest["compared"])
    if "int8" in manifest:
        yield "int8", _int8(manifest["int8"])
    yield "golden set", f"{len(golden.reviews)} texts, tolerance {golden.tolerance:g}"
    for name in sorted(artifact.files):
        yield "file", f"{name}, {(artifact.path / name).stat().st_size:,} bytes"


def _calibration(artifact: Artifact) -> str:
    calibration = artifact.calibration
    if calibration == UNCALIBRATED:
        return "none"
    temperature = f"temperature {calibration.temperature:g}"
    if not calibration.prior:
        return f"{temperature}, no prior"
    prior = ", ".join(f"{label} {share:g}" for label, share in zip(artifact.labels, calibration.prior, strict=True))
    limits = f"{calibration.unknown_from:g} to {calibration.unknown_to:g}"
    return f"{temperature}; from the model's scores to the prior ({prior}) where unknown is {limits}"


def _compared(compared: Mapping[str, Any]) -> str:
    return (
        f"with {compared['reference']} on {compared['texts']} {compared['kind']}: largest difference"
        f" {compared['largest_difference']:.2g}, {compared['moved']} labels moved"
    )


def _int8(figures: Mapping[str, Any]) -> str:
    chosen = figures["chosen"]
    change = "" if chosen["accuracy_change"] is None else f", accuracy {chosen['accuracy_change']:+.4f}"
    return f"{chosen['moved']} of {chosen['reviews']} held-out labels moved against float32{change}"
