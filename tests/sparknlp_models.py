"""Small models in Spark NLP's layout, read through the public reader."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from absent import Absent
from albert_reference import TINY, random_weights
from sparknlp_writer import saved_model

from worker.modelkit.convert.checkpoint import Checkpoint, SourceOptions
from worker.modelkit.convert.shape import AlbertShape, CheckpointError
from worker.modelkit.convert.sources.sparknlp import is_sparknlp, read_sparknlp

SHARED = Path(__file__).parents[2] / "shared"
"""Beside the repository, where it is at hand: real models by Spark NLP among others."""


def real_model(name: str) -> Path:
    """A file that Spark NLP wrote; skips where there is no ``../shared`` at all."""
    if not SHARED.exists():
        Absent.SHARED.skip("models that Spark NLP saved")
    path = SHARED / "sparknlp" / name
    assert path.exists(), f"{path} is missing"
    return path


def small_shape(**overrides: Any) -> AlbertShape:
    return AlbertShape.from_config(TINY | {"vocab_size": 30_000} | overrides)


@functools.cache
def small_model() -> dict[str, bytes]:
    """The files of one, in the TensorFlow form."""
    shape = small_shape()
    return saved_model(shape, random_weights(shape))


def read_checkpoint(path: Path, **options: Any) -> Checkpoint:
    source = read_sparknlp(path, SourceOptions(**options))
    assert isinstance(source, Checkpoint)
    return source


def refused(path: Path, message: str, **options: Any) -> None:
    """It is, with one line that begins with the place."""
    with pytest.raises(CheckpointError, match=message) as raised:
        read_sparknlp(path, SourceOptions(**options))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(path))


def read_or_one_line(path: Path) -> None:
    """Nothing but a `CheckpointError` comes out of it."""
    assert isinstance(is_sparknlp(path), bool)
    try:
        read_sparknlp(path, SourceOptions())
    except CheckpointError as error:
        assert "\n" not in str(error)


def inner_files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
