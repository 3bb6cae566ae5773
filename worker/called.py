"""How this program is called here, for hints that a person can copy."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from worker.settings import Settings

PROGRAM = "reviews-worker"


def how_called(folder: Path | None = None, python: Path | None = None) -> str:
    """The command that runs this very installation from `folder` (the current one): by name where PATH leads to it,
    otherwise by the path of its script or of its Python.
    """
    python = python or Path(sys.executable)
    script = python.with_name(PROGRAM)
    if not script.exists():
        return f"{shlex.quote(_near(python, folder))} -m worker.cli"
    found = shutil.which(PROGRAM)
    if found is not None and Path(found).resolve() == script.resolve():
        return PROGRAM
    return shlex.quote(_near(script, folder))


def command_line(settings: Settings, command: str, *names: str) -> str:
    """`command` of this program, with an option for each setting of `names` that is not the default here."""
    options = (
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
        for name in names
        if (value := getattr(settings, name)) != Settings.model_fields[name].default
    )
    return " ".join((how_called(), command, *options))


def _near(path: Path, folder: Path | None) -> str:
    """`path` as seen from the folder, where it lies below it."""
    folder = folder or Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
