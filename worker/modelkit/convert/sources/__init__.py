"""Where a model may come from. `open_source` finds out what it is and reads it."""

from __future__ import annotations

from pathlib import Path

from worker.modelkit.convert.checkpoint import Source, SourceOptions
from worker.modelkit.convert.shape import CheckpointError


def open_source(location: str, options: SourceOptions | None = None) -> Source:
    """Read the model at `location`: a folder, a file, or the id of a hub repository.

    Raises `CheckpointError`, one line that says what is wrong, where, and what to do.
    """
    from worker.modelkit.convert.sources import folder, hub, onnx_file, sparknlp

    options = options or SourceOptions()
    path = Path(location)
    if not path.exists():
        if hub.is_hub_id(location):
            return hub.read_hub(location, options)
        raise CheckpointError(f"{location}: no such file or folder, and not the id of a hub repository (owner/name)")
    if sparknlp.is_sparknlp(path):
        return sparknlp.read_sparknlp(path, options)
    if onnx_file.is_onnx(path):
        return onnx_file.read_onnx(path, options)
    if folder.is_folder_checkpoint(path):
        return folder.read_folder(path, options)
    raise CheckpointError(
        f"{location}: none of a Hugging Face folder (config.json), a Spark NLP model (metadata/part-00000, as a folder"
        " or a zip) or an ONNX model (.onnx)"
    )
