"""A model that Spark NLP saved, as a zip or a folder, in its TensorFlow or its ONNX form.

``metadata/part-00000`` has the class and the parameters, ``fields/labels`` the labels, ``albert_spp`` the
SentencePiece model, and ``albert_classification_tensorflow`` or ``albert_classification_onnx`` (zips without an
extension) the rest. What comes out is the model as it was trained; how Spark NLP itself tokenises is in
`worker.modelkit.convert.spark_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.errors import ArtifactError
from worker.modelkit.convert.checkpoint import ForeignGraph, Provenance, Source, SourceOptions, checkpoint_from
from worker.modelkit.convert.shape import CheckpointError, with_labels
from worker.modelkit.convert.sources.archive import MARKER, Archive, has_marker, open_archive
from worker.modelkit.convert.sources.onnx_form import check_runs, parse_onnx, read_onnx_bytes
from worker.modelkit.convert.sources.onnx_weights import NotRecognisedError, recover
from worker.modelkit.convert.sources.sparknlp_params import SparkParams, read_labels, read_params
from worker.modelkit.convert.sources.tensorflow_form import read_tensorflow
from worker.tokenization.tokenizer import Tokenizer

PIECES = "albert_spp"
TENSORFLOW, ONNX = "albert_classification_tensorflow", "albert_classification_onnx"

_MAX_PIECES_BYTES = 64 << 20


def is_sparknlp(location: Path) -> bool:
    """Whether `location` is a folder or a zip with ``metadata/part-00000``, at the top or one folder down.

    Also for a ``.zip`` that is broken, of which `read_sparknlp` says so. Never raises.
    """
    return has_marker(location)


def read_sparknlp(location: Path, options: SourceOptions) -> Source:
    """Read it; raises `CheckpointError`, one line that begins with `location`.

    The ONNX form becomes a `ForeignGraph` where its weights cannot be found by structure. `options.labels` names the
    labels where the model has none, or other ones; `options.max_length` comes before ``maxSentenceLength``.
    """
    try:
        with open_archive(location) as archive:
            return _read(archive, location, options)
    except ArtifactError as error:
        message = str(error)
        prefix = "" if message.startswith(str(location)) else f"{location}: "
        raise CheckpointError(f"{prefix}{message}") from error


def _read(archive: Archive, location: Path, options: SourceOptions) -> Source:
    params = read_params(archive)
    labels = read_labels(archive)
    pieces = archive.read(PIECES, _MAX_PIECES_BYTES)
    _check_pieces(pieces, params)
    if params.engine == "onnx":
        return _read_onnx(archive, location, options, params, labels, pieces)
    config, weights = read_tensorflow(_form(archive, TENSORFLOW), TENSORFLOW)
    return checkpoint_from(
        _with_labels(config, labels),
        weights,
        pieces,
        _provenance(archive, location, params, options),
        options,
        lower_case=params.lower_case,
        max_length=params.max_length,
    )


def _read_onnx(
    archive: Archive,
    location: Path,
    options: SourceOptions,
    params: SparkParams,
    labels: tuple[str, ...] | None,
    pieces: bytes,
) -> Source:
    graph = read_onnx_bytes(_form(archive, ONNX), ONNX)
    provenance = _provenance(archive, location, params, options)
    try:
        recovered = recover(parse_onnx(graph, ONNX))
    except NotRecognisedError as error:
        return _foreign(graph, str(error), provenance, options, params, labels, pieces)
    return checkpoint_from(
        _with_labels(recovered.config, labels),
        recovered.weights,
        pieces,
        provenance,
        options,
        lower_case=params.lower_case,
        max_length=params.max_length,
        original_graph=graph,
    )


def _foreign(
    graph: bytes,
    reason: str,
    provenance: Provenance,
    options: SourceOptions,
    params: SparkParams,
    labels: tuple[str, ...] | None,
    pieces: bytes,
) -> ForeignGraph:
    """To be used as it is; all that it does not say of itself is proven by running it."""
    named = with_labels(_with_labels({}, labels), options.labels)
    names = tuple(named["id2label"].values())
    length = options.max_length or params.max_length
    check_runs(graph, labels=len(names), length=length, where=ONNX)
    tokeniser = Tokenizer(pieces, max_length=length, lower_case=params.lower_case)
    config = {
        "model_type": "albert",
        **named,
        "vocab_size": tokeniser.vocabulary_size,
        "max_position_embeddings": length,
    }
    lower_case = params.lower_case if options.lower_case is None else options.lower_case
    return ForeignGraph(graph, reason, config, names, pieces, lower_case, length, provenance)


def _form(archive: Archive, name: str) -> bytes:
    """The inner zip; says it where the metadata and the files are not of the same form."""
    other = ONNX if name == TENSORFLOW else TENSORFLOW
    if name not in archive.names and other in archive.names:
        raise CheckpointError(f"the file {name} is missing, and {other} is there: {MARKER} has another engine")
    return archive.read(name)


def _with_labels(config: Mapping[str, Any], labels: tuple[str, ...] | None) -> dict[str, Any]:
    """`config` with the labels that were saved; raises `CheckpointError` for another number than the model's."""
    if labels is None:
        return dict(config)
    number = config.get("num_labels", len(labels))
    if number != len(labels):
        raise CheckpointError(f"fields/labels has {len(labels)} labels, but the model has {number} outputs")
    return {
        **{key: value for key, value in config.items() if key != "num_labels"},
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _provenance(archive: Archive, location: Path, params: SparkParams, options: SourceOptions) -> Provenance:
    notes = params.notes
    if params.max_length_is_default and options.max_length is None:
        notes += (f"nobody has set maxSentenceLength, so its default holds: longer than {params.max_length} is cut",)
    return Provenance(
        kind=f"sparknlp-{params.engine}",
        location=location.resolve().name,
        files=dict(archive.hashes),
        notes=notes,
    )


def _check_pieces(pieces: bytes, params: SparkParams) -> None:
    try:
        Tokenizer(pieces, max_length=params.max_length, lower_case=params.lower_case)
    except (ArtifactError, ValueError) as error:
        raise CheckpointError(f"the file {PIECES} is not ALBERT's SentencePiece model ({error})") from error
