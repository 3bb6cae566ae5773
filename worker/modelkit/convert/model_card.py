"""The model card that an import writes: what the model is, where it came from, what was chosen and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.modelkit.convert.checkpoint import Checkpoint, Source

MODEL_CARD = "MODEL_CARD.md"


def model_card(manifest: Mapping[str, Any], source: Source) -> str:
    """Markdown for a person, to be completed by whoever knows the data that the model was trained on."""
    return "\n".join(_lines(manifest, source)) + "\n"


def _lines(manifest: Mapping[str, Any], source: Source) -> Iterator[str]:
    yield f"# {manifest['name']}"
    yield ""
    yield "Written by `reviews-worker model import`. What the model was trained on, and what it is not fit for, is for"
    yield "its author to add."
    yield ""
    yield from _table(
        ("Version", manifest["version"]),
        ("Labels", ", ".join(f"`{label}`" for label in source.labels)),
        ("Precision", manifest["precision"]),
        ("Reads", f"{manifest['max_length']} tokens at most, {'lower-cased' if source.lower_case else 'cased'} text"),
        *_shape(source),
    )
    yield from ("", "## Where it came from", "")
    origin = manifest["source"]
    revision = f", revision `{origin['revision']}`" if origin["revision"] else ""
    yield f"`{origin['location']}` ({origin['kind']}{revision})."
    yield ""
    hashes = [(name, f"`{digest}`") for name, digest in origin["sha256"].items()]
    yield from _table(*hashes, header=("File", "SHA-256"))
    yield from ("", *(f"- {note}" for note in origin["notes"]))
    yield from ("", "## What was chosen", "")
    yield from _chosen(manifest)
    yield from ("", "## What was measured", "")
    yield from _measured(manifest)


def _shape(source: Source) -> Iterator[tuple[str, str]]:
    if not isinstance(source, Checkpoint):
        yield "Graph", f"used as it is: {source.reason}"
        return
    shape = source.shape
    count = sum(value.size for value in source.weights.values())
    yield (
        "Architecture",
        f"ALBERT, {shape.num_hidden_layers} layers in {shape.num_hidden_groups} group(s) of shared weights, hidden"
        f" {shape.hidden_size}, embedding {shape.embedding_size}, {shape.num_attention_heads} heads, feed-forward"
        f" {shape.intermediate_size}, `{shape.hidden_act}`, {count:,} parameters",
    )


def _chosen(manifest: Mapping[str, Any]) -> Iterator[str]:
    graph = manifest["graph"]
    if graph["kind"] != "built":
        yield "The graph could not be rebuilt, so nothing was."
        return
    kept = [*graph["float32_products"], *(f"layer {number}" for number in graph["float32_layers"])]
    if manifest["precision"] == "fp32":
        yield "float32 everywhere. After the last layer only `[CLS]` is computed, which is exact."
    elif manifest["precision"] == "fp16":
        yield "Half precision for weights and products; residuals, normalisation, softmax and head in float32."
    else:
        yield "8 bits for every product, with a scale for each output channel, and for the embeddings."
    yield from (f"- kept in float32: `{name}`" for name in kept)
    yield from (f"- weights of `{name}` divided by {2**power}" for name, power in graph["halvings"].items())
    yield from (f"- {note}" for note in graph["notes"])
    if manifest["precision"] == "int8" and "int8" not in manifest:
        yield "- not measured on held-out reviews: `model import --data` does, and keeps finer what int8 loses most by"


def _measured(manifest: Mapping[str, Any]) -> Iterator[str]:
    compared = manifest["compared"]
    yield f"Against the source, computed by {compared['reference']}, on {compared['texts']} {compared['kind']}:"
    yield ""
    tokens = "not compared" if compared["other_tokens"] is None else f"{compared['other_tokens']} texts differ"
    yield from _table(
        ("Largest difference of a probability", f"{compared['largest_difference']:.2g}"),
        ("Mean difference", f"{compared['mean_difference']:.2g}"),
        ("Labels moved", f"{compared['moved']}"),
        ("Tokens", tokens),
    )
    if "int8" in manifest:
        loss = manifest["int8"]["chosen"]
        change = loss["accuracy_change"]
        accuracy = "" if change is None else f" and the accuracy by {change:+.4f}"
        yield ""
        yield (
            f"On {loss['reviews']} held-out reviews int8, as it was chosen, moves {loss['moved']} labels{accuracy}"
            " against float32."
        )


def _table(*rows: tuple[str, Any], header: tuple[str, str] = ("", "")) -> Iterator[str]:
    yield f"| {header[0]} | {header[1]} |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {_cell(name)} | {_cell(value)} |"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
