"""What lies in ``--out``: arrays that are whole or not there, and what they were made from.

``inputs.json`` says what a training began with, so that one with other reviews, weights or stages does not go on from
files that it would not have made itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from worker.modelkit.train.stages import Stage

INPUTS = "inputs.json"


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write `array` to the ``.npy`` file `path`, which is there only once it is whole."""
    unfinished = path.with_suffix(".tmp.npy")
    with unfinished.open("wb") as file:
        np.save(file, array)
    unfinished.replace(path)


@dataclass(frozen=True)
class Inputs:
    """What a training is made from, but for its stages."""

    seed: int
    limit: int
    files: dict[str, str]
    """SHA-256 by the file's name: reviews and pretrained weights."""


@dataclass(frozen=True)
class Folder:
    """The folder of one training: `begin` says whether it may be used, `begun` that a stage has begun in it."""

    path: Path
    inputs: Inputs

    def begin(self, stages: Sequence[Stage], report: Callable[[str], None]) -> None:
        """Make the folder, or see that what is there was made from the same.

        More `stages` than last time are fine, others in place of those that have begun are not. Raises
        `click.UsageError` in one line. A folder without ``inputs.json`` is taken as it is, and `report` is told.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / INPUTS
        if file.exists():
            if differences := self._differences(json.loads(file.read_text()), stages):
                raise click.UsageError(
                    f"--out: {self.path} was begun with another {', another '.join(differences)}; use another --out"
                )
            return
        done = [stage for stage in stages if any((self.path / name).exists() for name in _files(stage))]
        if done or any(self.path.glob("*.npy")):
            report(f"{self.path} has no {INPUTS}: what is in it is taken to fit (stages: {len(done)})")
        self._write([_plain(stage) for stage in done])

    def begun(self, stage: Stage) -> None:
        """Note that from now on there may be files of `stage`."""
        stages = json.loads((self.path / INPUTS).read_text())["stages"]
        if _plain(stage) not in stages:
            self._write([*stages, _plain(stage)])

    def _differences(self, stored: dict[str, Any], stages: Sequence[Stage]) -> list[str]:
        now = asdict(self.inputs)
        found = [f"{name} ({stored[name]}, now {now[name]})" for name in ("seed", "limit") if stored[name] != now[name]]
        found += [name for name, value in now["files"].items() if stored["files"].get(name) != value]
        listed = [_plain(stage) for stage in stages] + [None] * len(stored["stages"])
        changed = [old["name"] for old, new in zip(stored["stages"], listed, strict=False) if old != new]
        return found + [f"stage {name}" for name in changed]

    def _write(self, stages: Sequence[dict[str, Any]]) -> None:
        unfinished = self.path / f"{INPUTS}.tmp"
        unfinished.write_text(json.dumps(asdict(self.inputs) | {"stages": stages}, indent=2) + "\n")
        unfinished.replace(self.path / INPUTS)


def _files(stage: Stage) -> tuple[str, str]:
    """Any of these is there once `stage` has begun."""
    return f"{stage.name}.pt", f"{stage.name}-targets.npy"


def _plain(stage: Stage) -> dict[str, Any]:
    """`stage` as it comes out of JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(stage)))
    return plain
