"""The folder of a model artifact on the command line."""

from __future__ import annotations

from pathlib import Path

from worker.settings import BUNDLED


def artifact_folder(name: str) -> Path | None:
    """The folder `name`, or None (which `Artifact.load` takes for the model in the package) for the word ``bundled``.

    A folder of that very name is ``./bundled``.
    """
    return None if name == BUNDLED else Path(name)
