"""A folder in Hugging Face's layout: ``config.json``, the weights, and ``spiece.model``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

from worker.convert.checkpoint import Checkpoint, Provenance, SourceOptions, checkpoint_from
from worker.convert.shape import CheckpointError


def is_folder_checkpoint(path: Path) -> bool:
    """Whether `path` looks like one; `read_folder` says what is wrong with it."""
    return (path / "config.json").is_file()


def read_folder(path: Path, options: SourceOptions | None = None) -> Checkpoint:
    """Read and check the folder `path`; raises `CheckpointError`, one line that names the file."""
    options = options or SourceOptions()
    config = read_config(path / "config.json")
    weights_path, pieces_path = path / "model.safetensors", path / "spiece.model"
    try:
        stored = load_file(weights_path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights_path}: not a readable safetensors file ({error})") from error
    try:
        pieces = pieces_path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{pieces_path}: not readable ({error.strerror})") from error
    files = {name: _sha256(path / name) for name in ("config.json", "model.safetensors", "spiece.model")}
    provenance = Provenance("huggingface", path.name, files=files)
    return checkpoint_from(config, stored, pieces, provenance, options, lower_case=True)


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises `CheckpointError`."""
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return config


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
