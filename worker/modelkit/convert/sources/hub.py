"""A repository of the Hugging Face hub, by its id: what is needed is fetched, and read as the folder that it is."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from worker.modelkit.convert.checkpoint import Source, SourceOptions
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.folder import CONFIG, read_folder
from worker.modelkit.convert.sources.hub_download import Snapshot, fetch_snapshot
from worker.modelkit.convert.sources.tokeniser_files import TOKENISER_FILES, check_vocabulary
from worker.modelkit.convert.sources.weight_files import INDEX_ENDING, main_file

KIND = "hub"
ONNX = ".onnx"
USUAL_ONNX = ("model.onnx", "onnx/model.onnx")
"""Where optimum and transformers.js put it; best first."""

_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_FILE_ENDINGS = (ONNX, ".zip", ".bin", ".json", ".safetensors")
"""Who says one of these means a file."""


def is_hub_id(location: str) -> bool:
    """Whether `location` looks like one: ``owner/name``, and not like the path of a file."""
    plain = _ID.fullmatch(location) is not None and ".." not in location and "--" not in location
    return plain and not location.lower().endswith(_FILE_ENDINGS)


def read_hub(location: str, options: SourceOptions) -> Source:
    """Fetch and read the repository `location` at ``options.revision``, or its main branch.

    An ONNX model is taken only where there are no other weights. Raises `CheckpointError`, one line.
    """
    snapshot = fetch_snapshot(location, options, needed_files)
    try:
        source = _read(snapshot, options)
    except CheckpointError as error:
        raise CheckpointError(f"{location}: {error}") from error
    provenance = replace(source.provenance, kind=KIND, location=location, revision=snapshot.commit)
    return replace(source, provenance=provenance)


def needed_files(names: Collection[str]) -> list[str]:
    """Of the files `names` of a repository those that are read.

    Raises `CheckpointError` where they cannot be a model for this worker.
    """
    if CONFIG not in names:
        raise CheckpointError(f"it has no {CONFIG}: not a model of transformers")
    check_vocabulary(names)
    texts = [name for name in (CONFIG, *TOKENISER_FILES) if name in names]
    return [*texts, *(_onnx_files(names) or _weight_files(names))]


def _read(snapshot: Snapshot, options: SourceOptions) -> Source:
    if _onnx_files(snapshot.names):
        from worker.modelkit.convert.sources.onnx_file import read_onnx

        return read_onnx(snapshot.folder, options)
    return read_folder(snapshot.folder, options)


def _weight_files(names: Collection[str]) -> list[str]:
    main = main_file(names)
    if not main.endswith(INDEX_ENDING):
        return [main]
    stem, ending = main.removesuffix(INDEX_ENDING).rsplit(".", 1)
    return [main, *(name for name in names if name.startswith(stem) and name.endswith(f".{ending}"))]


def _onnx_files(names: Collection[str]) -> list[str]:
    """The ONNX model with its external data where there is nothing else to read; else nothing."""
    models = [name for name in names if name.endswith(ONNX)]
    try:
        main_file(names)
    except CheckpointError:
        if not models:
            return []
    else:
        return []
    usual = [name for name in USUAL_ONNX if name in models] or models
    if len(usual) > 1 and usual[0] not in USUAL_ONNX:
        raise CheckpointError(
            f"it has {len(models)} ONNX models, and none is called model.onnx; download one of them with its {CONFIG}"
            " and import that folder"
        )
    return [name for name in names if name.startswith(usual[0])]  # data beside it: model.onnx_data, model.onnx.data
