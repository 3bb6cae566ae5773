"""A model that Spark NLP saved, as a zip or a folder, in its TensorFlow or its ONNX form."""

from __future__ import annotations

from pathlib import Path

from worker.convert.checkpoint import Source, SourceOptions


def is_sparknlp(location: Path) -> bool:
    """Whether `location` looks like one."""
    raise NotImplementedError


def read_sparknlp(location: Path, options: SourceOptions) -> Source:
    """Read it; raises `worker.convert.shape.CheckpointError`."""
    raise NotImplementedError
