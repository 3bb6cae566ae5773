"""Small things that every folder of a model needs: its JSON files, and what goes into its provenance."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from worker.modelkit.convert.shape import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises `CheckpointError` where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return value


def read_json_if_there(path: Path) -> dict[str, Any]:
    """See `read_json`; an empty object where there is no such file."""
    return read_json(path) if path.exists() else {}


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal digits; the file is never in memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
