"""An ONNX model that somebody has exported already, as a file or a folder.

The folder is laid out as Hugging Face's optimum does it: ``model.onnx`` (or ``onnx/model.onnx``) beside
``spiece.model``, ``config.json`` and ``tokenizer_config.json``, of which only the vocabulary must be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from worker.modelkit.convert.checkpoint import Checkpoint, Provenance, Source, SourceOptions, checkpoint_from
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.files import read_json, sha256_of
from worker.modelkit.convert.sources.onnx_foreign import (
    Companions,
    foreign_graph,
    labelled,
    why_it_does_not_fit,
    without_softmax,
)
from worker.modelkit.convert.sources.onnx_storage import read_model
from worker.modelkit.convert.sources.onnx_weights import SOFTMAX_NOTE, NotRecognisedError, Recovered, recover

GRAPH, CONFIG, PIECES, TOKENIZER_CONFIG = "model.onnx", "config.json", "spiece.model", "tokenizer_config.json"
_OTHER_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*")
_LONGEST = 1_000_000
"""Lengths beyond are Hugging Face's way to say nothing."""


def is_onnx(location: Path) -> bool:
    """Whether `location` is an ONNX file by its name, or a folder with one and no weights of another kind."""
    if location.is_file():
        return location.suffix == ".onnx"
    if not location.is_dir() or any(True for pattern in _OTHER_WEIGHTS for _ in location.glob(pattern)):
        return False
    return any(_graphs_in(folder) for folder in _folders(location))


def read_onnx(location: Path, options: SourceOptions) -> Source:
    """Read it; raises `worker.modelkit.convert.shape.CheckpointError`, one line that names the file.

    The model is rebuilt where its weights can be found by structure (`Checkpoint`), and used as it is where they cannot
    and its inputs fit (`worker.modelkit.convert.checkpoint.ForeignGraph`).
    """
    path = _graph_file(location)
    companions, files = _companions(path)
    model, graph_files = read_model(path)
    files = graph_files | files
    try:
        recovered = recover(model)
    except NotRecognisedError as error:
        notes = [f"used as it is, not rebuilt: {error}"]
        if without_softmax(model) is not model:
            notes.append(SOFTMAX_NOTE)
        provenance = Provenance("onnx", location.name, files=files, notes=tuple(notes))
        return foreign_graph(path, model, str(error), companions, options, provenance)
    return _checkpoint(path, model, recovered, companions, options, Provenance("onnx", location.name, files=files))


def _checkpoint(
    path: Path,
    model: onnx.ModelProto,
    recovered: Recovered,
    companions: Companions,
    options: SourceOptions,
    provenance: Provenance,
) -> Checkpoint:
    config = labelled({**companions.config, **recovered.config}, options, path)
    notes, original = recovered.notes, None
    misfit = why_it_does_not_fit(model)
    if misfit:
        notes += (f"the original graph is not kept to compare with: {misfit}",)
    else:
        original = without_softmax(model).SerializeToString()
    return checkpoint_from(
        config,
        recovered.weights,
        companions.pieces,
        Provenance(provenance.kind, provenance.location, files=provenance.files, notes=notes),
        options,
        lower_case=companions.lower_case,
        max_length=companions.max_length,
        original_graph=original,
    )


def _folders(location: Path) -> tuple[Path, Path]:
    return location, location / "onnx"


def _graphs_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.onnx") if path.is_file())


def _graph_file(location: Path) -> Path:
    """The graph that is meant; raises `CheckpointError` where that is not clear."""
    if location.is_file():
        return location
    for folder in _folders(location):
        graphs = _graphs_in(folder)
        if len(graphs) == 1:
            return graphs[0]
        if graphs:
            if folder / GRAPH in graphs:
                return folder / GRAPH
            names = ", ".join(str(path.relative_to(location)) for path in graphs)
            raise CheckpointError(f"{location}: has several graphs ({names}) and none is {GRAPH}; name the one to take")
    raise CheckpointError(f"{location}: has no .onnx file")


def _companions(path: Path) -> tuple[Companions, dict[str, str]]:
    """What lies beside the graph `path` or one folder up, and the SHA-256 of each file."""
    found = {name: file for name in (CONFIG, PIECES, TOKENIZER_CONFIG) if (file := _companion(path, name))}
    if PIECES not in found:
        raise CheckpointError(
            f"{path}: there is no {PIECES} beside it (or one folder up); put the model's SentencePiece vocabulary there"
        )
    config = read_json(found[CONFIG]) if CONFIG in found else {}
    family = config.get("model_type", "albert")
    if family != "albert":
        raise CheckpointError(f"{found[CONFIG]}: model_type is {family!r}, and only 'albert' is supported")
    tokenizer = read_json(found[TOKENIZER_CONFIG]) if TOKENIZER_CONFIG in found else {}
    try:
        pieces = found[PIECES].read_bytes()
        files = {name: sha256_of(file) for name, file in found.items()}
    except OSError as error:
        raise CheckpointError(f"{found[PIECES]}: not readable ({error.strerror})") from error
    companions = Companions(config, pieces, tokenizer.get("do_lower_case", True) is not False, _max_length(tokenizer))
    return companions, files


def _companion(path: Path, name: str) -> Path | None:
    folder = path.absolute().parent
    candidates = (path.parent / name, folder.parent / name)
    return next((file for file in candidates if file.is_file()), None)


def _max_length(tokenizer: dict[str, Any]) -> int | None:
    value = tokenizer.get("model_max_length")
    return value if isinstance(value, int) and 3 <= value <= _LONGEST else None
